// Elementwise operators on the GPU, from the functors that the CPU's loops use too.
#ifndef GRADWIRE_OPS_ELEMENTWISE_CUH_
#define GRADWIRE_OPS_ELEMENTWISE_CUH_

#include <array>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/offsets.cuh"
#include "ops/pack.h"
#include "ops/real_math.h"

namespace gradwire::cuda {

// A functor of a call: with the call's parameters, where it has any.
template <class F>
F FunctorOf(const Attributes& attributes) {
  if constexpr (requires { F::Make(attributes); }) {
    return F::Make(attributes);
  } else {
    return F{};
  }
}

// Elements that a thread takes at a time, where all arrays are walked alike: loads of 16 bytes of
// the widest type. Buffers are aligned to more.
template <class T, class R>
inline constexpr int kPack = kPackBytes / (sizeof(T) > sizeof(R) ? sizeof(T) : sizeof(R));

// y[i] = f(x[i]) for the i-th pack, or what is left of it. y may be x.
template <class T, class R, class F>
struct MapPacks {
  static constexpr int kCount = kPack<T, R>;
  const T* x;
  R* y;
  int64_t n;
  F f;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t first = i * kCount;
    if (first + kCount <= n) {
      const Pack<T, kCount> in = *reinterpret_cast<const Pack<T, kCount>*>(x + first);
      Pack<R, kCount> out;
      for (int j = 0; j < kCount; ++j) out.at[j] = f(Loaded(in.at[j]));
      *reinterpret_cast<Pack<R, kCount>*>(y + first) = out;
    } else {
      for (int64_t j = first; j < n; ++j) y[j] = f(Loaded(x[j]));
    }
  }
};

template <class T, class R, class F>
void Map(Stream& stream, const T* x, R* y, int64_t n, const F& f) {
  constexpr int kCount = kPack<T, R>;
  ForEach(stream, (n + kCount - 1) / kCount, MapPacks<T, R, F>{x, y, n, f});
}

// The same of two arrays of y's shape, or of one such and one element.
template <class T, class R, class F>
struct MapPairs {
  static constexpr int kCount = kPack<T, R>;
  const T* a;
  const T* b;
  bool a_is_one;
  bool b_is_one;
  R* y;
  int64_t n;
  F f;

  GRADWIRE_FN Pack<T, kCount> Load(const T* from, bool is_one, int64_t first) const {
    if (!is_one) return *reinterpret_cast<const Pack<T, kCount>*>(from + first);
    Pack<T, kCount> pack;
    for (int j = 0; j < kCount; ++j) pack.at[j] = *from;
    return pack;
  }
  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t first = i * kCount;
    if (first + kCount <= n) {
      const Pack<T, kCount> left = Load(a, a_is_one, first);
      const Pack<T, kCount> right = Load(b, b_is_one, first);
      Pack<R, kCount> out;
      for (int j = 0; j < kCount; ++j) out.at[j] = f(Loaded(left.at[j]), Loaded(right.at[j]));
      *reinterpret_cast<Pack<R, kCount>*>(y + first) = out;
    } else {
      for (int64_t j = first; j < n; ++j) {
        y[j] = f(Loaded(a[a_is_one ? 0 : j]), Loaded(b[b_is_one ? 0 : j]));
      }
    }
  }
};

// y = f(a, b), broadcast in any way.
template <class T, class R, class F>
struct MapBroadcast {
  const T* a;
  const T* b;
  R* y;
  Offsets<2> offsets;
  F f;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t at[2];
    offsets.Of(i, at);
    y[i] = f(Loaded(a[at[0]]), Loaded(b[at[1]]));
  }
};

template <class T, class R, class F>
void MapTwo(KernelContext& context, const F& f) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  const Dims& dims = context.output(0).dims();
  const int64_t n = context.output(0).numel();
  const T* left = context.in<T>(0);
  const T* right = context.in<T>(1);
  R* const y = context.out<R>(0);
  const bool a_flat = a.numel() == n || a.numel() == 1;
  const bool b_flat = b.numel() == n || b.numel() == 1;
  if (a_flat && b_flat) {
    constexpr int kCount = kPack<T, R>;
    ForEach(context.stream(), (n + kCount - 1) / kCount,
            MapPairs<T, R, F>{left, right, a.numel() != n, b.numel() != n, y, n, f});
  } else {
    ForEach(context.stream(), n,
            MapBroadcast<T, R, F>{left, right, y, Offsets<2>(dims, {a.dims(), b.dims()}), f});
  }
}

// y = f(a, b, c), broadcast in any way.
template <class A, class T, class F>
struct MapBroadcastThree {
  const A* a;
  const T* b;
  const T* c;
  T* y;
  Offsets<3> offsets;
  F f;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t at[3];
    offsets.Of(i, at);
    y[i] = f(Loaded(a[at[0]]), Loaded(b[at[1]]), Loaded(c[at[2]]));
  }
};

template <class A, class T, class F>
void MapThree(KernelContext& context, const F& f) {
  const Tensor& y = context.output(0);
  const Offsets<3> offsets(
      y.dims(), {context.input(0).dims(), context.input(1).dims(), context.input(2).dims()});
  ForEach(context.stream(), y.numel(),
          MapBroadcastThree<A, T, F>{context.in<A>(0), context.in<T>(1), context.in<T>(2),
                                     context.out<T>(0), offsets, f});
}

// Kernels of a functor on the element types of a list, and on 16-bit floats where float is one.
template <class F, class Types>
void UnaryKernel(KernelContext& context) {
  Dispatch(WithHalves<Types>{}, context.input(0).dtype(), [&]<class T>() {
    const F f = FunctorOf<F>(context.attributes());
    using R = ResultOf<T, decltype(f(Computed<T>()))>;
    Map(context.stream(), context.in<T>(0), context.out<R>(0), context.input(0).numel(), f);
  });
}

template <class F, class Types>
void BinaryKernel(KernelContext& context) {
  Dispatch(WithHalves<Types>{}, context.input(0).dtype(), [&]<class T>() {
    const F f = FunctorOf<F>(context.attributes());
    using R = ResultOf<T, decltype(f(Computed<T>(), Computed<T>()))>;
    MapTwo<T, R>(context, f);
  });
}

// A row whose kernel is a functor's.
#define GRADWIRE_CUDA_UNARY(domain, name, since, functor, types)                            \
  GRADWIRE_CUDA_KERNEL(domain, name, since, UnaryKernel<functor, types>, kTraitsOf<types>); \
  GRADWIRE_CUDA_FUNCTOR(domain, name, since, DefineFunctor<functor>(#functor))
#define GRADWIRE_CUDA_BINARY(domain, name, since, functor, types)                            \
  GRADWIRE_CUDA_KERNEL(domain, name, since, BinaryKernel<functor, types>, kTraitsOf<types>); \
  GRADWIRE_CUDA_FUNCTOR(domain, name, since, DefineFunctor<functor>(#functor))

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_ELEMENTWISE_CUH_
