// NonZero and Unique: how many there are decides the shape, so their input is read during the
// trace.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "graph/formula.h"
#include "graph/on_host.h"

namespace gradwire {
namespace {

// ---- NonZero

template <class T>
bool IsZero(const T& element) {
  if constexpr (std::is_same_v<T, std::string_view>) return element.empty();
  if constexpr (!std::is_same_v<T, std::string_view>) return static_cast<double>(element) == 0;
}

// int64[rank, count]: a column for the indices of each element that is not 0, or "".
Values DecomposeNonZero(const OpCall& call) {
  const Tensor x = OnHost(call.input(0));
  std::vector<int64_t> found;
  const auto find = [&]<class T>() {
    const T* data = x.data<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      if (!IsZero(data[i])) found.push_back(i);
    }
  };
  if (x.dtype() == DType::kString) {
    find.operator()<std::string_view>();
  } else {
    Dispatch(DenseTypes{}, x.dtype(), find);
  }
  const auto count = static_cast<int64_t>(found.size());
  Tensor indices = HostTensor({DType::kInt64, {x.rank(), count}});
  const Dims strides = Strides(x.dims());
  for (int64_t d = 0; d < x.rank(); ++d) {
    int64_t* row = indices.mutable_data<int64_t>() + d * count;
    for (int64_t i = 0; i < count; ++i) {
      row[i] = found[size_t(i)] / strides[size_t(d)] % x.dims()[size_t(d)];
    }
  }
  return {Constant(indices)};
}

GRADWIRE_OP({.name = "NonZero",
             .since = 9,
             .types = kMoved,
             .decompose = DecomposeNonZero,
             .differentiable = false});

// ---- Unique

// Orders slices of an array along an axis by their elements; NaN is above all numbers and equal to
// itself.
template <class T>
class SliceOrder {
 public:
  SliceOrder(const T* data, const AxisSplit& split) : data_(data), split_(split) {}

  // -1, 0 or 1 where slice a is before, equal to or after slice b.
  int Compare(int64_t a, int64_t b) const {
    for (int64_t outer = 0; outer < split_.outer; ++outer) {
      const T* first = data_ + (outer * split_.axis + a) * split_.inner;
      const T* second = data_ + (outer * split_.axis + b) * split_.inner;
      for (int64_t i = 0; i < split_.inner; ++i) {
        if (Before(first[i], second[i])) return -1;
        if (Before(second[i], first[i])) return 1;
      }
    }
    return 0;
  }

 private:
  static bool IsNan(T x) {
    if constexpr (std::is_convertible_v<T, float>) return std::isnan(static_cast<float>(x));
    return false;
  }
  static bool Before(T a, T b) { return a < b || (!IsNan(a) && IsNan(b)); }

  const T* data_;
  const AxisSplit& split_;
};

struct Groups {
  std::vector<int64_t> firsts;   // where each first occurs
  std::vector<int64_t> counts;   // how often each occurs
  std::vector<int64_t> members;  // which one each slice is
};

template <class T>
Groups FindGroups(const T* data, const AxisSplit& split, bool sorted) {
  const SliceOrder<T> slices(data, split);
  std::vector<int64_t> order(static_cast<size_t>(split.axis));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return slices.Compare(a, b) < 0; });
  std::vector<std::vector<int64_t>> groups;  // equal slices, by index
  for (const int64_t slice : order) {
    if (groups.empty() || slices.Compare(groups.back()[0], slice) != 0) groups.emplace_back();
    groups.back().push_back(slice);
  }
  if (!sorted) std::sort(groups.begin(), groups.end());
  Groups result;
  result.members.resize(order.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    result.firsts.push_back(groups[g][0]);
    result.counts.push_back(std::ssize(groups[g]));
    for (const int64_t slice : groups[g]) result.members[size_t(slice)] = static_cast<int64_t>(g);
  }
  return result;
}

// Strings are in the order of their bytes, which is that of their characters' numbers.
Groups FindGroups(const Tensor& x, const AxisSplit& split, bool sorted) {
  if (x.dtype() == DType::kString) return FindGroups(x.data<std::string_view>(), split, sorted);
  Groups groups;
  Dispatch(DenseTypes{}, x.dtype(),
           [&]<class T>() { groups = FindGroups(x.data<T>(), split, sorted); });
  return groups;
}

Values DecomposeUnique(const OpCall& call) {
  const bool flat = !call.attributes().Has("axis");
  const Value x = flat ? Reshape(call.input(0), {call.spec(0).numel()}) : call.input(0);
  const int axis = flat ? 0 : call.Axis("axis", 0);
  const bool sorted = call.attributes().Int("sorted", 1) != 0;
  const Tensor host = OnHost(call.input(0));
  const Groups groups = FindGroups(host, SplitAt(x.dims(), axis), sorted);
  const Value firsts = IntVector(groups.firsts);
  return {Call("Gather", {x, firsts}, {{"axis", int64_t{axis}}}), firsts, IntVector(groups.members),
          IntVector(groups.counts)};
}

GRADWIRE_OP({.name = "Unique",
             .since = 11,
             .outputs = {1, 4},
             .types = kMoved,
             .attributes = {"axis", "sorted"},
             .decompose = DecomposeUnique});

}  // namespace
}  // namespace gradwire
