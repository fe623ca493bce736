// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: per tensor, per axis, or per block.
#include "ops/quantize.h"

#include <fmt/format.h>

#include "core/small_types.h"

namespace gradwire {

Value SaturateTo(const Value& x, DType dtype) {
  const IntLimits limits = LimitsOf(dtype);
  const Value low = Scalar(limits.low, x.dtype());
  const Value high = Scalar(limits.high, x.dtype());
  return Cast(Call("Clip", {Call("Round", {x}), low, high}), dtype);
}

namespace {

constexpr DTypeSet kQuantizedInts =
    DType::kUint8 | DType::kInt8 | DTypeSet(DType::kUint16) | DType::kInt16 | kSmallInts;
constexpr DTypeSet kQuantized = kQuantizedInts | kFloat8s | DType::kFloat4E2M1;

// A scale or a zero point of input 0, in a shape that broadcasts to it.
Value SpreadOver(const OpCall& call, const Value& parameter) {
  if (parameter.numel() == 1) return Reshape(parameter, {});
  const Dims& dims = call.dims(0);
  const int axis = call.Axis("axis", 1);
  const int64_t extent = dims[size_t(axis)];
  const int64_t block = call.attributes().Int("block_size", 0);
  Dims expected(dims.size(), 1);
  expected[size_t(axis)] = extent;
  if (block == 0) {
    if (parameter.dims() == Dims{extent}) return Reshape(parameter, expected);
    throw Error(reason::kShapeMismatch,
                fmt::format("x is {}, scale or zero point is {}: [] or [{}] is expected",
                            ToString(call.spec(0)), ToString(parameter.spec()), extent));
  }
  if (block < 0) {
    throw Error(reason::kInvalidArgument, fmt::format("block_size {} is negative", block));
  }
  expected = dims;
  expected[size_t(axis)] = (extent + block - 1) / block;
  if (parameter.dims() != expected) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("x is {}, scale or zero point is {}: {} is expected for blocks of {}",
                    ToString(call.spec(0)), ToString(parameter.spec()), ToString(expected), block));
  }
  std::vector<int64_t> block_of;
  for (int64_t i = 0; i < extent; ++i) block_of.push_back(i / block);
  return Call("Gather", {parameter, IntVector(block_of)}, {{"axis", int64_t{axis}}});
}

DType TypeAttribute(const OpCall& call, const char* name, DType fallback) {
  const int64_t code = call.attributes().Int(name, 0);
  return code == 0 ? fallback : DTypeFromCode(static_cast<int>(code));
}

Values DecomposeQuantize(const OpCall& call) {
  const DType to = call.has(2) ? call.dtype(2) : TypeAttribute(call, "output_dtype", DType::kUint8);
  if (!kQuantized.Contains(to)) {
    throw Error(reason::kOpUnsupported, fmt::format("no quantization to {}", Name(to)));
  }
  if (TypeAttribute(call, "output_dtype", to) != to) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("output_dtype is not the zero point's {}", ToString(call.spec(2))));
  }
  call.RequireType(1, kFloats | kHalves | DType::kInt32 | DType::kFloat8E8M0);
  const bool wide = call.dtype(0) == DType::kInt32 || call.dtype(0) == DType::kFloat64;
  const DType natural = wide ? DType::kFloat64 : call.dtype(0);
  const DType precision = TypeAttribute(call, "precision", natural);
  Value y = Cast(call.input(0), precision) / SpreadOver(call, Cast(call.input(1), precision));
  const DType sum_type = precision == DType::kFloat64 ? precision : DType::kFloat32;
  const bool whole = kQuantizedInts.Contains(to);
  y = Cast(y, sum_type);
  if (whole) y = Call("Round", {y});
  if (call.has(2)) y = y + SpreadOver(call, Cast(call.input(2), sum_type));
  if (whole) return {SaturateTo(y, to)};
  return {Call(
      "Cast", {y},
      {{"to", int64_t{static_cast<int>(to)}}, {"saturate", call.attributes().Int("saturate", 1)}})};
}

Values DecomposeDequantize(const OpCall& call) {
  if (call.has(2)) call.RequireSameType(2);
  call.RequireType(1, kFloats | kHalves | DType::kFloat8E8M0);
  const DType scale_type = call.dtype(1);
  const DType compute = scale_type == DType::kFloat64 ? scale_type : DType::kFloat32;
  Value x = Cast(call.input(0), compute);
  if (call.has(2)) x = x - SpreadOver(call, Cast(call.input(2), compute));
  const Value y = x * SpreadOver(call, Cast(call.input(1), compute));
  return {Cast(y, TypeAttribute(call, "output_dtype", scale_type))};
}

OpDef QuantizeRow(int since, std::vector<std::string_view> attributes) {
  return {.name = "QuantizeLinear",
          .since = since,
          .inputs = {2, 3},
          .types = kFloats | kHalves | DType::kInt32,
          .other_types = since < 19 ? DTypeSet() : kSmall,
          .attributes = std::move(attributes),
          .decompose = DecomposeQuantize,
          .differentiable = false};
}

OpDef DequantizeRow(int since, std::vector<std::string_view> attributes) {
  return {.name = "DequantizeLinear",
          .since = since,
          .inputs = {2, 3},
          .types = kQuantized | DType::kInt32,
          .other_types = kSmall,
          .attributes = std::move(attributes),
          .decompose = DecomposeDequantize};
}

GRADWIRE_OP(QuantizeRow(10, {}));
GRADWIRE_OP(QuantizeRow(13, {"axis"}));
GRADWIRE_OP(QuantizeRow(19, {"axis", "saturate"}));
GRADWIRE_OP(QuantizeRow(21, {"axis", "saturate", "block_size", "output_dtype"}));
GRADWIRE_OP(QuantizeRow(23, {"axis", "saturate", "block_size", "output_dtype", "precision"}));
GRADWIRE_OP(DequantizeRow(10, {}));
GRADWIRE_OP(DequantizeRow(13, {"axis"}));
GRADWIRE_OP(DequantizeRow(21, {"axis", "block_size"}));
GRADWIRE_OP(DequantizeRow(23, {"axis", "block_size", "output_dtype"}));

// Quantizes to uint8 with the scale and zero point that x's own range asks for. The scale is
// differentiable.
Values DecomposeDynamicQuantize(const OpCall& call) {
  const Value& x = call.input(0);
  if (x.numel() == 0) throw Error(reason::kShapeMismatch, "x is empty: it has no range");
  const Value zero = Scalar(0, x.dtype());
  const Value highest = Call("gradwire::ReduceMax", {x},
                             {{"axes", ToVector(AllAxes(x.rank()))}, {"keepdims", int64_t{0}}});
  const Value lowest = Call("gradwire::ReduceMin", {x},
                            {{"axes", ToVector(AllAxes(x.rank()))}, {"keepdims", int64_t{0}}});
  const Value high = Call("Max", {zero, highest});
  const Value low = Call("Min", {zero, lowest});
  const Value flat = Equal(high, low);
  const Value scale = Where(flat, Scalar(1, x.dtype()), high - low) / 255.0;
  const Value zero_point = SaturateTo(-low / scale, DType::kUint8);
  const Value y = Call("Round", {x / scale}) + Cast(zero_point, x.dtype());
  return {SaturateTo(y, DType::kUint8), scale, zero_point};
}

GRADWIRE_OP({.name = "DynamicQuantizeLinear",
             .since = 11,
             .outputs = {1, 3},
             .decompose = DecomposeDynamicQuantize});

}  // namespace
}  // namespace gradwire
