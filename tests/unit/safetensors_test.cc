#include "session/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/host_tensor.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

std::string Prefixed(const std::string& header) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header;
}

std::string ReadError(const std::string& file) {
  return ErrorOf([&] {
    SafetensorsReader reader(HostTensor);
    reader.Feed(file);
    reader.Finish();
  });
}

// By the format's documentation: {"a": int16[2], "b": float32[]}.
const std::string kFile = Prefixed(R"({"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},)"
                                   R"("b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},)"
                                   R"("__metadata__":{"k":"v"}})") +
                          std::string("\x01\x00\x02\x00\x00\x00\x80\x3f", 8);

TEST(Safetensors, ReadsAFileInPiecesOfAnySize) {
  for (size_t piece = 1; piece <= kFile.size(); ++piece) {
    SafetensorsReader reader(HostTensor);
    for (size_t at = 0; at < kFile.size(); at += piece) reader.Feed(kFile.substr(at, piece));
    const auto tensors = reader.Finish();
    ASSERT_EQ(tensors.size(), 2u);
    EXPECT_EQ(tensors[0].first, "a");
    EXPECT_EQ(tensors[0].second.data<int16_t>()[1], 2);
    EXPECT_EQ(tensors[1].second.data<float>()[0], 1.0f);
    EXPECT_EQ(tensors[1].second.rank(), 0);
    EXPECT_EQ(reader.metadata().at("k"), "v");
  }
}

TEST(Safetensors, WritesAHeaderThatItReads) {
  const std::string header = SafetensorsHeader(
      {{"x", {DType::kFloat64, {2, 3}}}, {"empty", {DType::kBool, {0, 4}}}}, {{"k", "v"}});
  EXPECT_EQ(header.size() % 8, 0u);
  SafetensorsReader reader(HostTensor);
  reader.Feed(header + std::string(48, '\0'));
  const auto tensors = reader.Finish();
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(reader.metadata().at("k"), "v");
}

TEST(Safetensors, RefusesWhatIsNoSuchFile) {
  EXPECT_THAT(ReadError(""), ::testing::HasSubstr("cut short"));
  EXPECT_THAT(ReadError(kFile.substr(0, kFile.size() - 1)), ::testing::HasSubstr("cut short"));
  EXPECT_THAT(ReadError(kFile + "x"), ::testing::HasSubstr("after the last"));
  EXPECT_THAT(ReadError(std::string(16, '\xff')), ::testing::HasSubstr("a header of"));
  EXPECT_THAT(ReadError(std::string(9, '\0')), ::testing::HasSubstr("a header of 0 bytes"));
  EXPECT_THAT(ReadError(Prefixed("{")), ::testing::StartsWith("INVALID_ARGUMENT"));
  EXPECT_THAT(ReadError(Prefixed("[]")), ::testing::StartsWith("INVALID_ARGUMENT"));
  EXPECT_THAT(ReadError(Prefixed(R"({"a":{"dtype":"Q9","shape":[],"data_offsets":[0,4]}})")),
              ::testing::HasSubstr("Q9"));
  EXPECT_THAT(ReadError(Prefixed(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})")),
              ::testing::HasSubstr("offsets"));
  EXPECT_THAT(ReadError(Prefixed(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})")),
              ::testing::HasSubstr("gap"));
}

TEST(Safetensors, NamesTheTensorThatItCannotHold) {
  EXPECT_THAT(ErrorOf([] { SafetensorsHeader({{"c", {DType::kComplex64, {}}}}, {}); }),
              ::testing::HasSubstr("'c' is complex64"));
}

}  // namespace
}  // namespace gradwire
