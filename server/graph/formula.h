// Mathematics' spelling of traced calls, for derivatives and decompositions. Binary functions
// broadcast as NumPy does; a double next to a Value takes the Value's element type.
#ifndef GRADWIRE_GRAPH_FORMULA_H_
#define GRADWIRE_GRAPH_FORMULA_H_

#include <span>
#include <vector>

#include "graph/op_call.h"
#include "graph/trace.h"

namespace gradwire {

// Constants, made at once on the session's device.
Value Scalar(double value, DType dtype);
Value IntVector(std::span<const int64_t> values);  // int64[n]
// An array of these elements, rounded to the element type.
Value Array(const Dims& dims, std::span<const double> elements, DType dtype);
Value Full(const Dims& dims, double value, DType dtype);
inline Value ZerosLike(const TensorSpec& spec) { return Full(spec.dims, 0.0, spec.dtype); }
// An array of copies of these strings.
Value Strings(const Dims& dims, std::span<const std::string_view> texts);
// A host tensor (an attribute's) as a constant.
Value Constant(const Tensor& host);

Value operator+(const Value& a, const Value& b);
Value operator-(const Value& a, const Value& b);
Value operator*(const Value& a, const Value& b);
Value operator/(const Value& a, const Value& b);
Value operator-(const Value& a);
inline Value operator+(const Value& a, double b) { return a + Scalar(b, a.dtype()); }
inline Value operator-(const Value& a, double b) { return a - Scalar(b, a.dtype()); }
inline Value operator*(const Value& a, double b) { return a * Scalar(b, a.dtype()); }
inline Value operator/(const Value& a, double b) { return a / Scalar(b, a.dtype()); }
inline Value operator+(double a, const Value& b) { return Scalar(a, b.dtype()) + b; }
inline Value operator-(double a, const Value& b) { return Scalar(a, b.dtype()) - b; }
inline Value operator*(double a, const Value& b) { return Scalar(a, b.dtype()) * b; }
inline Value operator/(double a, const Value& b) { return Scalar(a, b.dtype()) / b; }

inline Value Exp(const Value& x) { return Call("Exp", {x}); }
inline Value Log(const Value& x) { return Call("Log", {x}); }
inline Value Sqrt(const Value& x) { return Call("Sqrt", {x}); }
inline Value Sin(const Value& x) { return Call("Sin", {x}); }
inline Value Cos(const Value& x) { return Call("Cos", {x}); }
inline Value Tanh(const Value& x) { return Call("Tanh", {x}); }
inline Value Sigmoid(const Value& x) { return Call("Sigmoid", {x}); }
inline Value Abs(const Value& x) { return Call("Abs", {x}); }
inline Value Sign(const Value& x) { return Call("Sign", {x}); }
inline Value Pow(const Value& x, const Value& y) { return Call("Pow", {x, y}); }
inline Value Pow(const Value& x, double y) { return Call("Pow", {x, Scalar(y, x.dtype())}); }
inline Value Square(const Value& x) { return x * x; }

// Comparisons give bool; Mask turns bool into 0 and 1 of an element type.
inline Value Less(const Value& a, const Value& b) { return Call("Less", {a, b}); }
inline Value Greater(const Value& a, const Value& b) { return Call("Greater", {a, b}); }
inline Value LessOrEqual(const Value& a, const Value& b) { return Call("LessOrEqual", {a, b}); }
inline Value GreaterOrEqual(const Value& a, const Value& b) {
  return Call("GreaterOrEqual", {a, b});
}
inline Value Equal(const Value& a, const Value& b) { return Call("Equal", {a, b}); }
inline Value Not(const Value& a) { return Call("Not", {a}); }
inline Value And(const Value& a, const Value& b) { return Call("And", {a, b}); }
inline Value Or(const Value& a, const Value& b) { return Call("Or", {a, b}); }
inline Value Less(const Value& a, double b) { return Less(a, Scalar(b, a.dtype())); }
inline Value Greater(const Value& a, double b) { return Greater(a, Scalar(b, a.dtype())); }
inline Value Equal(const Value& a, double b) { return Equal(a, Scalar(b, a.dtype())); }
inline Value Where(const Value& condition, const Value& a, const Value& b) {
  return Call("Where", {condition, a, b});
}
Value Cast(const Value& x, DType dtype);
inline Value Mask(const Value& condition, DType dtype) { return Cast(condition, dtype); }

// Reductions over normalised axes; empty axes mean none, not all.
Value Sum(const Value& x, const Dims& axes, bool keepdims);
Value Mean(const Value& x, const Dims& axes, bool keepdims);
Value Max(const Value& x, const Dims& axes, bool keepdims);
// Sums x down to `dims`, which broadcasts to x's shape: the adjoint of broadcasting.
Value SumTo(const Value& x, const Dims& dims);

Value Reshape(const Value& x, const Dims& dims);
Value Expand(const Value& x, const Dims& dims);
Value Transpose(const Value& x, const std::vector<int64_t>& perm);
Value Unsqueeze(const Value& x, const Dims& axes);  // axes of the result, sorted
Value Concat(const Values& parts, int axis);
// starts, ends, axes, steps as ONNX's Slice, all normalised by it.
Value Slice(const Value& x, std::vector<int64_t> starts, std::vector<int64_t> ends,
            std::vector<int64_t> axes, std::vector<int64_t> steps);
// Batched matrix product of arrays of rank >= 2, each optionally with its last two axes swapped.
Value MatMul(const Value& a, const Value& b, bool transpose_a = false, bool transpose_b = false);

// All axes of a rank: 0 .. rank-1.
Dims AllAxes(int rank);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_FORMULA_H_
