#include "graph/formula.h"

#include <numeric>

#include "core/host_tensor.h"
#include "core/strings.h"
#include "graph/halves.h"

namespace gradwire {

Value Constant(const Tensor& host) {
  Stream& stream = Trace::Current().stream();
  if (host.dtype() == DType::kString) return Strings(host.dims(), Texts(host));
  Tensor tensor = AllocateTensor(stream, host.spec());
  stream.Upload(host.buffer()->data(), *tensor.buffer(), host.bytes());
  return Value(std::move(tensor));
}

Value Strings(const Dims& dims, std::span<const std::string_view> texts) {
  Stream& stream = Trace::Current().stream();
  return Value(MakeStrings(dims, texts, [&](size_t bytes) { return stream.Allocate(bytes); }));
}

Value Scalar(double value, DType dtype) {
  Stream& stream = Trace::Current().stream();
  Tensor tensor = AllocateTensor(stream, {dtype, {}});
  Dispatch(DenseTypes{}, dtype, [&]<class T>() {
    const T element = static_cast<T>(value);
    stream.Upload(&element, *tensor.buffer(), sizeof(T));
  });
  return Value(std::move(tensor));
}

Value IntVector(std::span<const int64_t> values) {
  Stream& stream = Trace::Current().stream();
  Tensor tensor = AllocateTensor(stream, {DType::kInt64, {static_cast<int64_t>(values.size())}});
  stream.Upload(values.data(), *tensor.buffer(), values.size_bytes());
  return Value(std::move(tensor));
}

Value Array(const Dims& dims, std::span<const double> elements, DType dtype) {
  Tensor host = HostTensor({dtype, dims});
  Dispatch(DenseTypes{}, dtype, [&]<class T>() {
    T* data = host.mutable_data<T>();
    for (size_t i = 0; i < elements.size(); ++i) data[i] = static_cast<T>(elements[i]);
  });
  return Constant(host);
}

Value Full(const Dims& dims, double value, DType dtype) {
  return Expand(Scalar(value, dtype), dims);
}

Value operator+(const Value& a, const Value& b) { return Call("Add", {a, b}); }
Value operator-(const Value& a, const Value& b) { return Call("Sub", {a, b}); }
Value operator*(const Value& a, const Value& b) { return Call("Mul", {a, b}); }
Value operator/(const Value& a, const Value& b) { return Call("Div", {a, b}); }
Value operator-(const Value& a) { return Call("Neg", {a}); }

Value Cast(const Value& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (x.dtype() == DType::kFloat32 && kHalves.Contains(dtype)) return Narrow({x}, dtype)[0];
  return Call("Cast", {x}, {{"to", int64_t{static_cast<int>(dtype)}}});
}

namespace {

Value Reduce(std::string_view name, const Value& x, const Dims& axes, bool keepdims) {
  if (axes.empty()) return x;
  return Call(name, {x}, {{"axes", ToVector(axes)}, {"keepdims", int64_t{keepdims}}});
}

}  // namespace

Value Sum(const Value& x, const Dims& axes, bool keepdims) {
  return Reduce("gradwire::ReduceSum", x, axes, keepdims);
}

Value Mean(const Value& x, const Dims& axes, bool keepdims) {
  return Reduce("gradwire::ReduceMean", x, axes, keepdims);
}

Value Max(const Value& x, const Dims& axes, bool keepdims) {
  return Reduce("gradwire::ReduceMax", x, axes, keepdims);
}

Value SumTo(const Value& x, const Dims& dims) {
  if (x.dims() == dims) return x;
  const int lead = x.rank() - static_cast<int>(dims.size());
  Dims axes;
  for (int i = 0; i < x.rank(); ++i) {
    const bool repeated = i < lead || (dims[size_t(i - lead)] == 1 && x.dims()[size_t(i)] != 1);
    if (repeated) axes.push_back(i);
  }
  return Reshape(Sum(x, axes, /*keepdims=*/true), dims);
}

Value Reshape(const Value& x, const Dims& dims) {
  if (x.dims() == dims) return x;
  return Call("gradwire::Reshape", {x}, {{"shape", ToVector(dims)}});
}

Value Expand(const Value& x, const Dims& dims) {
  if (x.dims() == dims) return x;
  return Call("gradwire::Expand", {x}, {{"shape", ToVector(dims)}});
}

Value Transpose(const Value& x, const std::vector<int64_t>& perm) {
  return Call("Transpose", {x}, {{"perm", perm}});
}

Value Unsqueeze(const Value& x, const Dims& axes) {
  Dims dims = x.dims();
  for (const int64_t axis : axes) dims.insert(dims.begin() + axis, 1);
  return Reshape(x, dims);
}

Value Concat(const Values& parts, int axis) {
  if (parts.size() == 1) return parts[0];
  return Call("Concat", parts, {{"axis", int64_t{axis}}});
}

Value Slice(const Value& x, std::vector<int64_t> starts, std::vector<int64_t> ends,
            std::vector<int64_t> axes, std::vector<int64_t> steps) {
  return Call("gradwire::Slice", {x},
              {{"starts", std::move(starts)},
               {"ends", std::move(ends)},
               {"axes", std::move(axes)},
               {"steps", std::move(steps)}});
}

Value MatMul(const Value& a, const Value& b, bool transpose_a, bool transpose_b) {
  return Call("gradwire::MatMul", {a, b},
              {{"trans_a", int64_t{transpose_a}}, {"trans_b", int64_t{transpose_b}}});
}

Dims AllAxes(int rank) {
  Dims axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

}  // namespace gradwire
