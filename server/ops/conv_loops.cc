#include "ops/conv_loops.h"

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "ops/product.h"

namespace gradwire {
namespace {

constexpr int64_t kGrain = 1 << 15;

// A group's images unfolded: element (channel and tap, output position) is the input under that
// tap, 0 in the padding.
template <class T>
class Unfolded {
 public:
  Unfolded(Stream& stream, const ConvProblem& problem)
      : geometry_(problem.geometry),
        channels_(problem.in_channels),
        buffer_(stream.Allocate(static_cast<size_t>(rows() * columns()) * sizeof(T))) {}

  int64_t rows() const { return channels_ * geometry_.taps(); }
  int64_t columns() const { return geometry_.out_size(); }
  T* data() const { return static_cast<T*>(buffer_->data()); }
  MatrixView<T> view() const { return {data(), columns(), 1}; }
  MatrixView<T> transposed() const { return {data(), 1, columns()}; }

  void Fill(const T* x) {
    const Geometry& g = geometry_;
    const int64_t step = g.stride[2];
    ForEachChannel([&](int64_t channel, T* rows) {
      std::fill_n(rows, g.taps() * columns(), T{});
      const T* plane = x + channel * g.in_size();
      ForEachTapLine(g, [&](int64_t tap, int64_t out_at, int64_t in_at, int64_t count) {
        T* to = rows + tap * columns() + out_at;
        const T* from = plane + in_at;
        for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
      });
    });
  }

  // The adjoint of Fill.
  void AddBack(T* x) {
    const Geometry& g = geometry_;
    const int64_t step = g.stride[2];
    ForEachChannel([&](int64_t channel, const T* rows) {
      T* plane = x + channel * g.in_size();
      std::fill_n(plane, g.in_size(), T{});
      ForEachTapLine(g, [&](int64_t tap, int64_t out_at, int64_t in_at, int64_t count) {
        const T* from = rows + tap * columns() + out_at;
        T* to = plane + in_at;
        for (int64_t i = 0; i < count; ++i) to[i * step] += from[i];
      });
    });
  }

 private:
  template <class F>
  void ForEachChannel(F&& f) {
    const int64_t size = geometry_.taps() * columns();
    ParallelFor(channels_, 1 + kGrain / std::max<int64_t>(1, size),
                [&](int64_t begin, int64_t end) {
                  for (int64_t c = begin; c < end; ++c) f(c, data() + c * size);
                });
  }

  const Geometry geometry_;
  const int64_t channels_;
  const BufferPtr buffer_;
};

// Calls f(x's offset, w's offset, y's offset, image) for each image of each group.
template <class F>
void ForEachImage(const ConvProblem& p, F&& f) {
  const int64_t x_size = p.in_channels * p.geometry.in_size();
  const int64_t y_size = p.out_channels * p.geometry.out_size();
  const int64_t w_size = p.out_channels * p.in_channels * p.geometry.taps();
  for (int64_t image = 0; image < p.batch; ++image) {
    for (int64_t group = 0; group < p.groups; ++group) {
      const int64_t at = image * p.groups + group;
      f(at * x_size, group * w_size, at * y_size, image);
    }
  }
}

}  // namespace

template <class T>
void ConvForward(Stream& stream, const ConvProblem& p, const T* x, const T* w, const T* bias,
                 T* y) {
  Unfolded<T> unfolded(stream, p);
  const int64_t positions = unfolded.columns();
  const int64_t channels = p.groups * p.out_channels;
  for (int64_t i = 0; bias != nullptr && i < p.batch * channels; ++i) {
    std::fill_n(y + i * positions, positions, bias[i % channels]);
  }
  ForEachImage(p, [&](int64_t x_at, int64_t w_at, int64_t y_at, int64_t) {
    unfolded.Fill(x + x_at);
    const Product<T> product{
        p.out_channels,  positions, unfolded.rows(), {w + w_at, unfolded.rows(), 1},
        unfolded.view(), y + y_at,  positions,       bias != nullptr};
    Multiply<T>(stream, std::array{product});
  });
}

template <class T>
void ConvInputGrad(Stream& stream, const ConvProblem& p, const T* dy, const T* w, T* dx) {
  Unfolded<T> unfolded(stream, p);
  const int64_t positions = unfolded.columns();
  ForEachImage(p, [&](int64_t x_at, int64_t w_at, int64_t y_at, int64_t) {
    const Product<T> product{
        unfolded.rows(),           positions,       p.out_channels, {w + w_at, 1, unfolded.rows()},
        {dy + y_at, positions, 1}, unfolded.data(), positions};
    Multiply<T>(stream, std::array{product});
    unfolded.AddBack(dx + x_at);
  });
}

template <class T>
void ConvWeightGrad(Stream& stream, const ConvProblem& p, const T* x, const T* dy, T* dw) {
  Unfolded<T> unfolded(stream, p);
  const int64_t positions = unfolded.columns();
  const int64_t weights = p.groups * p.out_channels * unfolded.rows();
  if (p.batch == 0) std::fill_n(dw, weights, T{});
  ForEachImage(p, [&](int64_t x_at, int64_t w_at, int64_t y_at, int64_t image) {
    unfolded.Fill(x + x_at);
    const Product<T> product{
        p.out_channels,        unfolded.rows(), positions,       {dy + y_at, positions, 1},
        unfolded.transposed(), dw + w_at,       unfolded.rows(), image > 0};
    Multiply<T>(stream, std::array{product});
  });
}

template void ConvForward<float>(Stream&, const ConvProblem&, const float*, const float*,
                                 const float*, float*);
template void ConvForward<double>(Stream&, const ConvProblem&, const double*, const double*,
                                  const double*, double*);
template void ConvInputGrad<float>(Stream&, const ConvProblem&, const float*, const float*, float*);
template void ConvInputGrad<double>(Stream&, const ConvProblem&, const double*, const double*,
                                    double*);
template void ConvWeightGrad<float>(Stream&, const ConvProblem&, const float*, const float*,
                                    float*);
template void ConvWeightGrad<double>(Stream&, const ConvProblem&, const double*, const double*,
                                     double*);

}  // namespace gradwire
