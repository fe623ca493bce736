// The framing of PutChunk and FetchChunk, around protobuf: their last field, `data`, goes between
// the network's slices and tensor memory in one copy or none.
#ifndef GRADWIRE_RPC_CHUNK_H_
#define GRADWIRE_RPC_CHUNK_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <functional>

#include "core/tensor.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {

// Where a payload goes, and the bytes of all that it is a part of.
struct Destination {
  std::byte* at = nullptr;
  size_t whole = 0;
};

// Parses one PutChunk: everything before `data` into `header`, then asks `destination(size)` where
// the payload goes and copies it there. A message without `data` asks for 0 bytes. Throws
// INVALID_ARGUMENT for bytes that are no PutChunk, or with fields after `data`.
void ReadPutChunk(grpc::ByteBuffer& message, v1::PutChunk& header,
                  const std::function<Destination(size_t size)>& destination);

// A FetchChunk of a header without `data`, and bytes of a tensor as in SliceOf.
grpc::ByteBuffer MakeFetchChunk(const v1::FetchChunk& header, const Tensor& tensor, size_t offset,
                                size_t bytes);

// Bytes of a tensor in host memory, which is kept until gRPC has sent them.
grpc::Slice SliceOf(const Tensor& tensor, size_t offset, size_t bytes);

// Whole messages.
grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message);
// Throws INVALID_ARGUMENT.
void FromBuffer(const grpc::ByteBuffer& buffer, google::protobuf::Message& message);
[[noreturn]] void ThrowMalformed(const google::protobuf::Message& message);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_CHUNK_H_
