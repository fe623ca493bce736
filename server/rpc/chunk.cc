#include "rpc/chunk.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <string>
#include <utility>

#include "core/error.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr uint32_t kDataTag = WireFormatLite::MakeTag(v1::PutChunk::kDataFieldNumber,
                                                      WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
static_assert(int{v1::PutChunk::kDataFieldNumber} == int{v1::FetchChunk::kDataFieldNumber});

[[noreturn]] void Malformed(const char* what) {
  throw Error(reason::kInvalidArgument, fmt::format("malformed chunk: {}", what));
}

}  // namespace

void ReadPutChunk(grpc::ByteBuffer& message, v1::PutChunk& header,
                  const std::function<std::byte*(size_t size)>& destination) {
  grpc::ProtoBufferReader reader(&message);
  google::protobuf::io::CodedInputStream input(&reader);
  std::string fields;
  uint32_t tag = 0;
  {
    google::protobuf::io::StringOutputStream stream(&fields);
    google::protobuf::io::CodedOutputStream output(&stream);
    while ((tag = input.ReadTag()) != 0 && tag != kDataTag) {
      if (!WireFormatLite::SkipField(&input, tag, &output)) Malformed("not a PutChunk");
    }
  }
  if (tag == 0 && !input.ConsumedEntireMessage()) Malformed("not a PutChunk");
  if (!header.ParseFromString(fields)) Malformed("not a PutChunk");
  uint32_t size = 0;
  if (tag == kDataTag && !input.ReadVarint32(&size)) Malformed("`data` has no length");
  if (size > message.Length()) Malformed("`data` is longer than its message");
  std::byte* to = destination(size);
  if (size != 0 && !input.ReadRaw(to, static_cast<int>(size))) Malformed("`data` is cut short");
  if (tag == kDataTag && input.ReadTag() != 0) Malformed("`data` must be the last field");
}

grpc::ByteBuffer MakeFetchChunk(const v1::FetchChunk& header, const Tensor& tensor,
                                std::span<const std::byte> payload) {
  std::string prefix = header.SerializeAsString();
  {
    google::protobuf::io::StringOutputStream stream(&prefix);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.WriteTag(kDataTag);
    output.WriteVarint32(static_cast<uint32_t>(payload.size()));
  }
  grpc::Slice slices[2] = {grpc::Slice(prefix), grpc::Slice()};
  if (!payload.empty()) {
    slices[1] = grpc::Slice(
        const_cast<std::byte*>(payload.data()), payload.size(),
        [](void* held) { delete static_cast<Tensor*>(held); }, new Tensor(tensor));
  }
  return {slices, payload.empty() ? size_t{1} : size_t{2}};
}

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

void FromBuffer(const grpc::ByteBuffer& buffer, google::protobuf::Message& message) {
  grpc::ByteBuffer copy(buffer);
  grpc::ProtoBufferReader reader(&copy);
  if (!message.ParseFromZeroCopyStream(&reader)) {
    throw Error(reason::kInvalidArgument,
                fmt::format("the request is not a {}", message.GetTypeName()));
  }
}

}  // namespace gradwire::rpc
