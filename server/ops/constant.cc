// Arrays from attributes.
#include <fmt/format.h>

#include <array>

#include "core/small_types.h"
#include "core/strings.h"
#include "graph/formula.h"

namespace gradwire {
namespace {

Value Float32Vector(const std::vector<double>& elements) {
  Stream& stream = Trace::Current().stream();
  const std::vector<float> narrow(elements.begin(), elements.end());
  Tensor tensor = AllocateTensor(stream, {DType::kFloat32, {int64_t(narrow.size())}});
  stream.Upload(narrow.data(), *tensor.buffer(), tensor.bytes());
  return Value(std::move(tensor));
}

Value StringsOf(const std::vector<std::string>& texts, const Dims& dims) {
  for (const std::string& text : texts) RequireUtf8(text, "a string");
  return Strings(dims, std::vector<std::string_view>(texts.begin(), texts.end()));
}

Values DecomposeConstant(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  if (attributes.entries().size() != 1) {
    throw Error(reason::kInvalidArgument,
                fmt::format("takes exactly one attribute, got {}", attributes.entries().size()));
  }
  const std::string& form = attributes.entries()[0].first;
  if (form == "value") return {Constant(attributes.TensorValue(form))};
  if (form == "value_float") return {Scalar(attributes.Float(form), DType::kFloat32)};
  if (form == "value_floats") return {Float32Vector(attributes.Floats(form))};
  if (form == "value_int") return {Reshape(IntVector(std::array{attributes.Int(form)}), {})};
  if (form == "value_ints") return {IntVector(attributes.Ints(form))};
  if (form == "value_string") return {StringsOf({attributes.String(form)}, {})};
  if (form == "value_strings") {
    const std::vector<std::string>& texts = attributes.Strings(form);
    return {StringsOf(texts, {std::ssize(texts)})};
  }
  throw Error(reason::kOpUnsupported, fmt::format("attribute '{}' is not supported", form));
}

GRADWIRE_OP({.name = "Constant",
             .inputs = 0,
             .types = kAnyType,
             .attributes = {"value"},
             .decompose = DecomposeConstant,
             .differentiable = false});
GRADWIRE_OP({.name = "Constant",
             .since = 11,
             .inputs = 0,
             .types = kAnyType,
             .attributes = {"value", "sparse_value"},
             .decompose = DecomposeConstant,
             .differentiable = false});
GRADWIRE_OP({.name = "Constant",
             .since = 12,
             .inputs = 0,
             .types = kAnyType,
             .attributes = {"value", "sparse_value", "value_float", "value_floats", "value_int",
                            "value_ints", "value_string", "value_strings"},
             .decompose = DecomposeConstant,
             .differentiable = false});

Values DecomposeConstantOfShape(const OpCall& call) {
  const std::vector<int64_t> shape = call.Ints(0);
  const Dims dims(shape.begin(), shape.end());
  if (!call.attributes().Has("value")) return {Full(dims, 0.0, DType::kFloat32)};
  const Value value = Constant(call.attributes().TensorValue("value"));
  if (value.numel() != 1) {
    throw Error(reason::kShapeMismatch,
                fmt::format("value is {}: one element expected", ToString(value.spec())));
  }
  const DType dtype = value.dtype();
  const Value wide = kSmall.Contains(dtype) ? Cast(value, DType::kFloat32) : value;
  const Value all = Expand(Reshape(wide, {}), dims);
  return {wide.dtype() == dtype ? all : Cast(all, dtype)};
}

GRADWIRE_OP({.name = "ConstantOfShape",
             .since = 9,
             .types = DType::kInt64,
             .attributes = {"value"},
             .decompose = DecomposeConstantOfShape,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
