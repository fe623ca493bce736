// oneDNN for kernels: descriptors, primitives made once, and runs with the layouts that primitives
// prefer. oneDNN 2 and 3 differ here and nowhere else.
//
// A kernel names its arrays and says how to describe the primitive; `Run` does the rest:
//   const Desc a = Plain(k.input(0).dims()), b = ..., c = ...;
//   Run(k.stream(), Key(Kind::matmul, Prop::forward_inference).Add(rows).Add(inner).Add(columns),
//       {In(DNNL_ARG_SRC, a, k.in<float>(0)), In(DNNL_ARG_WEIGHTS, b, k.in<float>(1)),
//        Out(DNNL_ARG_DST, c, k.out<float>(0))},
//       [&] { return Describe<dnnl::matmul>(a, b, c); });
// Empty arrays never come here: their meaning differs from primitive to primitive. Nor does what
// loses NaN: oneDNN's Exp, Relu, softmax and max pooling.
#ifndef GRADWIRE_BACKEND_CPU_DNNL_H_
#define GRADWIRE_BACKEND_CPU_DNNL_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <dnnl.hpp>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "backend/backend.h"
#include "core/shape.h"

namespace gradwire::onednn {

using Desc = dnnl::memory::desc;
using Type = dnnl::memory::data_type;
using Prop = dnnl::prop_kind;
using Algorithm = dnnl::algorithm;
using Kind = dnnl::primitive::kind;

// The process's CPU engine.
const dnnl::engine& Engine();
// Attributes that every primitive has: its working memory comes from the session.
dnnl::primitive_attr BaseAttr();

inline dnnl::memory::dims ToDims(std::span<const int64_t> dims) {
  return {dims.begin(), dims.end()};
}
// A row-major array; a scalar is {1}.
Desc Plain(std::span<const int64_t> dims, Type type = Type::f32);
// An array with strides in elements.
Desc Strided(std::span<const int64_t> dims, std::span<const int64_t> strides,
             Type type = Type::f32);
// Images of dims [N, C, spatial...] that lie as [N, spatial..., C].
Desc ChannelsLast(std::span<const int64_t> dims, Type type = Type::f32);
// An array in whatever layout the primitive likes best.
Desc Any(std::span<const int64_t> dims, Type type = Type::f32);

// Everything that went into describing a primitive, as numbers.
class Key {
 public:
  Key(Kind kind, Prop prop) { Add(static_cast<int64_t>(kind)).Add(static_cast<int64_t>(prop)); }
  Key& Add(std::span<const int64_t> list);
  Key& Add(std::integral auto number) {
    numbers_.push_back(static_cast<int64_t>(number));
    return *this;
  }
  Key& Add(Algorithm algorithm) { return Add(static_cast<int64_t>(algorithm)); }
  Key& Add(std::floating_point auto number) { return Add(std::bit_cast<int64_t>(double{number})); }

  bool operator==(const Key&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), key.numbers_);
  }

 private:
  absl::InlinedVector<int64_t, 32> numbers_;
};

// Copies, in the layout that a primitive wants, of arrays that are the same in every call: made at
// the first, and kept by who knows that they are the same. Thread-safe.
class Packed {
 public:
  // The copy of an argument in this layout; null where there is none.
  BufferPtr Find(int id, const Desc& layout) const;
  void Keep(int id, const Desc& layout, BufferPtr copy);

 private:
  struct Copy {
    int id;
    Desc layout;
    BufferPtr data;
  };
  mutable absl::Mutex mutex_;
  absl::InlinedVector<Copy, 1> copies_ ABSL_GUARDED_BY(mutex_);
};

// One array of a run: DNNL_ARG_..., the layout it has, its elements.
struct Argument {
  int id;
  Desc layout;
  void* data;
  bool written;
  Packed* packed;  // where copies of the array are kept; null: nowhere
};
inline Argument In(int id, Desc layout, const void* data, Packed* packed = nullptr) {
  return {id, std::move(layout), const_cast<void*>(data), false, packed};
}
inline Argument Out(int id, Desc layout, void* data) {
  return {id, std::move(layout), data, true, nullptr};
}

// Runs the primitive that `describe` describes, made once for each key and number of threads.
// Arrays whose layout is not the one the primitive wants are reordered through scratch memory. The
// key must determine the description and the arguments' layouts. Thread-safe.
void Run(Stream& stream, Key key, absl::Span<const Argument> arguments,
         absl::FunctionRef<dnnl::primitive_desc()> describe);

// Descriptions of primitives, from the arguments that oneDNN 3's primitive_desc constructors take
// between the engine and the hint or attributes.
#if DNNL_VERSION_MAJOR >= 3

using PoolingForward = dnnl::pooling_forward;
using PoolingBackward = dnnl::pooling_backward;

template <class Primitive, class... Args>
typename Primitive::primitive_desc Describe(const Args&... args) {
  return {Engine(), args..., BaseAttr()};
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc DescribeBackward(const Hint& forward, const Args&... args) {
  return {Engine(), args..., forward, BaseAttr()};
}
// For primitives that oneDNN 2 describes with one descriptor for source and destination.
template <class Primitive, class... Args>
typename Primitive::primitive_desc DescribeSame(Prop prop, const Desc& data, const Args&... args) {
  return {Engine(), prop, data, data, args..., BaseAttr()};
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc DescribeSameBackward(const Hint& forward, Prop prop,
                                                        const Desc& data, const Args&... args) {
  return {Engine(), prop, data, data, data, args..., forward, BaseAttr()};
}

#else

using PoolingForward = dnnl::pooling_v2_forward;
using PoolingBackward = dnnl::pooling_v2_backward;

template <class Primitive, class... Args>
typename Primitive::primitive_desc Describe(const Args&... args) {
  return {typename Primitive::desc(args...), BaseAttr(), Engine()};
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc DescribeBackward(const Hint& forward, const Args&... args) {
  return {typename Primitive::desc(args...), BaseAttr(), Engine(), forward};
}
template <class Primitive, class... Args>
typename Primitive::primitive_desc DescribeSame(Prop prop, const Desc& data, const Args&... args) {
  return {typename Primitive::desc(prop, data, args...), BaseAttr(), Engine()};
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc DescribeSameBackward(const Hint& forward, Prop prop,
                                                        const Desc& data, const Args&... args) {
  return {typename Primitive::desc(prop, data, data, args...), BaseAttr(), Engine(), forward};
}

#endif

}  // namespace gradwire::onednn

#endif  // GRADWIRE_BACKEND_CPU_DNNL_H_
