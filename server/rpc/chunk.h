// The framing of PutChunk and FetchChunk, around protobuf: their last field, `data`, goes between
// the network's slices and tensor memory in one copy or none.
#ifndef GRADWIRE_RPC_CHUNK_H_
#define GRADWIRE_RPC_CHUNK_H_

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "core/copy.h"
#include "core/tensor.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {

// Refers to the next `size` bytes of a stream that reads from memory. False: it has fewer.
bool ReadPieces(google::protobuf::io::CodedInputStream& input, size_t size, Pieces& pieces);

// Parses one PutChunk: everything before `data` into `header`. Returns `data`, empty in a message
// without, valid as long as the message. Throws INVALID_ARGUMENT for bytes that are no PutChunk, or
// with fields after `data`.
Pieces ReadPutChunk(grpc::ByteBuffer& message, v1::PutChunk& header);

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
