// Convolutions through cuDNN or, where it has nothing for one, as matrix products over unfolded
// inputs.
#include <algorithm>

#include "backend/cuda/convolution.h"
#include "backend/cuda/launch.h"
#include "ops/conv_loops.h"
#include "ops/cuda_kernel.h"
#include "ops/dot.cuh"
#include "ops/sliding.cuh"

namespace gradwire::cuda {
namespace {

// Memory for unfolded inputs: more images at a time go through fewer, larger products.
constexpr int64_t kUnfoldedBytes = int64_t{64} << 20;

// A group's images unfolded: rows are channels and taps, columns are outputs. Where an element of
// image n is: n * image + row * row_step + column.
struct Unfolded {
  Sliding window;
  int64_t channels;
  int64_t image;
  int64_t row_step;

  GRADWIRE_FN int64_t rows() const { return channels * window.taps(); }
};

// x[image i of x_image elements] to columns; 0 in the padding.
template <class T>
struct Unfold {
  Unfolded to;
  const T* x;
  int64_t x_image;
  T* columns;

  GRADWIRE_FN void operator()(int64_t i) const {
    const Sliding& w = to.window;
    const int64_t column = i % w.out_size();
    const int64_t row = i / w.out_size() % to.rows();
    const int64_t n = i / w.out_size() / to.rows();
    const int64_t at =
        w.InputUnder(Sliding::Split(column, w.out), Sliding::Split(row % w.taps(), w.kernel));
    const T* plane = x + n * x_image + row / w.taps() * w.in_size();
    columns[n * to.image + row * to.row_step + column] = at < 0 ? T(0) : plane[at];
  }
};

// The adjoint: each input is the sum of the elements that it was copied to.
template <class T>
struct Fold {
  Unfolded from;
  const T* columns;
  int64_t x_image;
  T* x;

  GRADWIRE_FN void operator()(int64_t i) const {
    const Sliding& w = from.window;
    const int64_t channel = i / w.in_size() % from.channels;
    const int64_t n = i / w.in_size() / from.channels;
    const Point input = Sliding::Split(i % w.in_size(), w.in);
    T sum = 0;
    w.ForOutputsOver(input, [&](int64_t column, int64_t tap) {
      sum += columns[n * from.image + (channel * w.taps() + tap) * from.row_step + column];
    });
    x[n * x_image + channel * w.in_size() + i % w.in_size()] = sum;
  }
};

template <class T>
struct AddBias {
  const T* bias;
  T* y;
  int64_t size;
  int64_t channels;

  GRADWIRE_FN void operator()(int64_t i) const { y[i] += bias[i / size % channels]; }
};

// What the three kernels share: a group, and some images at a time.
template <class T>
class Conv {
 public:
  Conv(KernelContext& context, const ConvProblem& problem)
      : stream_(context.stream()),
        window_(problem.geometry),
        p_(problem),
        rows_(p_.in_channels * window_.taps()),
        size_(window_.out_size()),
        x_image_(p_.groups * p_.in_channels * window_.in_size()),
        y_image_(p_.groups * p_.out_channels * size_) {
    const int64_t bytes = std::max<int64_t>(1, rows_ * size_ * int64_t{sizeof(T)});
    images_ = std::clamp<int64_t>(kUnfoldedBytes / bytes, 1, std::max<int64_t>(1, p_.batch));
  }

  void Forward(const T* x, const T* w, const T* bias, T* y) {
    if (rows_ == 0) return Clear(y, p_.batch * y_image_, bias);
    if (ByDnn(Convolution::Makes::kY, x, w, y)) {
      if (bias != nullptr) AddTo(y, bias);
      return;
    }
    const BufferPtr memory = Scratch(rows_ * size_ * images_);
    T* const columns = static_cast<T*>(memory->data());
    const Unfolded unfolded{window_, p_.in_channels, rows_ * size_, size_};
    ForParts([&](int64_t group, int64_t first, int64_t count) {
      ForEach(stream_, count * rows_ * size_,
              Unfold<T>{unfolded, X(x, group, first), x_image_, columns});
      MatrixProduct product = Product(p_.out_channels, size_, rows_);
      product.a = w + group * p_.out_channels * rows_;
      product.b = columns;
      product.c = Y(y, group, first);
      product.count = count;
      product.b_step = rows_ * size_;
      product.c_step = y_image_;
      MultiplyAs<T>(stream_, product);
    });
    if (bias != nullptr) AddTo(y, bias);
  }

  void InputGrad(const T* dy, const T* w, T* dx) {
    if (p_.out_channels == 0 || size_ == 0 || rows_ == 0) {
      return Clear(dx, p_.batch * x_image_, nullptr);
    }
    if (ByDnn(Convolution::Makes::kX, dx, w, dy)) return;
    const BufferPtr memory = Scratch(rows_ * size_ * images_);
    T* const columns = static_cast<T*>(memory->data());
    const Unfolded unfolded{window_, p_.in_channels, rows_ * size_, size_};
    ForParts([&](int64_t group, int64_t first, int64_t count) {
      MatrixProduct product = Product(rows_, size_, p_.out_channels);
      product.transpose_a = true;
      product.a = w + group * p_.out_channels * rows_;
      product.b = Y(dy, group, first);
      product.c = columns;
      product.count = count;
      product.b_step = y_image_;
      product.c_step = rows_ * size_;
      MultiplyAs<T>(stream_, product);
      ForEach(stream_, count * p_.in_channels * window_.in_size(),
              Fold<T>{unfolded, columns, x_image_, X(dx, group, first)});
    });
  }

  // Images stand side by side, so that one product sums over them.
  void WeightGrad(const T* x, const T* dy, T* dw) {
    if (p_.batch == 0 || size_ == 0) {
      return Clear(dw, p_.groups * p_.out_channels * rows_, nullptr);
    }
    if (ByDnn(Convolution::Makes::kW, x, dw, dy)) return;
    const BufferPtr memory = Scratch((rows_ + p_.out_channels) * size_ * images_);
    T* const columns = static_cast<T*>(memory->data());
    T* const rows_of_dy = columns + rows_ * size_ * images_;
    ForParts([&](int64_t group, int64_t first, int64_t count) {
      const int64_t width = count * size_;
      const Unfolded unfolded{window_, p_.in_channels, size_, width};
      ForEach(stream_, count * rows_ * size_,
              Unfold<T>{unfolded, X(x, group, first), x_image_, columns});
      stream_.Copy({{p_.out_channels, count, size_}, {size_, y_image_, 1}, {width, size_, 1}},
                   sizeof(T), Y(dy, group, first), rows_of_dy);
      MatrixProduct product = Product(p_.out_channels, rows_, width);
      product.transpose_b = true;
      product.a = rows_of_dy;
      product.b = columns;
      product.c = dw + group * p_.out_channels * rows_;
      product.accumulate = first != 0;
      MultiplyAs<T>(stream_, product);
    });
  }

 private:
  // False: not done. Which of the arrays is written, `makes` says.
  bool ByDnn(Convolution::Makes makes, const T* x, const T* w, const T* y) const {
    const Geometry& g = p_.geometry;
    const Convolution convolution{makes,          DTypeOf<T>(),    p_.batch, p_.groups,
                                  p_.in_channels, p_.out_channels, g.in,     g.kernel,
                                  g.stride,       g.dilation,      g.begin,  g.out};
    return Convolve(stream_, convolution,
                    {const_cast<T*>(x), const_cast<T*>(w), const_cast<T*>(y)});
  }
  BufferPtr Scratch(int64_t elements) {
    return stream_.Allocate(static_cast<size_t>(elements) * sizeof(T));
  }
  template <class Pointer>
  Pointer X(Pointer x, int64_t group, int64_t image) const {
    return x + image * x_image_ + group * p_.in_channels * window_.in_size();
  }
  template <class Pointer>
  Pointer Y(Pointer y, int64_t group, int64_t image) const {
    return y + image * y_image_ + group * p_.out_channels * size_;
  }
  static MatrixProduct Product(int64_t m, int64_t n, int64_t k) {
    return {.dtype = DTypeOf<T>(), .m = m, .n = n, .k = k};
  }
  template <class F>
  void ForParts(const F& f) const {
    for (int64_t group = 0; group < p_.groups; ++group) {
      for (int64_t first = 0; first < p_.batch; first += images_) {
        f(group, first, std::min(images_, p_.batch - first));
      }
    }
  }
  void AddTo(T* y, const T* bias) {
    ForEach(stream_, p_.batch * y_image_, AddBias<T>{bias, y, size_, p_.groups * p_.out_channels});
  }
  void Clear(T* to, int64_t elements, const T* bias) {
    stream_.Zero(to, static_cast<size_t>(elements) * sizeof(T));
    if (bias != nullptr) AddTo(to, bias);
  }

  Stream& stream_;
  const Sliding window_;
  const ConvProblem p_;
  const int64_t rows_, size_;  // of one unfolded image
  const int64_t x_image_, y_image_;
  int64_t images_;
};

void ConvKernel(KernelContext& k) {
  if (k.output(0).numel() == 0) return;
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    Conv<T>(k, ProblemOfConv(k))
        .Forward(k.in<T>(0), k.in<T>(1), k.has(2) ? k.in<T>(2) : nullptr, k.out<T>(0));
  });
}

void InputGradKernel(KernelContext& k) {
  if (k.output(0).numel() == 0) return;
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    Conv<T>(k, ProblemOfInputGrad(k)).InputGrad(k.in<T>(0), k.in<T>(1), k.out<T>(0));
  });
}

void WeightGradKernel(KernelContext& k) {
  if (k.output(0).numel() == 0) return;
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    Conv<T>(k, ProblemOfWeightGrad(k)).WeightGrad(k.in<T>(0), k.in<T>(1), k.out<T>(0));
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Conv", 1, ConvKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "ConvInputGrad", 1, InputGradKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "ConvWeightGrad", 1, WeightGradKernel);

}  // namespace
}  // namespace gradwire::cuda
