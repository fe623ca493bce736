// As on the CPU; sums over a channel are several teams' where there are few channels. Beside images
// of T, what there is for each channel is of Computed<T>.
#include <algorithm>
#include <cmath>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

constexpr int64_t kManyTeams = 1 << 10;
constexpr int64_t kPart = 1 << 12;  // elements that are worth a team

// [batch, channels, inner], as kernels take it.
struct Layout {
  int64_t channels;
  int64_t inner;
  int64_t count;  // elements of a channel
  int64_t parts;  // whose sums are separate

  explicit Layout(const Dims& dims) {
    const AxisSplit split = SplitAt(dims, 1);
    channels = split.axis;
    inner = split.inner;
    count = split.outer * split.inner;
    parts = std::clamp<int64_t>(kManyTeams / std::max<int64_t>(1, channels), 1,
                                std::max<int64_t>(1, count / kPart));
  }

  int64_t numel() const { return channels * count; }
  GRADWIRE_FN int64_t ChannelOf(int64_t i) const { return i / inner % channels; }
  // Where element k of a channel is.
  GRADWIRE_FN int64_t At(int64_t channel, int64_t k) const {
    return (k / inner * channels + channel) * inner + k % inner;
  }
};

struct Sums {
  double first = 0;
  double second = 0;
};

struct AddSums {
  GRADWIRE_FN Sums operator()(const Sums& a, const Sums& b) const {
    return {a.first + b.first, a.second + b.second};
  }
};

// The sums of term(channel, place) over each part of each channel.
template <class Term>
struct SumParts {
  Layout layout;
  Term term;
  Sums* sums;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    const int64_t channel = row / layout.parts;
    const int64_t part = row % layout.parts;
    const int64_t end = layout.count * (part + 1) / layout.parts;
    Sums mine;
    for (int64_t k = layout.count * part / layout.parts + team.rank(); k < end; k += team.size()) {
      mine = AddSums()(mine, term(channel, layout.At(channel, k)));
    }
    mine = team.Combine(mine, AddSums());
    if (team.rank() == 0) sums[row] = mine;
  }
};

// The sums of all parts, for each channel: then(channel, sums).
template <class Then>
struct Merge {
  int64_t parts;
  const Sums* sums;
  Then then;

  GRADWIRE_FN void operator()(int64_t channel) const {
    Sums all;
    for (int64_t part = 0; part < parts; ++part) {
      all = AddSums()(all, sums[channel * parts + part]);
    }
    then(channel, all);
  }
};

template <class Term, class Then>
void SumChannels(KernelContext& k, const Layout& layout, const Term& term, const Then& then) {
  const BufferPtr memory =
      k.Scratch(static_cast<size_t>(layout.channels * layout.parts) * sizeof(Sums));
  auto* const sums = static_cast<Sums*>(memory->data());
  ForRows(k.stream(), layout.channels * layout.parts, layout.count / layout.parts,
          SumParts<Term>{layout, term, sums});
  ForEach(k.stream(), layout.channels, Merge<Then>{layout.parts, sums, then});
}

template <class T>
struct Element {
  const T* x;
  GRADWIRE_FN Sums operator()(int64_t, int64_t i) const { return {double(x[i]), 0}; }
};

template <class C>
struct ToMean {
  int64_t count;
  C* mean;
  GRADWIRE_FN void operator()(int64_t channel, const Sums& sums) const {
    mean[channel] = static_cast<C>(sums.first / double(count));
  }
};

template <class T>
struct Deviation {
  const T* x;
  const Computed<T>* mean;
  GRADWIRE_FN Sums operator()(int64_t channel, int64_t i) const {
    const double deviation = double(x[i]) - double(mean[channel]);
    return {deviation * deviation, 0};
  }
};

template <class C>
struct ToVariance {
  int64_t count;
  double epsilon;
  const C* scale;
  C* var;
  C* factor;
  GRADWIRE_FN void operator()(int64_t channel, const Sums& sums) const {
    const double variance = sums.first / double(count);
    var[channel] = static_cast<C>(variance);
    factor[channel] = static_cast<C>(double(scale[channel]) / std::sqrt(variance + epsilon));
  }
};

template <class T>
struct Normalize {
  Layout layout;
  const T* x;
  const Computed<T>* mean;
  const Computed<T>* factor;
  const Computed<T>* bias;
  T* y;
  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t channel = layout.ChannelOf(i);
    y[i] = (Loaded(x[i]) - mean[channel]) * factor[channel] + bias[channel];
  }
};

template <class T>
void BatchNorm(KernelContext& k) {
  using C = Computed<T>;
  const Layout layout(k.input(0).dims());
  const T* const x = k.in<T>(0);
  const C *scale = k.in<C>(1), *bias = k.in<C>(2);
  T* const y = k.out<T>(0);
  C *mean = k.out<C>(1), *var = k.out<C>(2);
  const BufferPtr memory = k.Scratch(static_cast<size_t>(layout.channels) * sizeof(C));
  C* const factor = static_cast<C*>(memory->data());
  SumChannels(k, layout, Element<T>{x}, ToMean<C>{layout.count, mean});
  SumChannels(k, layout, Deviation<T>{x, mean},
              ToVariance<C>{layout.count, k.attributes().Float("epsilon"), scale, var, factor});
  ForEach(k.stream(), layout.numel(), Normalize<T>{layout, x, mean, factor, bias, y});
}

// dy, and its product with x - mean.
template <class T>
struct GradTerm {
  const T* dy;
  const T* x;
  const Computed<T>* mean;
  GRADWIRE_FN Sums operator()(int64_t channel, int64_t i) const {
    return {double(dy[i]), double(dy[i]) * (double(x[i]) - double(mean[channel]))};
  }
};

// dx = factor (dy - shift - slope (x - mean)).
template <class C>
struct Line {
  C factor;
  C shift;
  C slope;
};

template <class C>
struct ToLine {
  int64_t count;
  double epsilon;
  const C* scale;
  const C* var;
  C* dscale;
  C* dbias;
  Line<C>* lines;
  GRADWIRE_FN void operator()(int64_t channel, const Sums& sums) const {
    const double inverse = 1 / std::sqrt(double(var[channel]) + epsilon);
    dbias[channel] = static_cast<C>(sums.first);
    dscale[channel] = static_cast<C>(sums.second * inverse);
    lines[channel] = {static_cast<C>(double(scale[channel]) * inverse),
                      static_cast<C>(sums.first / double(count)),
                      static_cast<C>(sums.second * inverse * inverse / double(count))};
  }
};

template <class T>
struct ApplyLine {
  Layout layout;
  const T* dy;
  const T* x;
  const Computed<T>* mean;
  const Line<Computed<T>>* lines;
  T* dx;
  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t channel = layout.ChannelOf(i);
    const Line<Computed<T>> line = lines[channel];
    const Computed<T> deviation = Loaded(x[i]) - mean[channel];
    dx[i] = line.factor * (Loaded(dy[i]) - line.shift - line.slope * deviation);
  }
};

template <class T>
void BatchNormGrad(KernelContext& k) {
  const Layout layout(k.input(1).dims());
  using C = Computed<T>;
  const T *dy = k.in<T>(0), *x = k.in<T>(1);
  const C* const mean = k.in<C>(3);
  const BufferPtr memory = k.Scratch(static_cast<size_t>(layout.channels) * sizeof(Line<C>));
  auto* const lines = static_cast<Line<C>*>(memory->data());
  SumChannels(k, layout, GradTerm<T>{dy, x, mean},
              ToLine<C>{layout.count, k.attributes().Float("epsilon"), k.in<C>(2), k.in<C>(4),
                        k.out<C>(1), k.out<C>(2), lines});
  ForEach(k.stream(), layout.numel(), ApplyLine<T>{layout, dy, x, mean, lines, k.out<T>(0)});
}

void BatchNormKernel(KernelContext& k) {
  Dispatch(WithHalves<FloatTypes>{}, k.output(0).dtype(), [&]<class T>() { BatchNorm<T>(k); });
}
void BatchNormGradKernel(KernelContext& k) {
  Dispatch(WithHalves<FloatTypes>{}, k.output(0).dtype(), [&]<class T>() { BatchNormGrad<T>(k); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "BatchNorm", 1, BatchNormKernel, kHalvesInFirst);
GRADWIRE_CUDA_KERNEL("gradwire", "BatchNormGrad", 1, BatchNormGradKernel,
                     KernelTraits{.halves = 0b11});  // dy and x

}  // namespace
}  // namespace gradwire::cuda
