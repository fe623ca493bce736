#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kEps = 1e-5;

const Input kX = Elements({2, 3, 2}, {0.5, -1, 2, 3, -0.5, 1, 4, -2, 0.25, 1.5, -3, 2.5});
const Input kScale = Elements({3}, {1, 0.5, -2});
const Input kBias = Elements({3}, {0, 1, 0.25});
const Input kMean = Elements({3}, {0.1, -0.2, 0.3});
const Input kVar = Elements({3}, {1, 0.5, 2});

// From NumPy.
const std::vector<double> kInferred = {0.3999980000149999, -1.0999945000412499, 2.55561936249456,
                                       3.26271907271936,   1.381368021481958,   -0.739947018796713,
                                       3.8999805001462486, -2.0999895000787494, 1.31819486960116,
                                       2.20206950738216,   4.916893088613076,   -2.861262059075384};
const std::vector<double> kTrained = {0.05495965792933964, -0.6045562372227361, 1.157718191278087,
                                      1.662416403367965,   0.7423062940432806,  -0.7346125880865613,
                                      1.5938300799508498,  -1.0442335006574532, 0.2744963201208003,
                                      0.9053690852331479,  3.203837764259684,   -2.211531470216403};

Input PerChannel(int64_t n) { return Normal({n}); }
Input Variance(int64_t n) { return Uniform({n}, 0.5, 2); }

// X, scale, bias, mean, variance.
std::vector<Input> Random(const Dims& dims, int64_t n) {
  return {Normal(dims), PerChannel(n), PerChannel(n), PerChannel(n), Variance(n)};
}

OP_CASES(
    BatchNorm,
    // Short rows of a channel, one element, long runs; more channels than are worked on at once.
    {.op = "gradwire::BatchNorm",
     .inputs = {kX, kScale, kBias},
     .attributes = {{"epsilon", 1e-3}},
     .outputs = 3,
     .expect = kTrained},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({6, 70}), PerChannel(70), PerChannel(70)},
     .attributes = {{"epsilon", kEps}},
     .outputs = 3},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({2, 3, 5, 7}), PerChannel(3), PerChannel(3)},
     .attributes = {{"epsilon", kEps}},
     .outputs = 3},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({4, 2, 3}), Fixed(PerChannel(2)), PerChannel(2)},
     .attributes = {{"epsilon", kEps}}},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({2, 0, 3}), PerChannel(0), PerChannel(0)},
     .attributes = {{"epsilon", kEps}}},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({2, 3}), PerChannel(2), PerChannel(3)},
     .attributes = {{"epsilon", kEps}},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::BatchNorm",
     .inputs = {Normal({3}), PerChannel(3), PerChannel(3)},
     .attributes = {{"epsilon", kEps}},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::BatchNormGrad",
     .inputs = {Normal({3, 4, 2}), Normal({3, 4, 2}), PerChannel(4), PerChannel(4), Variance(4)},
     .attributes = {{"epsilon", kEps}},
     .outputs = 3},
    {.op = "gradwire::BatchNormGrad",
     .inputs = {Normal({3, 2, 20}), Normal({3, 2, 20}), PerChannel(2), PerChannel(2), Variance(2)},
     .attributes = {{"epsilon", kEps}},
     .outputs = 3},
    {.op = "gradwire::BatchNormGrad",
     .inputs = {Normal({3, 2}), Normal({2, 2}), PerChannel(2), PerChannel(2), Variance(2)},
     .attributes = {{"epsilon", kEps}},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::BatchNormWithStatistics",
     .inputs = {kX, kScale, kBias, kMean, kVar},
     .attributes = {{"epsilon", kEps}},
     .expect = kInferred},
    {.op = "gradwire::BatchNormWithStatistics",
     .inputs = Random({3, 5}, 5),
     .attributes = {{"epsilon", kEps}}});

OP_CASES(
    BatchNormalization,
    {.op = "BatchNormalization", .inputs = {kX, kScale, kBias, kMean, kVar}, .expect = kInferred},
    {.op = "BatchNormalization", .inputs = Random({2, 3, 4, 5}, 3)},
    {.op = "BatchNormalization", .inputs = Random({4}, 1)},
    {.op = "BatchNormalization", .inputs = Random({0, 3, 2}, 3)},
    {.op = "BatchNormalization",
     .inputs = {kX, kScale, kBias, Fixed(kMean), Fixed(kVar)},
     .attributes = {{"training_mode", int64_t{1}}, {"epsilon", 1e-3}},
     .expect = kTrained},
    {.op = "BatchNormalization",
     .inputs = Random({2, 3}, 3),
     .outputs = 2,
     .error = "INVALID_ARGUMENT"},
    {.op = "BatchNormalization", .inputs = Random({2, 3}, 4), .error = "SHAPE_MISMATCH"},
    {.op = "BatchNormalization",
     .inputs = {kX, kScale, kBias, kMean, kVar},
     .opset = 9,
     .expect = kInferred},
    {.op = "BatchNormalization",
     .inputs = {kX, kScale, kBias, kMean, kVar},
     .attributes = {{"spatial", int64_t{1}}},
     .opset = 7,
     .expect = kInferred},
    {.op = "BatchNormalization",
     .inputs = Random({2, 3, 4}, 12),
     .attributes = {{"spatial", int64_t{0}}},
     .opset = 7},
    {.op = "BatchNormalization",
     .inputs = {kX, kScale, kBias, kMean, kVar},
     .attributes = {{"is_test", int64_t{1}}},
     .opset = 6,
     .expect = kInferred},
    {.op = "BatchNormalization",
     .inputs = {kX, kScale, kBias, Fixed(kMean), Fixed(kVar)},
     .attributes = {{"epsilon", 1e-3}, {"consumed_inputs", std::vector<int64_t>{0, 0, 0, 1, 1}}},
     .opset = 1,
     .expect = kTrained});

}  // namespace
}  // namespace gradwire::testing
