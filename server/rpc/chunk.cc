#include "rpc/chunk.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <string>

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

bool ReadPieces(google::protobuf::io::CodedInputStream& input, size_t size, Pieces& pieces) {
  while (size != 0) {
    const void* data = nullptr;
    int available = 0;
    if (!input.GetDirectBufferPointer(&data, &available)) return false;
    const size_t taken = std::min(size, static_cast<size_t>(available));
    pieces.emplace_back(static_cast<const std::byte*>(data), taken);
    if (!input.Skip(static_cast<int>(taken))) return false;
    size -= taken;
  }
  return true;
}

Pieces ReadPutChunk(grpc::ByteBuffer& message, v1::PutChunk& header) {
  grpc::ProtoBufferReader reader(&message);
  google::protobuf::io::CodedInputStream input(&reader);
  uint32_t tag = 0;
  int header_bytes = 0;
  while (true) {
    header_bytes = input.CurrentPosition();
    tag = input.ReadTag();
    if (tag == 0 || tag == kDataTag) break;
    if (!WireFormatLite::SkipField(&input, tag)) Malformed("not a PutChunk");
  }
  constexpr int kTagBytes = 1;  // of kDataTag
  const bool found = tag == 0 ? input.ConsumedEntireMessage()
                              : input.CurrentPosition() - header_bytes == kTagBytes;
  // This reader is more lenient with what it skips than a message's parser.
  grpc::ProtoBufferReader again(&message);
  if (!found || !header.ParseFromBoundedZeroCopyStream(&again, header_bytes)) {
    Malformed("not a PutChunk");
  }
  uint32_t size = 0;
  if (tag == kDataTag && !input.ReadVarint32(&size)) Malformed("`data` has no length");
  Pieces data;
  if (!ReadPieces(input, size, data)) Malformed("`data` is longer than its message");
  // ReadTag gives 0 at the end, and for a 0, which is no tag.
  const bool is_last = tag != kDataTag || (input.ReadTag() == 0 && input.ConsumedEntireMessage());
  if (!is_last) Malformed("`data` must be the last field");
  return data;
}

grpc::Slice SliceOf(const Tensor& tensor, size_t offset, size_t bytes) {
  auto* held = new Tensor(tensor);
  return {held->mutable_data<std::byte>() + offset, bytes,
          [](void* done) { delete static_cast<Tensor*>(done); }, held};
}

grpc::ByteBuffer MakeFetchChunk(const v1::FetchChunk& header, const Tensor& tensor, size_t offset,
                                size_t bytes) {
  std::string prefix = header.SerializeAsString();
  {
    google::protobuf::io::StringOutputStream stream(&prefix);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.WriteTag(kDataTag);
    output.WriteVarint32(static_cast<uint32_t>(bytes));
  }
  const grpc::Slice slices[] = {grpc::Slice(prefix),
                                bytes == 0 ? grpc::Slice() : SliceOf(tensor, offset, bytes)};
  return {slices, bytes == 0 ? size_t{1} : size_t{2}};
}

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));  // as yet unshared
  return {&slice, 1};
}

void FromBuffer(const grpc::ByteBuffer& buffer, google::protobuf::Message& message) {
  const bool parsed = [&] {
    grpc::Slice slice;
    if (buffer.TrySingleSlice(&slice).ok()) {
      return message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
    }
    grpc::ByteBuffer copy(buffer);
    grpc::ProtoBufferReader reader(&copy);
    return message.ParseFromZeroCopyStream(&reader);
  }();
  if (!parsed) ThrowMalformed(message);
}

void ThrowMalformed(const google::protobuf::Message& message) {
  throw Error(reason::kInvalidArgument,
              fmt::format("the request is not a {}", message.GetTypeName()));
}

}  // namespace gradwire::rpc
