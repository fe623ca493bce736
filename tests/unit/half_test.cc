#include "core/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradwire {
namespace {

// Every 16-bit pattern against IEEE 754's definition, computed in double with ldexp. Rounding is
// checked at each point where it can change: the middle of two neighbours, and one float beside it.
template <class T>
struct Format;
template <>
struct Format<Float16> {
  static constexpr int kMantissaBits = 10;
  static constexpr int kBias = 15;
};
template <>
struct Format<BFloat16> {
  static constexpr int kMantissaBits = 7;
  static constexpr int kBias = 127;
};

template <class T>
class HalfTest : public ::testing::Test {
 protected:
  using F = Format<T>;
  static constexpr uint32_t kInfinity = 0x7fffu >> F::kMantissaBits << F::kMantissaBits;

  static T FromBits(uint32_t bits) {
    T half;
    half.bits = static_cast<uint16_t>(bits);
    return half;
  }
  // The value of a non-negative pattern; that of infinity as if the exponents went on.
  static double Decode(uint32_t bits) {
    const int exponent = static_cast<int>(bits >> F::kMantissaBits);
    const uint32_t mantissa = bits & ((1u << F::kMantissaBits) - 1);
    const uint32_t hidden = exponent == 0 ? 0 : 1u << F::kMantissaBits;
    return std::ldexp(hidden + mantissa, std::max(exponent, 1) - F::kBias - F::kMantissaBits);
  }
};

using Halves = ::testing::Types<Float16, BFloat16>;
TYPED_TEST_SUITE(HalfTest, Halves);

TYPED_TEST(HalfTest, WidensEveryFiniteValue) {
  for (uint32_t bits = 0; bits < this->kInfinity; ++bits) {
    ASSERT_EQ(static_cast<float>(this->FromBits(bits)), this->Decode(bits)) << bits;
    const float negative = this->FromBits(bits | 0x8000u);
    ASSERT_EQ(negative, -this->Decode(bits)) << bits;
    ASSERT_TRUE(std::signbit(negative)) << bits;
  }
}

TYPED_TEST(HalfTest, KeepsEveryValueThroughFloat) {
  for (uint32_t bits = 0; bits <= 0xffffu; ++bits) {
    const float wide = this->FromBits(bits);
    if ((bits & 0x7fffu) > this->kInfinity) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(TypeParam(wide)))) << bits;
    } else {
      ASSERT_EQ(TypeParam(wide).bits, bits);
    }
  }
}

TYPED_TEST(HalfTest, RoundsToNearestEven) {
  constexpr float kMax = std::numeric_limits<float>::max();
  for (uint32_t bits = 0; bits < this->kInfinity; ++bits) {
    const auto middle = static_cast<float>((this->Decode(bits) + this->Decode(bits + 1)) / 2);
    const uint32_t even = bits + (bits & 1u);
    ASSERT_EQ(TypeParam(std::nextafter(middle, 0.0f)).bits, bits);
    ASSERT_EQ(TypeParam(middle).bits, even);
    ASSERT_EQ(TypeParam(std::nextafter(middle, kMax)).bits, bits + 1);
    ASSERT_EQ(TypeParam(-middle).bits, even | 0x8000u);
  }
}

TYPED_TEST(HalfTest, OverflowsToInfinity) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(TypeParam(std::numeric_limits<float>::max()).bits, this->kInfinity);
  EXPECT_EQ(TypeParam(infinity).bits, this->kInfinity);
  EXPECT_EQ(TypeParam(-infinity).bits, this->kInfinity | 0x8000u);
}

}  // namespace
}  // namespace gradwire
