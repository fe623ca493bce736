// ai.onnx.ml: LabelEncoder, and the lookup it lowers to.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/strings.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

using LabelTypes = TypeList<int64_t, int32_t, int16_t, float, double, std::string_view>;
constexpr DTypeSet kLabels = (DType::kInt64 | DType::kInt32) | (DType::kInt16 | DType::kFloat32) |
                             (DType::kFloat64 | DType::kString);

// ---- gradwire::KeyIndex (x, keys[n]): for each element of x the index of the last key that equals
// it, n where none does. NaN equals NaN.

Specs InferKeyIndex(const OpCall& call) {
  call.RequireSameType(1);
  if (call.rank(1) != 1) {
    throw Error(reason::kShapeMismatch,
                fmt::format("keys are {}: one dimension expected", ToString(call.spec(1))));
  }
  return {{DType::kInt64, call.dims(0)}};
}

template <class T>
bool IsNan(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  return false;
}

void KeyIndexCpu(KernelContext& k) {
  const int64_t count = k.input(1).numel();
  int64_t* y = k.out<int64_t>(0);
  Dispatch(LabelTypes{}, k.input(0).dtype(), [&]<class T>() {
    std::unordered_map<T, int64_t> index;
    int64_t nan = count;
    for (int64_t i = 0; i < count; ++i) {
      const T key = k.in<T>(1)[i];
      (IsNan(key) ? nan : index[key]) = i;
    }
    for (int64_t i = 0; i < k.input(0).numel(); ++i) {
      const T x = k.in<T>(0)[i];
      const auto found = index.find(x);
      y[i] = IsNan(x) ? nan : found == index.end() ? count : found->second;
    }
  });
}

GRADWIRE_OP({.name = "KeyIndex",
             .domain = "gradwire",
             .inputs = 2,
             .types = kLabels,
             .infer = InferKeyIndex,
             .cpu = KeyIndexCpu,
             .differentiable = false,
             .stops_gradient = true});

// ---- LabelEncoder

Value StringVector(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) RequireUtf8(text, "a label");
  return Strings({std::ssize(texts)}, std::vector<std::string_view>(texts.begin(), texts.end()));
}

// The one list that the call has of "keys" or "values": [n].
Value Labels(const Attributes& attributes, const std::string& kind) {
  Value labels;
  for (const char* type : {"_strings", "_int64s", "_floats", "_tensor"}) {
    const std::string name = kind + type;
    const AttributeValue* given = attributes.Find(name);
    if (given == nullptr) continue;
    if (labels) {
      throw Error(reason::kInvalidArgument, fmt::format("has more than one attribute {}_*", kind));
    }
    if (name.ends_with("_strings")) {
      labels = StringVector(attributes.Strings(name));
    } else if (name.ends_with("_int64s")) {
      labels = IntVector(attributes.Ints(name));
    } else if (name.ends_with("_floats")) {
      const std::vector<double>& numbers = attributes.Floats(name);
      labels = Array({std::ssize(numbers)}, numbers, DType::kFloat32);
    } else {
      labels = Constant(attributes.TensorValue(name));
    }
  }
  if (!labels) throw Error(reason::kInvalidArgument, fmt::format("has no attribute {}_*", kind));
  if (labels.rank() != 1 || !kLabels.Contains(labels.dtype())) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{}_tensor is {}: one dimension of {} expected", kind,
                            ToString(labels.spec()), kLabels.ToString()));
  }
  return labels;
}

// The value of what has no key: [1], of the values' type.
Value Default(const Attributes& attributes, DType dtype) {
  if (attributes.Has("default_tensor")) {
    const Value given = Constant(attributes.TensorValue("default_tensor"));
    if (given.dtype() != dtype || given.numel() != 1) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("default_tensor is {}: one element of {}, as the values, expected",
                              ToString(given.spec()), Name(dtype)));
    }
    return Reshape(given, {1});
  }
  if (dtype == DType::kString) {
    return StringVector({attributes.String("default_string", "_Unused")});
  }
  if (kInts.Contains(dtype)) {
    return Cast(IntVector(std::array{attributes.Int("default_int64", -1)}), dtype);
  }
  return Array({1}, std::array{attributes.Float("default_float", -0.0)}, dtype);
}

Values DecomposeLabelEncoder(const OpCall& call) {
  const Value keys = Labels(call.attributes(), "keys");
  const Value values = Labels(call.attributes(), "values");
  if (keys.dtype() != call.dtype(0)) {
    throw Error(reason::kDtypeMismatch, fmt::format("X is {}, the keys are {}",
                                                    ToString(call.spec(0)), Name(keys.dtype())));
  }
  if (keys.numel() != values.numel()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("has {} keys and {} values", keys.numel(), values.numel()));
  }
  const Value all = Concat({values, Default(call.attributes(), values.dtype())}, 0);
  return {Call("Gather", {all, Call("gradwire::KeyIndex", {call.input(0), keys})})};
}

// The first version: strings to their places in a list, or places to strings.
Values DecomposeLabelEncoder1(const OpCall& call) {
  const Value x = call.input(0);
  const Value classes = StringVector(call.attributes().Strings("classes_strings"));
  const auto count = static_cast<double>(classes.numel());
  if (x.dtype() == DType::kString) {
    const Value index = Call("gradwire::KeyIndex", {x, classes});
    const Value fallback = Default(call.attributes(), DType::kInt64);
    return {Where(Equal(index, count), Reshape(fallback, {}), index)};
  }
  const Value known = And(Not(Less(x, 0.0)), Less(x, count));
  const Value all = Concat({classes, Default(call.attributes(), DType::kString)}, 0);
  return {Call("Gather", {all, Where(known, x, Scalar(count, DType::kInt64))})};
}

GRADWIRE_OP({.name = "LabelEncoder",
             .domain = "ai.onnx.ml",
             .types = DType::kString | DType::kInt64,
             .attributes = {"classes_strings", "default_int64", "default_string"},
             .decompose = DecomposeLabelEncoder1,
             .differentiable = false});
GRADWIRE_OP({.name = "LabelEncoder",
             .domain = "ai.onnx.ml",
             .since = 2,
             .types = DType::kString | DType::kInt64 | DType::kFloat32,
             .attributes = {"default_float", "default_int64", "default_string", "keys_floats",
                            "keys_int64s", "keys_strings", "values_floats", "values_int64s",
                            "values_strings"},
             .decompose = DecomposeLabelEncoder,
             .differentiable = false});
GRADWIRE_OP({.name = "LabelEncoder",
             .domain = "ai.onnx.ml",
             .since = 4,
             .types = kLabels,
             .attributes = {"default_float", "default_int64", "default_string", "default_tensor",
                            "keys_floats", "keys_int64s", "keys_strings", "keys_tensor",
                            "values_floats", "values_int64s", "values_strings", "values_tensor"},
             .decompose = DecomposeLabelEncoder,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
