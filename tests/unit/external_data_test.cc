#include "rpc/external_data.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/host_tensor.h"
#include "tests/unit/error_of.h"

namespace gradwire::rpc {
namespace {

using gradwire::testing::ErrorOf;

v1::TensorProto At(const std::string& name, const std::string& location, int64_t offset) {
  v1::TensorProto proto;
  proto.set_name(name);
  const auto add = [&](const std::string& key, const std::string& value) {
    auto& entry = *proto.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", location);
  add("offset", std::to_string(offset));
  add("checksum", "is not looked at");
  return proto;
}

Tensor Bytes(int64_t count) { return HostTensor({DType::kUint8, {count}}); }

std::string Contents(const Tensor& tensor) { return {tensor.data<char>(), tensor.bytes()}; }

v1::FileChunk Part(const std::string& path, const std::string& data) {
  v1::FileChunk chunk;
  chunk.set_path(path);
  chunk.set_data(data);
  return chunk;
}

TEST(ExternalDataTest, PartsOfAnySizeFillWhatTheyReach) {
  std::string file(100, '\0');
  std::iota(file.begin(), file.end(), 1);
  for (const size_t step : {1, 3, 7, 50, 99, 100}) {
    ExternalData external;
    const Tensor first = Bytes(10);
    const Tensor inside = Bytes(40);
    const Tensor last = Bytes(30);
    const Tensor none = Bytes(0);
    external.Expect(At("first", "f", 0), first);
    external.Expect(At("inside", "f", 5), inside);
    external.Expect(At("last", "f", 70), last);
    external.Expect(At("none", "f", 200), none);
    for (size_t at = 0; at < file.size(); at += step) {
      external.Receive(Part(at == 0 ? "f" : "", file.substr(at, step)));
    }
    external.Complete();
    EXPECT_EQ(Contents(first), file.substr(0, 10)) << step;
    EXPECT_EQ(Contents(inside), file.substr(5, 40)) << step;
    EXPECT_EQ(Contents(last), file.substr(70, 30)) << step;
  }
}

TEST(ExternalDataTest, FilesMayComeInAnyOrder) {
  ExternalData external;
  const Tensor a = Bytes(3);
  const Tensor b = Bytes(2);
  external.Expect(At("a", "dir/a", 1), a);
  external.Expect(At("b", "b", 0), b);
  external.Receive(Part("b", "xy"));
  EXPECT_EQ(ErrorOf([&] { external.Complete(); }),
            "INVALID_MODEL: initializer 'a' is kept in 'dir/a' from byte 1 to 4, of which 0 came: "
            "send the file in `external`");
  external.Receive(Part("dir/a", "_123 and more"));
  external.Complete();
  EXPECT_EQ(Contents(a), "123");
  EXPECT_EQ(Contents(b), "xy");
}

}  // namespace
}  // namespace gradwire::rpc
