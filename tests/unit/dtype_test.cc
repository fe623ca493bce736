#include "core/dtype.h"

#include <gtest/gtest.h>

#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

TEST(DTypeTest, CodesAreOnnxs) {
  EXPECT_EQ(DTypeFromCode(1), DType::kFloat32);
  EXPECT_EQ(DTypeFromCode(7), DType::kInt64);
  EXPECT_EQ(DTypeFromCode(11), DType::kFloat64);
  EXPECT_EQ(DTypeFromCode(16), DType::kBfloat16);
  for (const int code : {-1, 0, kDTypeCount}) EXPECT_THROW(DTypeFromCode(code), Error) << code;
}

TEST(DTypeTest, NamesAndWidths) {
  EXPECT_EQ(Name(DType::kFloat32), "float32");
  EXPECT_EQ(Name(DType::kBfloat16), "bfloat16");
  EXPECT_EQ(BitWidth(DType::kComplex128), 128);
  EXPECT_EQ(BitWidth(DType::kInt4), 4);
  EXPECT_EQ(BitWidth(DType::kUint2), 2);
  EXPECT_EQ(BitWidth(DType::kString), 128);
}

TEST(DTypeTest, SetsUniteAndIntersect) {
  const DTypeSet set = kFloats | kBool;
  EXPECT_TRUE(set.Contains(DType::kFloat64));
  EXPECT_TRUE(set.Contains(DType::kBool));
  EXPECT_FALSE(set.Contains(DType::kInt8));
  EXPECT_EQ(set.ToString(), "float32, bool, float64");
  EXPECT_TRUE((kFloats & kInts).empty());
  EXPECT_EQ((kNumbers & kFloats).ToString(), kFloats.ToString());
}

TEST(DTypeTest, DispatchMatchesSizes) {
  for (int code = 1; code < kDTypeCount; ++code) {
    const DType dtype = DTypeFromCode(code);
    if (!kDense.Contains(dtype)) continue;
    size_t bytes = 0;
    Dispatch(DenseTypes{}, dtype, [&]<class T>() {
      EXPECT_EQ(DTypeOf<T>(), dtype);
      bytes = sizeof(T);
    });
    EXPECT_EQ(static_cast<int>(bytes) * 8, BitWidth(dtype)) << Name(dtype);
  }
}

TEST(DTypeTest, DispatchRefusesOthers) {
  EXPECT_EQ(ErrorOf([] { Dispatch(FloatTypes{}, DType::kInt32, []<class T>() {}); }),
            "OP_UNSUPPORTED: no kernel for element type int32");
}

}  // namespace
}  // namespace gradwire
