#include "rpc/chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/host_tensor.h"
#include "tests/unit/error_of.h"

namespace gradwire::rpc {
namespace {

using gradwire::testing::ErrorOf;

// `bytes` cut into slices of `size`, as the network may deliver them.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t size) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += size) slices.emplace_back(bytes.substr(at, size));
  return {slices.data(), slices.size()};
}

v1::PutChunk Example() {
  v1::PutChunk chunk;
  chunk.set_session_id("s");
  chunk.set_sequence(7);
  chunk.set_name("x");
  chunk.mutable_spec()->set_data_type(1);
  chunk.mutable_spec()->add_dims(3);
  chunk.set_data("0123456789ab");
  return chunk;
}

TEST(Chunk, PayloadIsFoundHoweverItIsSliced) {
  const std::string bytes = Example().SerializeAsString();
  for (size_t size = 1; size <= bytes.size(); ++size) {
    grpc::ByteBuffer message = Sliced(bytes, size);
    v1::PutChunk header;
    const Pieces data = ReadPutChunk(message, header);
    std::string payload(BytesIn(data), '?');
    CopyPieces(reinterpret_cast<std::byte*>(payload.data()), data);
    EXPECT_EQ(payload, "0123456789ab");
    EXPECT_EQ(header.name(), "x");
    EXPECT_EQ(header.sequence(), 7u);
    EXPECT_EQ(header.spec().dims(0), 3);
    EXPECT_TRUE(header.data().empty());
  }
}

TEST(Chunk, RefusesWhatIsCutShortOrOutOfOrder) {
  const std::string bytes = Example().SerializeAsString();
  const auto read = [&](const std::string& raw) {
    return ErrorOf([&] {
      grpc::ByteBuffer message = Sliced(raw, 5);
      v1::PutChunk header;
      ReadPutChunk(message, header);
    });
  };
  EXPECT_EQ(read(bytes), "no error");
  EXPECT_THAT(read(bytes.substr(0, bytes.size() - 1)), ::testing::HasSubstr("malformed chunk"));
  v1::PutChunk name;
  name.set_name("y");
  EXPECT_THAT(read(bytes + name.SerializeAsString()), ::testing::HasSubstr("last field"));
  EXPECT_THAT(read("\xff\xff\xff\xff"), ::testing::HasSubstr("malformed chunk"));
}

TEST(Chunk, FetchChunksReferToTheTensor) {
  Tensor tensor = HostTensor({DType::kUint8, {100000}});
  for (size_t i = 0; i < tensor.bytes(); ++i) {
    tensor.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(i * 7);
  }
  v1::FetchChunk header;
  header.set_name("t");
  header.set_offset(5);
  {
    const grpc::ByteBuffer message = MakeFetchChunk(header, tensor, 5, 99995);
    EXPECT_EQ(tensor.buffer().use_count(), 2);
    v1::FetchChunk parsed;
    FromBuffer(message, parsed);
    EXPECT_EQ(parsed.name(), "t");
    EXPECT_EQ(parsed.offset(), 5);
    EXPECT_EQ(parsed.data(), std::string(tensor.data<char>() + 5, 99995));
  }
  EXPECT_EQ(tensor.buffer().use_count(), 1);
}

}  // namespace
}  // namespace gradwire::rpc
