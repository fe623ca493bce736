// Durations counted in log-linear buckets, as HdrHistogram does: percentiles of any run in fixed
// memory, each within 1/128 of the true value. (Debian has no package of the C library.)
#ifndef GRADWIRE_BENCH_HISTOGRAM_H_
#define GRADWIRE_BENCH_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gradwire::bench {

// Not thread-safe.
class Histogram {
 public:
  Histogram();

  // Counts one duration in nanoseconds; negative ones as 0.
  void Add(int64_t nanoseconds);
  void Add(const Histogram& other);
  void Clear();

  uint64_t count() const { return count_; }
  // The largest and the mean, exactly; 0 when empty.
  int64_t max() const { return max_; }
  double mean() const;
  // The smallest bucket edge that at least `quantile` (0 to 1) of the durations do not exceed.
  int64_t Quantile(double quantile) const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace gradwire::bench

#endif  // GRADWIRE_BENCH_HISTOGRAM_H_
