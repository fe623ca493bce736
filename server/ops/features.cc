// ai.onnx.ml: ArrayFeatureExtractor, Binarizer.
#include "graph/formula.h"

namespace gradwire {
namespace {

constexpr DTypeSet kFeatures = kFloats | (DType::kInt64 | DType::kInt32);

// A vector's features come as a matrix of one row, as in ONNX's reference.
Values DecomposeFeatureExtractor(const OpCall& call) {
  const Value index = Reshape(call.input(1), {call.spec(1).numel()});
  const Value x = call.rank(0) == 1 ? Unsqueeze(call.input(0), {0}) : call.input(0);
  return {Call("Gather", {x, index}, {{"axis", int64_t{-1}}})};
}

Values DecomposeBinarizer(const OpCall& call) {
  return {Mask(Greater(call.input(0), call.attributes().Float("threshold", 0)), call.dtype(0))};
}

GRADWIRE_OP({.name = "ArrayFeatureExtractor",
             .domain = "ai.onnx.ml",
             .inputs = 2,
             .types = kFeatures | DType::kString,
             .decompose = DecomposeFeatureExtractor});
GRADWIRE_OP({.name = "Binarizer",
             .domain = "ai.onnx.ml",
             .types = kFeatures,
             .attributes = {"threshold"},
             .decompose = DecomposeBinarizer,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
