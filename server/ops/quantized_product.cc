// Products and convolutions of quantized arrays: MatMulInteger, ConvInteger, QLinearMatMul,
// QLinearConv. Sums are exact, in int32 or float64.
#include <fmt/format.h>

#include "ops/quantize.h"

namespace gradwire {
namespace {

constexpr DTypeSet kBytes = DType::kUint8 | DType::kInt8;

// A parameter of a matrix: one number, one for each row as [M], or what broadcasts.
Value OfRows(const Value& parameter) {
  if (parameter.numel() == 1) return Reshape(parameter, {});
  return parameter.rank() == 1 ? Reshape(parameter, {parameter.numel(), 1}) : parameter;
}

Value OfColumns(const Value& parameter) {
  return parameter.numel() == 1 ? Reshape(parameter, {}) : parameter;
}

// A parameter of a convolution's weight [M, ...]: one number, or one for each output channel, in a
// shape of `rank` axes with the channels at `axis`.
Value OfChannels(const Value& parameter, int rank, int axis) {
  if (parameter.numel() == 1) return Reshape(parameter, {});
  Dims dims(static_cast<size_t>(rank), 1);
  dims[size_t(axis)] = parameter.numel();
  return Reshape(parameter, dims);
}

// The matrix product of a and b less their zero points, in int32.
Value IntegerProduct(const Value& a, const Value& a_zero, const Value& b, const Value& b_zero) {
  Value left = Cast(a, DType::kInt32);
  Value right = Cast(b, DType::kInt32);
  if (a_zero) left = left - OfRows(Cast(a_zero, DType::kInt32));
  if (b_zero) right = right - OfColumns(Cast(b_zero, DType::kInt32));
  if (left.rank() != a.rank() || right.rank() != b.rank()) {
    throw Error(reason::kShapeMismatch, fmt::format("zero points do not fit {} and {}",
                                                    ToString(a.spec()), ToString(b.spec())));
  }
  return Call("MatMul", {left, right});
}

Values DecomposeMatMulInteger(const OpCall& call) {
  return {IntegerProduct(call.input(0), call.input(2), call.input(1), call.input(3))};
}

GRADWIRE_OP({.name = "MatMulInteger",
             .since = 10,
             .inputs = {2, 4},
             .types = kBytes,
             .decompose = DecomposeMatMulInteger,
             .differentiable = false});

// x (a b / y), in float64: the scales are multiplied in their own type, as ONNX's reference does.
Value Rescale(const Value& x, const Value& a, const Value& b, const Value& y) {
  return Cast(x, DType::kFloat64) * Cast(a * b / OfColumns(y), DType::kFloat64);
}

Value Requantize(const Value& x, const Value& zero_point) {
  return SaturateTo(x + OfColumns(Cast(zero_point, DType::kFloat64)), zero_point.dtype());
}

// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point.
Values DecomposeQLinearMatMul(const OpCall& call) {
  call.RequireType(7, kBytes);
  const Value product = IntegerProduct(call.input(0), call.input(2), call.input(3), call.input(5));
  return {
      Requantize(Rescale(product, OfRows(call.input(1)), OfColumns(call.input(4)), call.input(6)),
                 call.input(7))};
}

GRADWIRE_OP({.name = "QLinearMatMul",
             .since = 10,
             .inputs = 8,
             .types = kBytes,
             .decompose = DecomposeQLinearMatMul,
             .differentiable = false});

// The convolution in float64, whose sums are exact.
Value IntegerConv(const OpCall& call, const Value& x, const Value& x_zero, const Value& w,
                  const Value& w_zero) {
  Value left = Cast(x, DType::kFloat64);
  Value right = Cast(w, DType::kFloat64);
  if (x_zero) left = left - OfColumns(Cast(x_zero, DType::kFloat64));
  if (w_zero) right = right - OfChannels(Cast(w_zero, DType::kFloat64), w.rank(), 0);
  return ApplyAll("Conv", {left, right}, call.attributes(), 1)[0];
}

Values DecomposeConvInteger(const OpCall& call) {
  return {Cast(IntegerConv(call, call.input(0), call.input(2), call.input(1), call.input(3)),
               DType::kInt32)};
}

GRADWIRE_OP({.name = "ConvInteger",
             .since = 10,
             .inputs = {2, 4},
             .types = kBytes,
             .attributes = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeConvInteger,
             .differentiable = false});

// Inputs x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias.
Values DecomposeQLinearConv(const OpCall& call) {
  call.RequireType(7, kBytes);
  const int rank = call.rank(0);
  Value sum = IntegerConv(call, call.input(0), call.input(2), call.input(3), call.input(5));
  if (call.has(8)) sum = sum + OfChannels(Cast(call.input(8), DType::kFloat64), rank, 1);
  return {Requantize(
      Rescale(sum, OfColumns(call.input(1)), OfChannels(call.input(4), rank, 1), call.input(6)),
      call.input(7))};
}

GRADWIRE_OP({.name = "QLinearConv",
             .since = 10,
             .inputs = {8, 9},
             .types = kBytes,
             .attributes = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeQLinearConv,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
