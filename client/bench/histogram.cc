#include "histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace gradwire::bench {
namespace {

// Values below 2^kBits have a bucket each; every octave above has 2^(kBits - 1).
constexpr int kBits = 8;
constexpr uint64_t kHalf = uint64_t{1} << (kBits - 1);
constexpr size_t kBuckets = (64 - kBits + 2) * kHalf;

size_t IndexOf(uint64_t value) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kBits);
  return shift * kHalf + (value >> shift);
}

// The largest value of a bucket.
uint64_t EdgeOf(size_t index) {
  if (index < 2 * kHalf) return index;
  const size_t shift = index / kHalf - 1;
  return ((index - shift * kHalf + 1) << shift) - 1;
}

}  // namespace

Histogram::Histogram() : buckets_(kBuckets) {}

void Histogram::Add(int64_t nanoseconds) {
  const int64_t value = std::max<int64_t>(nanoseconds, 0);
  ++buckets_[IndexOf(static_cast<uint64_t>(value))];
  ++count_;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Add(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

void Histogram::Clear() { *this = Histogram(); }

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const {
  const auto wanted = static_cast<uint64_t>(
      std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen != 0) return std::min(max_, static_cast<int64_t>(EdgeOf(i)));
  }
  return max_;
}

}  // namespace gradwire::bench
