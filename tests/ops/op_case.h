// One row tests an operator: its gradients of first and second order against central differences
// in float64, float32 against float64, and, where the row says so, expected values or an error.
#ifndef GRADWIRE_TESTS_OPS_OP_CASE_H_
#define GRADWIRE_TESTS_OPS_OP_CASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/attributes.h"
#include "core/error.h"
#include "core/shape.h"
#include "graph/op.h"

namespace gradwire::testing {

// An input: elements as doubles, stored in `dtype`. Floating ones are differentiated.
struct Input {
  Dims dims;
  std::vector<double> elements;
  DType dtype = DType::kFloat64;
  bool absent = false;        // an optional input left out
  bool differentiate = true;  // false for a floating input that has no gradient
};

// Pseudo-random, the same in every run; distinct calls give distinct numbers.
Input Normal(Dims dims);                            // mean 0, deviation 1
Input Uniform(Dims dims, double low, double high);  // away from kinks by choice of the range
// A shuffle of evenly spaced numbers, mean about 0: no kink at 0, and no ties, not even with the
// five calls before.
Input Distinct(Dims dims);
Input Elements(Dims dims, std::vector<double> elements);
Input Ints(Dims dims, std::vector<int64_t> elements, DType dtype = DType::kInt64);
Input Bools(Dims dims, std::vector<int64_t> elements);
Input Absent();
Input Fixed(Input input);  // the same, not differentiated

struct OpCase {
  std::string op;  // "Softmax", "gradwire::Slice"
  std::vector<Input> inputs = {};
  Attributes attributes = {};
  int outputs = 1;
  int64_t opset = kMaxOpset;
  // Expected first output, checked to 1e-9 relative; from a source outside gradwire.
  std::optional<std::vector<double>> expect = std::nullopt;
  // Expected error: its reason's name.
  std::optional<std::string> error = std::nullopt;
  // Highest order of gradient to check; 0 for operators that are not differentiable.
  int order = 2;
  // Relative agreement of float32 with float64; 0 to leave float32 out.
  double float32_tolerance = 1e-4;
  // Relative agreement of the derivatives of 16-bit floats, which may read rounded outputs, with
  // those of float32.
  double half_tolerance = 0x1p-7;
};

inline void PrintTo(const OpCase& op_case, std::ostream* out) { *out << op_case.op; }

// Runs a row; failures are GoogleTest's.
void Check(const OpCase& op_case);

// The operator names that rows of this binary have named.
const std::vector<std::string>& CoveredOps();
std::vector<OpCase> Cover(std::vector<OpCase> cases);

class OpTest : public ::testing::TestWithParam<OpCase> {};
std::string OpCaseName(const ::testing::TestParamInfo<OpCase>& info);

// OP_CASES(Softmax, {.op = "Softmax", .inputs = {Normal({2, 5})}}, ...);
#define OP_CASES(family, ...)                                                           \
  using family##OpTest = ::gradwire::testing::OpTest;                                   \
  TEST_P(family##OpTest, Holds) { ::gradwire::testing::Check(GetParam()); }             \
  INSTANTIATE_TEST_SUITE_P(Rows, family##OpTest,                                        \
                           ::testing::ValuesIn(::gradwire::testing::Cover(              \
                               std::vector<::gradwire::testing::OpCase>{__VA_ARGS__})), \
                           ::gradwire::testing::OpCaseName)

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_OP_CASE_H_
