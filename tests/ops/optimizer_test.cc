#include "tests/ops/eager.h"
#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

const std::string kTraining = "ai.onnx.preview.training::";

Input Rate() { return Elements({}, {0.1}); }
Input Count(int64_t steps) { return Ints({}, {steps}); }
Input X() { return Elements({3}, {1, -2, 3}); }
Input G() { return Elements({3}, {-1, 0.5, 2}); }
Input V() { return Elements({3}, {0.1, 0.2, -0.3}); }
Input H() { return Elements({3}, {0.5, 0.25, 4}); }

Attributes MomentumOf(const std::string& mode) {
  return {{"alpha", 0.5}, {"beta", 0.75}, {"norm_coefficient", 0.25}, {"mode", mode}};
}
Attributes AdagradOf() {
  return {{"decay_factor", 0.5}, {"epsilon", 0.0009765625}, {"norm_coefficient", 0.25}};
}
Attributes AdamOf() {
  return {{"alpha", 0.5}, {"beta", 0.75}, {"epsilon", 0.0009765625}, {"norm_coefficient", 0.25}};
}
Attributes OnnxAdamOf() {
  Attributes attributes = AdamOf();
  attributes.Set("norm_coefficient_post", 0.125);
  return attributes;
}

OpCase Case(const std::string& op, std::vector<Input> inputs, Attributes attributes, int outputs,
            std::vector<double> expect) {
  return {.op = op,
          .inputs = std::move(inputs),
          .attributes = std::move(attributes),
          .outputs = outputs,
          .expect = std::move(expect),
          .order = 0};
}

OpCase Refused(const std::string& op, std::vector<Input> inputs, Attributes attributes,
               const std::string& error) {
  return {.op = op,
          .inputs = std::move(inputs),
          .attributes = std::move(attributes),
          .error = error,
          .order = 0};
}

// Of ai.onnx.preview.training: by onnx's reference evaluator. Of gradwire: PyTorch's formulas.
OP_CASES(Optimizer,
         Case("gradwire::Sgd", {Rate(), X(), G()}, {{"norm_coefficient", 0.25}}, 1,
              {1.075, -2, 2.725}),
         Case(kTraining + "Momentum", {Rate(), Count(0), X(), G(), V()}, MomentumOf("standard"), 2,
              {1.07, -2.01, 2.74}),
         Case(kTraining + "Momentum", {Rate(), Count(3), X(), G(), V()}, MomentumOf("standard"), 2,
              {1.05125, -2.01, 2.80875}),
         Case(kTraining + "Momentum", {Rate(), Count(0), X(), G(), V()}, MomentumOf("nesterov"), 2,
              {1.11, -2.005, 2.595}),
         Case(kTraining + "Momentum", {Rate(), Count(3), X(), G(), V()}, MomentumOf("nesterov"), 2,
              {1.100625, -2.005, 2.629375}),
         Case(kTraining + "Adagrad", {Rate(), Count(0), X(), G(), H()}, AdagradOf(), 2,
              {1.07269181893379, -2, 2.919149611252497}),
         Case(kTraining + "Adagrad", {Rate(), Count(3), X(), G(), H()}, AdagradOf(), 2,
              {1.029076727573516, -2, 2.9676598445009987}),
         Case(kTraining + "Adam", {Rate(), Count(0), X(), G(), V(), H()}, OnnxAdamOf(), 3,
              {0.9145488809760465, -1.7701617890531323, 2.5765526281330637}),
         Case(kTraining + "Adam", {Rate(), Count(3), X(), G(), V(), H()}, OnnxAdamOf(), 3,
              {0.9093666359023314, -1.7675199107137387, 2.5829008773880537}),
         Case("gradwire::Adam", {Rate(), Count(0), X(), G(), V(), H()}, AdamOf(), 3,
              {1.0452294349468574, -2.0230679984333952, 2.944619352674963}),
         Case("gradwire::Adam", {Rate(), Count(3), X(), G(), V(), H()}, AdamOf(), 3,
              {1.0398709041533802, -2.0203290963411367, 2.9511659056012003}),
         Case("gradwire::AdamW", {Rate(), Count(0), X(), G(), V(), H()}, AdamOf(), 3,
              {1.0318858633332655, -2.019931707317073, 2.882510373443983}),
         Case("gradwire::AdamW", {Rate(), Count(3), X(), G(), V(), H()}, AdamOf(), 3,
              {1.0251483843696356, -2.011634667227885, 2.887533648619418}),
         Case("gradwire::Momentum", {Rate(), Count(3), X(), G(), V()},
              {{"alpha", 0.5}, {"beta", 0.75}, {"norm_coefficient", 0.25}}, 2,
              {1.05125, -2.01, 2.80875}),
         Case("gradwire::Adagrad", {Rate(), Count(3), X(), G(), H()}, AdagradOf(), 2,
              {1.029076727573516, -2, 2.9676598445009987}),
         Case("gradwire::OnnxAdam", {Rate(), Count(3), X(), G(), V(), H()}, OnnxAdamOf(), 3,
              {0.9093666359023314, -1.7675199107137387, 2.5829008773880537}),
         Case("gradwire::Sgd", {Rate(), Elements({}, {2}), Elements({}, {3})}, {}, 1, {1.7}),
         Case("gradwire::Sgd", {Rate(), Elements({0}, {}), Elements({0}, {})}, {}, 1, {}),
         Refused("gradwire::Sgd", {Rate(), X(), Elements({2}, {1, 1})}, {}, "SHAPE_MISMATCH"),
         Refused("gradwire::Sgd", {X(), X(), G()}, {}, "SHAPE_MISMATCH"),
         Refused(kTraining + "Momentum", {Rate(), Count(0), X(), G()}, MomentumOf("standard"),
                 "INVALID_ARGUMENT"),
         Refused(kTraining + "Momentum", {Rate(), Count(0), X(), G(), V()}, MomentumOf("other"),
                 "INVALID_ARGUMENT"));

void ExpectNear(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12);
}

TEST(Optimizer, MovesSeveralParametersAndTheirState) {
  Eager eager;
  const auto make = [&](const std::vector<double>& x) {
    return eager.Make({static_cast<int64_t>(x.size())}, x);
  };
  const Values inputs = {
      Scalar(0.1, DType::kFloat64), Scalar(3, DType::kInt64), make(X().elements), make({0.5, 4}),
      make(G().elements),           make({3, -0.25}),         make(V().elements), make({1, -1})};
  const Values out = ApplyAll(kTraining + "Momentum", inputs, MomentumOf("standard"), 4);
  ExpectNear(eager.Read(out[0]), {1.05125, -2.01, 2.80875});
  ExpectNear(eager.Read(out[1]), {0.215625, 3.99375});
  ExpectNear(eager.Read(out[2]), {-0.5125, 0.1, 1.9125});
  ExpectNear(eager.Read(out[3]), {2.84375, 0.0625});
}

TEST(Optimizer, KeepsMomentsInAdam) {
  Eager eager;
  const auto make = [&](const Input& x) { return eager.Make(x.dims, x.elements); };
  const Values out = ApplyAll(kTraining + "Adam",
                              {Scalar(0.1, DType::kFloat64), Scalar(3, DType::kInt64), make(X()),
                               make(G()), make(V()), make(H())},
                              OnnxAdamOf(), 3);
  ExpectNear(eager.Read(out[1]), {-0.325, 0.1, 1.225});
  ExpectNear(eager.Read(out[2]), {0.515625, 0.1875, 4.890625});
}

}  // namespace
}  // namespace gradwire::testing
