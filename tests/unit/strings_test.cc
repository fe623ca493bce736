#include "core/strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "core/host_tensor.h"
#include "exec/executor.h"
#include "graph/formula.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Longer than what a std::string keeps in place, so that a dangling element is seen by sanitizers.
const std::string kLong(1000, 'x');

class StringsTest : public ::testing::Test {
 protected:
  Value Make(const Dims& dims, std::vector<std::string_view> texts) { return Strings(dims, texts); }
  std::vector<std::string> Read(const Value& value) {
    executor_.Evaluate(std::vector{value});
    const auto texts = Texts(value.tensor());
    return {texts.begin(), texts.end()};
  }

  CpuBackend backend_;
  std::shared_ptr<Quota> quota_ = std::make_shared<Quota>(1 << 20);
  std::unique_ptr<Stream> stream_ = backend_.NewStream(quota_);
  uint64_t random_state_ = 1;
  Executor executor_{*stream_, [] {}};
  Trace trace_{*stream_, executor_, random_state_};
  TraceScope scope_{trace_};
};

TEST_F(StringsTest, ElementsAreCopiesInOnePool) {
  std::string text = "ab";
  const Value x = Make({3}, {text, "", "cde"});
  text = "zz";
  EXPECT_THAT(Read(x), ElementsAre("ab", "", "cde"));
  EXPECT_EQ(x.tensor().buffer()->held().size(), 1);
}

TEST_F(StringsTest, BytesOfThePoolAreBooked) {
  const int64_t before = quota_->used();
  {
    const Value x = Make({1}, {kLong});
    EXPECT_GE(quota_->used() - before, 1000);
  }
  EXPECT_EQ(quota_->used(), before);
  const std::string huge(2 << 20, 'x');
  EXPECT_THAT(testing::ErrorOf([&] { Make({1}, {huge}); }), HasSubstr("max_session_bytes"));
  EXPECT_EQ(quota_->used(), before);
}

TEST_F(StringsTest, MovedElementsOutliveWhereTheyCameFrom) {
  Value y;
  {
    const Value a = Make({2}, {kLong, "a"});
    const Value b = Make({2}, {"b", kLong + "b"});
    y = Slice(Concat({a, b}, 0), {0}, {4}, {0}, {3});
  }
  EXPECT_THAT(Read(y), ElementsAre(kLong, kLong + "b"));
  y = Value();
  EXPECT_EQ(quota_->used(), 0);
}

TEST_F(StringsTest, AKernelThatMakesAPoolLetsItsInputsGo) {
  const Value x = Make({1}, {"a"});
  const Value y = Call("StringConcat", {Call("StringConcat", {x, x}), x});
  EXPECT_THAT(Read(y), ElementsAre("aaa"));
  EXPECT_EQ(y.tensor().buffer()->held().size(), 1);
}

TEST_F(StringsTest, WhereHoldsBothSides) {
  Value y;
  {
    const Value a = Make({2}, {kLong, "a"});
    const Value b = Make({2}, {"b", kLong});
    y = Where(Equal(a, Make({}, {"a"})), a, b);
  }
  EXPECT_THAT(Read(y), ElementsAre("b", "a"));
  EXPECT_EQ(y.tensor().buffer()->held().size(), 2);
}

TEST_F(StringsTest, ConstantsAreTheSessionsOwn) {
  const std::string_view texts[] = {"a", kLong};
  Value constant;
  {
    const Tensor host = MakeStrings({2}, texts, HostBuffer::Make);
    constant = Constant(host);
  }
  EXPECT_THAT(Read(constant), ElementsAre("a", kLong));
  EXPECT_GE(quota_->used(), 1000);
}

TEST_F(StringsTest, AnArrayOfZeroBitsHoldsEmptyStrings) {
  const Tensor zeros = HostTensor({DType::kString, {2}});
  EXPECT_THAT(Texts(zeros), ElementsAre("", ""));
}

TEST_F(StringsTest, WhatTakesBytesRefusesThem) {
  EXPECT_THAT(testing::ErrorOf([] { RequireBytes({DType::kString, {3}}, "PutStream"); }),
              HasSubstr("PutStream takes no arrays of strings, got string[3]"));
  RequireBytes({DType::kInt8, {3}}, "PutStream");
  EXPECT_THAT(testing::ErrorOf([] { RequireUtf8("a\xff", "element 1"); }),
              HasSubstr("element 1 is not UTF-8: 'a?'"));
  EXPECT_THAT(testing::ErrorOf([] { RequireStringDevice({DeviceType::kCuda, 1}); }),
              HasSubstr("this is cuda:1"));
}

}  // namespace
}  // namespace gradwire
