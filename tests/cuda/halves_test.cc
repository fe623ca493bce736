// 16-bit floats on a GPU: kernels take them as they are, so that there are as many launches as for
// float32. What they compute is tested with the operators' rows, on every device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "autograd/backward.h"
#include "graph/formula.h"
#include "tests/cuda/fake_device.h"
#include "tests/ops/bench.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::FakeGpu;

constexpr DType kHalfTypes[] = {DType::kFloat16, DType::kBfloat16};

class CudaHalvesTest : public ::testing::Test {
 protected:
  // The same numbers of any type.
  Value Make(const Dims& dims, DType dtype, bool leaf = false) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    for (size_t i = 0; i < elements.size(); ++i) elements[i] = 0.25 + double(i * 7 % 13) / 4;
    return bench_.Make(dims, elements, dtype, leaf);
  }
  Value Indices(const Dims& dims) {
    const auto count = static_cast<size_t>(NumElements(dims));
    return bench_.Make(dims, std::vector<double>(count, 1), DType::kInt64);
  }
  int Kernels(const Values& values) {
    const int before = gpu_.driver().kernels();
    bench_.Run(values);
    return gpu_.driver().kernels() - before;
  }

  FakeGpu gpu_;
  Bench bench_{[] {}, gpu_.backend()};
  TraceScope scope_{bench_.trace()};
};

TEST_F(CudaHalvesTest, AnAdditionIsOneKernel) {
  for (const DType half : kHalfTypes) {
    const Value sum = Make({4, 4}, half) + Make({4, 4}, half);
    EXPECT_EQ(sum.dtype(), half);
    EXPECT_EQ(Kernels({sum}), 1);
    EXPECT_EQ(Kernels({Make({4, 4}, half) * Make({4}, half)}), 1);
  }
}

TEST_F(CudaHalvesTest, OperatorsAreAsManyKernelsAsOfFloat32) {
  using Function = std::function<Values(const Value& x)>;
  const auto axis = [](int64_t i) { return Attributes{{"axis", i}}; };
  const std::vector<std::pair<std::string, Function>> functions = {
      {"Tanh", [](const Value& x) { return Values{Tanh(x)}; }},
      {"Gelu", [](const Value& x) { return Values{Call("Gelu", {x})}; }},
      {"Less", [](const Value& x) { return Values{Less(x, x)}; }},
      {"Max", [](const Value& x) { return Values{Call("Max", {x, x})}; }},
      {"Pow", [](const Value& x) { return Values{Pow(x, x)}; }},
      {"Clip",
       [&](const Value& x) { return Values{Call("Clip", {x, Make({}, x.dtype()), Value()})}; }},
      {"Where", [](const Value& x) { return Values{Where(Less(x, x), x, x)}; }},
      {"Transpose", [](const Value& x) { return Values{Transpose(x, {0, 1, 3, 2})}; }},
      {"Concat", [](const Value& x) { return Values{Concat({x, x}, 1)}; }},
      {"Slice", [](const Value& x) { return Values{Slice(x, {1}, {3}, {2}, {1})}; }},
      {"Expand", [](const Value& x) { return Values{Expand(x, {3, 2, 3, 4, 4})}; }},
      {"Gather",
       [&](const Value& x) { return Values{Call("Gather", {x, Indices({2})}, axis(1))}; }},
      {"ReduceSum", [&](const Value& x) { return Values{Call("ReduceSum", {x, Indices({1})})}; }},
      {"ReduceMax", [&](const Value& x) { return Values{Call("ReduceMax", {x, Indices({1})})}; }},
      {"ArgMax", [&](const Value& x) { return Values{Call("ArgMax", {x}, axis(1))}; }},
      {"CumSum", [&](const Value& x) { return Values{Call("CumSum", {x, Indices({})})}; }},
      {"TopK", [&](const Value& x) { return ApplyAll("TopK", {x, Indices({1})}, {}, 2); }},
      {"ScatterElements",
       [&](const Value& x) {
         return Values{Call("ScatterElements", {x, Indices({2, 3, 4, 4}), x},
                            {{"axis", int64_t{1}}, {"reduction", std::string("add")}})};
       }},
      {"Softmax", [&](const Value& x) { return Values{Call("Softmax", {x}, axis(-1))}; }},
      {"LayerNormalization",
       [&](const Value& x) {
         const Value scale = Make({4}, x.dtype());
         return Values{Call("LayerNormalization", {x, scale, scale}, axis(-1))};
       }},
      {"MaxPool",
       [](const Value& x) {
         return ApplyAll("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}}, 2);
       }},
      {"AveragePool",
       [](const Value& x) {
         return Values{Call("AveragePool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}})};
       }},
      {"BatchNormalization",
       [&](const Value& x) {
         const Value parameter = Make({3}, DType::kFloat32);
         return ApplyAll("BatchNormalization", {x, parameter, parameter, parameter, parameter},
                         {{"training_mode", int64_t{1}}}, 3);
       }},
      {"Dropout",
       [](const Value& x) {
         return ApplyAll("Dropout", {x, Scalar(0.5, DType::kFloat32), Scalar(1, DType::kBool)}, {},
                         2);
       }},
      {"AdamW",
       [&](const Value& x) {
         const Value rate = Make({}, DType::kFloat32);
         return ApplyAll("gradwire::AdamW", {rate, Indices({}), x, x, x, x}, {}, 3);
       }},
  };
  const Dims dims = {2, 3, 4, 4};
  for (const auto& [name, function] : functions) {
    const int expected = Kernels(function(Make(dims, DType::kFloat32)));
    for (const DType half : kHalfTypes) {
      SCOPED_TRACE(std::string(Name(half)) + " " + name);
      EXPECT_EQ(Kernels(function(Make(dims, half))), expected);
    }
  }
}

// Forward and backward: what is one call of a derivative's kernel has no cast, either.
TEST_F(CudaHalvesTest, DerivativesAreAsManyKernelsAsOfFloat32) {
  using Function = std::function<Value(const Value& x, const Value& w)>;
  const Attributes last{{"axis", int64_t{-1}}};
  const std::vector<std::pair<std::string, Function>> functions = {
      {"Mul", [](const Value& x, const Value&) { return x * x; }},
      {"bias", [](const Value& x, const Value& w) { return x + w; }},
      {"Relu", [](const Value& x, const Value&) { return Call("Relu", {x}); }},
      {"Tanh", [](const Value& x, const Value&) { return Tanh(x); }},
      {"Gelu", [](const Value& x, const Value&) { return Call("Gelu", {x}); }},
      {"Softmax", [&](const Value& x, const Value&) { return Call("Softmax", {x}, last); }},
      {"Gather",
       [&](const Value& x, const Value&) {
         return Call("Gather", {x, Indices({2})}, {{"axis", int64_t{1}}});
       }},
      {"ReduceSum",
       [&](const Value& x, const Value&) { return Call("ReduceSum", {x, Indices({1})}); }},
      {"MaxPool",
       [](const Value& x, const Value&) {
         return Call("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
       }},
      {"LayerNormalization",
       [&](const Value& x, const Value& w) { return Call("LayerNormalization", {x, w, w}, last); }},
  };
  const auto kernels = [&](const Function& function, DType dtype) {
    const Value x = Make({2, 3, 4, 4}, dtype, /*leaf=*/true);
    const Value w = Make({4}, dtype, /*leaf=*/true);
    const Value y = function(x, w);
    const int forward = Kernels({y});
    const Value seed = Make(y.dims(), dtype);
    const auto gradients = Backward(std::vector{y}, std::vector{seed}, std::vector{x, w}, {});
    return forward + Kernels({gradients.gradients[0], gradients.gradients[1]});
  };
  for (const auto& [name, function] : functions) {
    for (const DType half : kHalfTypes) {
      SCOPED_TRACE(std::string(Name(half)) + " " + name);
      EXPECT_EQ(kernels(function, half), kernels(function, DType::kFloat32));
    }
  }
}

// A derivative of several operators is computed in float32: 300 squared is no float16.
TEST_F(CudaHalvesTest, DerivativesAreComputedInFloat32) {
  const Value a = bench_.Make({1}, {600}, DType::kFloat16, /*leaf=*/true);
  const Value b = bench_.Make({1}, {300}, DType::kFloat16, /*leaf=*/true);
  const Value y = a / b;
  bench_.Run({y});
  const auto gradients = Backward(std::vector{y}, {}, std::vector{b}, {});
  EXPECT_EQ(bench_.Read(gradients.gradients[0])[0], static_cast<float>(Float16(-600.0f / 90000)));
}

// A cast that nothing flows through hides its source from a walk, whatever becomes of it.
TEST_F(CudaHalvesTest, NothingFlowsThroughACastThatWasNotRecorded) {
  const Value x = Make({4}, DType::kFloat16, /*leaf=*/true);
  Value wide;
  Value tanh;
  {
    const RecordingScope off(false);
    wide = Cast(x, DType::kFloat32);
    tanh = Tanh(wide);
  }
  EXPECT_FALSE(Cast(wide, DType::kFloat16).requires_grad());
  const Value narrow = Cast(tanh, DType::kFloat16);
  EXPECT_FALSE(narrow.requires_grad());
  EXPECT_EQ(narrow.node()->op().name, "Tanh");
  // Where something flows through another input, the cast stays.
  const Value product = Cast(wide * Cast(x, DType::kFloat32), DType::kFloat16);
  EXPECT_EQ(product.node()->op().name, "Cast");
  const auto gradients = Backward(std::vector{Sum(product, {0}, false)}, {}, std::vector{x}, {});
  EXPECT_EQ(bench_.Read(gradients.gradients[0]), bench_.Read(x));
}

// Statistics stay float32 for a derivative, and are rounded for who asks for them.
TEST_F(CudaHalvesTest, StatisticsAreFloat32) {
  const Value x = Make({2, 3, 4, 4}, DType::kFloat16, /*leaf=*/true);
  const Values outputs =
      ApplyAll("gradwire::LayerNorm", {x},
               {{"axis", int64_t{3}}, {"center", int64_t{1}}, {"epsilon", 1e-5}}, 3);
  EXPECT_EQ(outputs[0].node()->output_slot(1)->spec.dtype, DType::kFloat32);
  EXPECT_EQ(outputs[1].dtype(), DType::kFloat16);
  EXPECT_EQ(outputs[1].node()->inputs()[0].node(), outputs[0].node());
}

}  // namespace
}  // namespace gradwire
