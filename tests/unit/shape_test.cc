#include "core/shape.h"

#include <gtest/gtest.h>

#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

TEST(ShapeTest, CountsElementsAndBytes) {
  EXPECT_EQ((TensorSpec{DType::kFloat32, {}}.numel()), 1);
  EXPECT_EQ((TensorSpec{DType::kFloat32, {2, 3}}.bytes()), 24);
  EXPECT_EQ((TensorSpec{DType::kFloat64, {2, 0, 3}}.bytes()), 0);
  EXPECT_EQ((TensorSpec{DType::kInt4, {3}}.bytes()), 2);
  EXPECT_EQ((TensorSpec{DType::kUint2, {5}}.bytes()), 2);
}

TEST(ShapeTest, Spells) {
  EXPECT_EQ(ToString(TensorSpec{DType::kFloat32, {2, 3}}), "float32[2,3]");
  EXPECT_EQ(ToString(TensorSpec{DType::kBool, {}}), "bool[]");
}

TEST(ShapeTest, RefusesNegativeAndOverflowingExtents) {
  CheckSpec({DType::kFloat32, {0, int64_t{1} << 45}});
  CheckSpec({DType::kInt8, {int64_t{1} << 24, int64_t{1} << 24}});
  EXPECT_EQ(ErrorOf([] { CheckSpec({DType::kFloat32, {0, int64_t{1} << 62}}); }),
            "INVALID_ARGUMENT: shape float32[0,4611686018427387904] is larger than 2^48 bytes");
  // Its bits were 2^64, hence no bytes at all.
  EXPECT_EQ(ErrorOf([] { CheckSpec({DType::kFloat32, {int64_t{1} << 59}}); }),
            "INVALID_ARGUMENT: shape float32[576460752303423488] is larger than 2^48 bytes");
  EXPECT_EQ(ErrorOf([] { CheckSpec({DType::kFloat32, Dims(65, 1)}); }),
            "INVALID_ARGUMENT: a shape has at most 64 dimensions, got 65");
  EXPECT_EQ(ErrorOf([] { CheckSpec({DType::kFloat32, {2, -1}}); }),
            "INVALID_ARGUMENT: shape float32[2,-1] has a negative extent");
  EXPECT_EQ(ErrorOf([] { CheckSpec({DType::kFloat32, {1 << 30, 1 << 30, 4}}); }),
            "INVALID_ARGUMENT: shape float32[1073741824,1073741824,4] is larger than 2^48 bytes");
}

TEST(ShapeTest, NormalizesAxes) {
  EXPECT_EQ(NormalizeAxis(-1, 3), 2);
  EXPECT_EQ(NormalizeAxis(0, 3), 0);
  EXPECT_EQ(NormalizeAxes(Dims{-1, 0}, 3), (Dims{0, 2}));
  EXPECT_EQ(ErrorOf([] { NormalizeAxis(3, 3); }),
            "INVALID_ARGUMENT: axis 3 is out of range for rank 3");
  EXPECT_EQ(ErrorOf([] { NormalizeAxis(0, 0, "split"); }),
            "INVALID_ARGUMENT: split 0 is out of range for rank 0");
  EXPECT_EQ(ErrorOf([] { NormalizeAxes(Dims{2, -1}, 3); }),
            "INVALID_ARGUMENT: axes [2,-1] repeat an axis");
}

TEST(ShapeTest, BroadcastsAsNumPyDoes) {
  EXPECT_EQ(BroadcastDims(Dims{2, 3}, Dims{3}), (Dims{2, 3}));
  EXPECT_EQ(BroadcastDims(Dims{2, 1}, Dims{4, 1, 3}), (Dims{4, 2, 3}));
  EXPECT_EQ(BroadcastDims(Dims{}, Dims{5}), (Dims{5}));
  EXPECT_EQ(BroadcastDims(Dims{}, Dims{}), (Dims{}));
  EXPECT_EQ(BroadcastDims(Dims{1}, Dims{0}), (Dims{0}));
  EXPECT_EQ(ErrorOf([] { BroadcastDims(Dims{2, 3}, Dims{4}); }),
            "SHAPE_MISMATCH: shapes [2,3] and [4] do not broadcast: 3 != 4");
  EXPECT_EQ(ErrorOf([] { BroadcastDims(Dims{2}, Dims{0}); }),
            "SHAPE_MISMATCH: shapes [2] and [0] do not broadcast: 2 != 0");
}

TEST(ShapeTest, Strides) {
  EXPECT_EQ(Strides(Dims{2, 3, 4}), (Dims{12, 4, 1}));
  EXPECT_EQ(Strides(Dims{}), (Dims{}));
  EXPECT_EQ(BroadcastStrides(Dims{3, 1}, Dims{2, 3, 4}), (Dims{0, 1, 0}));
}

TEST(ShapeTest, SplitsAroundAnAxis) {
  const AxisSplit split = SplitAt(Dims{2, 3, 4, 5}, 1);
  EXPECT_EQ(split.outer, 2);
  EXPECT_EQ(split.axis, 3);
  EXPECT_EQ(split.inner, 20);
}

}  // namespace
}  // namespace gradwire
