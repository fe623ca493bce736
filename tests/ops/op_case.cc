#include "tests/ops/op_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <random>

#include "autograd/backward.h"
#include "graph/formula.h"
#include "tests/ops/bench.h"
#include "tests/ops/device.h"
#include "tests/unit/same.h"

namespace gradwire::testing {
namespace {

std::mt19937_64& Generator() {
  static std::mt19937_64 generator(20261121);
  return generator;
}

Value MakeInput(Bench& bench, const Input& input, DType dtype, bool leaf) {
  return input.absent ? Value() : bench.Make(input.dims, input.elements, dtype, leaf);
}

bool IsDifferentiated(const Input& input) {
  return input.dtype == DType::kFloat64 && input.differentiate && !input.absent;
}

const OpDef& FindOp(const OpCase& c) {
  const size_t colons = c.op.find("::");
  const bool qualified = colons != std::string::npos;
  const OpDef* op = Registry::Global().Find(qualified ? c.op.substr(0, colons) : "",
                                            qualified ? c.op.substr(colons + 2) : c.op, c.opset);
  if (op == nullptr) throw Error(reason::kOpUnsupported, c.op + " is not registered");
  return *op;
}

Values MakeInputs(const OpCase& c, Bench& bench, DType float_type, bool leaves) {
  Values inputs;
  for (const Input& input : c.inputs) {
    const DType dtype = input.dtype == DType::kFloat64 ? float_type : input.dtype;
    inputs.push_back(MakeInput(bench, input, dtype, IsDifferentiated(input) && leaves));
  }
  return inputs;
}

Values CallCase(const OpCase& c, Bench& bench, DType float_type) {
  return Apply(FindOp(c), MakeInputs(c, bench, float_type, c.order > 0), c.attributes, c.outputs);
}

// Equal to 1e-9, relative to 1 where the wanted number is small.
void ExpectNear(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = wanted[i];
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got[i])) << "element " << i << " is " << got[i];
    } else if (std::isinf(want)) {
      EXPECT_EQ(got[i], want) << "element " << i;
    } else {
      EXPECT_NEAR(got[i], want, 1e-9 * (1 + std::abs(want))) << "element " << i;
    }
  }
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// The row's function as one number of its differentiated inputs: the sum of all floating outputs,
// each weighted by fixed random numbers; or, at order 2, the directional derivative of that.
class Projection {
 public:
  explicit Projection(const OpCase& c) : case_(c) {
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      if (IsDifferentiated(c.inputs[i])) points_.push_back(i);
    }
    for (size_t at : points_) direction_.push_back(Normal(c.inputs[at].dims));
  }

  struct Result {
    double value = 0;
    std::vector<std::vector<double>> gradients;  // of each differentiated input
  };
  // At inputs + step * along.
  Result At(double step, const std::vector<Input>& along, int order) {
    OpCase moved = case_;
    for (size_t k = 0; k < points_.size(); ++k) {
      std::vector<double>& x = moved.inputs[points_[k]].elements;
      for (size_t i = 0; i < x.size(); ++i) x[i] += step * along[k].elements[i];
    }
    Bench bench([] {}, DeviceUnderTest());
    const TraceScope scope(bench.trace());
    return Evaluate(moved, bench, order);
  }
  std::vector<Input> RandomDirection() const {
    std::vector<Input> along;
    for (size_t at : points_) along.push_back(Normal(case_.inputs[at].dims));
    return along;
  }
  bool empty() const { return points_.empty(); }

 private:
  Result Evaluate(const OpCase& moved, Bench& bench, int order) {
    std::vector<Value> leaves;
    const Value y = Weighted(moved, bench, leaves);
    Result result;
    if (!y.requires_grad()) {  // nothing differentiable comes out
      result.value = bench.Read(y)[0];
      for (const Value& leaf : leaves) result.gradients.emplace_back(leaf.numel(), 0.0);
      return result;
    }
    bench.Run({y});  // so that backward sees what a later RPC would see
    if (order == 1) return Read(bench, y, leaves);
    const BackwardResult first = Backward(std::vector{y}, {}, leaves, {.create_graph = true});
    Value s = Scalar(0, DType::kFloat64);
    for (size_t k = 0; k < leaves.size(); ++k) {
      if (!first.gradients[k]) continue;
      const Value v = MakeInput(bench, direction_[k], DType::kFloat64, false);
      s = s + Sum(first.gradients[k] * v, AllAxes(v.rank()), false);
    }
    bench.Run({s});
    return Read(bench, s, leaves);
  }

  static Result Read(Bench& bench, const Value& y, const std::vector<Value>& leaves) {
    Result result{bench.Read(y)[0], {}};
    BackwardResult backward;
    if (y.requires_grad()) backward = Backward(std::vector{y}, {}, leaves, {});
    for (size_t k = 0; k < leaves.size(); ++k) {
      const bool flows = k < backward.gradients.size() && backward.gradients[k];
      result.gradients.push_back(flows ? bench.Read(backward.gradients[k])
                                       : std::vector<double>(size_t(leaves[k].numel()), 0.0));
    }
    return result;
  }

  Value Weighted(const OpCase& moved, Bench& bench, std::vector<Value>& leaves) {
    Values inputs;
    for (const Input& input : moved.inputs) {
      inputs.push_back(MakeInput(bench, input, input.dtype, IsDifferentiated(input)));
      if (IsDifferentiated(input)) leaves.push_back(inputs.back());
    }
    const Values outputs = Apply(FindOp(moved), inputs, moved.attributes, moved.outputs);
    Value total = Scalar(0, DType::kFloat64);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i] || outputs[i].dtype() != DType::kFloat64) continue;
      if (weights_.size() <= i) weights_.resize(i + 1);
      if (weights_[i].elements.empty()) weights_[i] = Normal(outputs[i].dims());
      const Value w = MakeInput(bench, weights_[i], DType::kFloat64, false);
      total = total + Sum(outputs[i] * w, AllAxes(w.rank()), false);
    }
    return total;
  }

  const OpCase& case_;
  std::vector<size_t> points_;
  std::vector<Input> direction_;
  std::vector<Input> weights_;
};

void CheckGradient(Projection& f, int order) {
  constexpr double kStep = 1e-5;
  const std::vector<Input> along = f.RandomDirection();
  const Projection::Result here = f.At(0, along, order);
  const double numeric =
      (f.At(kStep, along, order).value - f.At(-kStep, along, order).value) / (2 * kStep);
  double analytic = 0;
  double scale = 1;
  for (size_t k = 0; k < along.size(); ++k) {
    const double part = Dot(here.gradients[k], along[k].elements);
    analytic += part;
    scale += std::abs(part);
  }
  EXPECT_NEAR(analytic, numeric, 1e-6 * (scale + std::abs(numeric)))
      << "gradient of order " << order;
}

void CheckExpectation(const OpCase& c) {
  Bench bench([] {}, DeviceUnderTest());
  const TraceScope scope(bench.trace());
  ExpectNear(bench.Read(CallCase(c, bench, DType::kFloat64)[0]), *c.expect);
}

void CheckFloat32(const OpCase& c) {
  Bench bench([] {}, DeviceUnderTest());
  const TraceScope scope(bench.trace());
  const Values wide = CallCase(c, bench, DType::kFloat64);
  const Values narrow = CallCase(c, bench, DType::kFloat32);
  for (size_t i = 0; i < wide.size(); ++i) {
    if (!wide[i]) continue;
    EXPECT_EQ(wide[i].dims(), narrow[i].dims());
    const std::vector<double> want = bench.Read(wide[i]);
    const std::vector<double> got = bench.Read(narrow[i]);
    for (size_t k = 0; k < want.size(); ++k) {
      if (!std::isfinite(want[k])) continue;
      ASSERT_NEAR(got[k], want[k], c.float32_tolerance * (1 + std::abs(want[k])))
          << "float32 output " << i << " element " << k;
    }
  }
}

// The row's outputs, and the gradients of its differentiated inputs, of 16-bit floats as they are
// or as what was cast to float32 before and is cast back after.
std::vector<Tensor> OfHalves(const OpCase& c, DType half, bool cast, bool backward) {
  Bench bench([] {}, DeviceUnderTest());
  const TraceScope scope(bench.trace());
  const Values leaves = MakeInputs(c, bench, half, backward);
  Values inputs = leaves;
  for (Value& input : inputs) {
    if (cast && input && input.dtype() == half) input = Cast(input, DType::kFloat32);
  }
  if (cast) bench.Run(inputs);
  bench.trace().random_state() = 1;
  Values results = Apply(FindOp(c), inputs, c.attributes, c.outputs);
  bench.Run(results);
  for (Value& result : results) {
    if (result && result.dtype() == DType::kFloat32) result = Cast(result, half);
  }
  std::vector<Value> found(results.begin(), results.end());
  if (backward) {
    std::vector<Value> wanted;
    std::vector<Value> roots;
    std::vector<Value> seeds;
    for (size_t i = 0; i < leaves.size(); ++i) {
      if (IsDifferentiated(c.inputs[i])) wanted.push_back(leaves[i]);
    }
    for (const Value& result : results) {
      if (!result || !result.requires_grad()) continue;
      roots.push_back(result);
      seeds.push_back(Full(result.dims(), 1, result.dtype()));
    }
    if (roots.empty() || wanted.empty()) return {};
    found = Backward(roots, seeds, wanted, {}).gradients;
  }
  bench.Run({found.begin(), found.end()});
  std::vector<Tensor> arrays;
  for (const Value& value : found) {
    arrays.push_back(value ? OnHost(value.tensor(), bench.stream()) : Tensor());
  }
  return arrays;
}

// 16-bit floats give what float32 gives, rounded once: to the bit but for products on a GPU, and
// for derivatives that read what was rounded.
void CheckHalves(const OpCase& c) {
  const OpDef& op = FindOp(c);
  if (!op.types.Contains(DType::kFloat32) || op.types.Contains(DType::kFloat16)) return;
  for (const DType half : {DType::kFloat16, DType::kBfloat16}) {
    for (const bool backward : {false, true}) {
      if (backward && c.order == 0) continue;
      const std::vector<Tensor> expected = OfHalves(c, half, /*cast=*/true, backward);
      const std::vector<Tensor> actual = OfHalves(c, half, /*cast=*/false, backward);
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < actual.size(); ++i) {
        ASSERT_EQ(bool(actual[i]), bool(expected[i]));
        if (!actual[i]) continue;
        const double tolerance = backward ? c.half_tolerance : ToleranceOfPlans().products;
        ExpectSame(actual[i], expected[i], tolerance,
                   fmt::format("{} of {}, {}", Name(half), backward ? "gradient" : "output", i),
                   c.half_tolerance);
      }
    }
  }
}

// A row's kernel against its own decomposition.
void CheckDecomposition(const OpCase& c) {
  const OpDef& op = FindOp(c);
  if (op.cpu == nullptr || op.decompose == nullptr) return;
  Bench bench([] {}, DeviceUnderTest());
  const TraceScope scope(bench.trace());
  const Values inputs = MakeInputs(c, bench, DType::kFloat64, /*leaves=*/false);
  const Values got = Apply(op, inputs, c.attributes, c.outputs);
  const Values want = op.decompose(OpCall(op, inputs, c.attributes, c.outputs));
  for (size_t i = 0; i < std::min(want.size(), size_t(c.outputs)); ++i) {
    if (want[i]) ExpectNear(bench.Read(got[i]), bench.Read(want[i]));
  }
}

std::vector<std::string>& Covered() {
  static std::vector<std::string> covered;
  return covered;
}

}  // namespace

Input Normal(Dims dims) {
  std::normal_distribution<double> normal;
  std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
  for (double& x : elements) x = normal(Generator());
  return {std::move(dims), std::move(elements)};
}

Input Uniform(Dims dims, double low, double high) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
  for (double& x : elements) x = uniform(Generator());
  return {std::move(dims), std::move(elements)};
}

Input Distinct(Dims dims) {
  static int calls = 0;
  const double offset = 0.05 + 0.01 * (calls++ % 6);  // so that two of a row have no ties either
  const auto count = static_cast<size_t>(NumElements(dims));
  std::vector<double> elements(count);
  for (size_t i = 0; i < count; ++i)
    elements[i] = (double(i) + 0.5 - double(count) / 2) * 0.25 + offset;
  std::shuffle(elements.begin(), elements.end(), Generator());
  return {std::move(dims), std::move(elements)};
}

Input Elements(Dims dims, std::vector<double> elements) {
  return {std::move(dims), std::move(elements)};
}

Input Ints(Dims dims, std::vector<int64_t> elements, DType dtype) {
  return {std::move(dims), {elements.begin(), elements.end()}, dtype};
}

Input Bools(Dims dims, std::vector<int64_t> elements) {
  return Ints(std::move(dims), std::move(elements), DType::kBool);
}

Input Absent() { return {.absent = true}; }

Input Fixed(Input input) {
  input.differentiate = false;
  return input;
}

void Check(const OpCase& c) {
  if (c.error.has_value()) {
    Bench bench([] {}, DeviceUnderTest());
    const TraceScope scope(bench.trace());
    try {
      bench.Run(CallCase(c, bench, DType::kFloat64));
      FAIL() << "no error; expected " << *c.error;
    } catch (const Error& error) {
      EXPECT_EQ(error.reason().name, *c.error) << error.what();
    }
    return;
  }
  try {
    if (c.expect.has_value()) CheckExpectation(c);
    CheckDecomposition(c);
    if (c.float32_tolerance > 0) CheckFloat32(c);
    if (c.float32_tolerance > 0) CheckHalves(c);
    Projection f(c);
    for (int order = 1; order <= c.order && !f.empty(); ++order) CheckGradient(f, order);
  } catch (const Error& error) {
    FAIL() << error.reason().name << ": " << error.what();
  }
}

const std::vector<std::string>& CoveredOps() { return Covered(); }

std::vector<OpCase> Cover(std::vector<OpCase> cases) {
  for (const OpCase& c : cases) Covered().push_back(c.op);
  return cases;
}

std::string OpCaseName(const ::testing::TestParamInfo<OpCase>& info) {
  std::string name = std::to_string(info.index) + "_" + info.param.op;
  std::replace_if(name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace gradwire::testing
