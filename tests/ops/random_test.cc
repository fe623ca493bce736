#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "ops/philox.h"
#include "tests/ops/eager.h"
#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using List = std::vector<int64_t>;
constexpr int64_t kFloat = static_cast<int>(DType::kFloat32);
constexpr int64_t kDouble = static_cast<int>(DType::kFloat64);

// Known answers of the authors' library, Random123.
TEST(Philox, GivesTheAuthorsNumbers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}),
            (PhiloxBlock{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(Philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxBlock{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
}

OP_CASES(Random,
         {.op = "RandomUniform",  // seed 0: the numbers of key 0
          .attributes = {{"shape", List{4}}, {"seed", 0.0}},
          .expect = std::vector<double>{0.3990464210510254, 0.8805201649665833, 0.7357127666473389,
                                        0.6054818034172058},
          .order = 0},
         {.op = "RandomUniform",
          .attributes =
              {{"shape", List{2}}, {"seed", 0.0}, {"dtype", kDouble}, {"low", -1.0}, {"high", 3.0}},
          .expect = std::vector<double>{-1 + 4 * 0.3990464708489645, -1 + 4 * 0.7357127844834425},
          .order = 0},
         {.op = "RandomNormal",
          .attributes = {{"shape", List{2}},
                         {"seed", 0.0},
                         {"dtype", kDouble},
                         {"mean", 1.0},
                         {"scale", 2.0}},
          .expect = std::vector<double>{1 - 2 * 0.09047305844120267, 1 - 2 * 1.0051318150657187},
          .order = 0},
         {.op = "gradwire::Uniform",
          .inputs = {Ints({}, {0})},
          .attributes = {{"shape", List{1, 2}}, {"dtype", kDouble}},
          .expect = std::vector<double>{0.3990464708489645, 0.7357127844834425},
          .order = 0},
         {.op = "gradwire::Normal",
          .inputs = {Ints({1}, {0})},
          .attributes = {{"shape", List{2}}, {"dtype", kDouble}},
          .expect = std::vector<double>{-0.09047305844120267, -1.0051318150657187},
          .order = 0},
         {.op = "gradwire::Normal",
          .inputs = {Ints({2}, {0, 1})},
          .attributes = {{"shape", List{2}}, {"dtype", kDouble}},
          .error = "SHAPE_MISMATCH"},
         {.op = "RandomNormalLike", .inputs = {Normal({2, 0})}, .order = 0},
         {.op = "RandomUniformLike",
          .inputs = {Ints({1}, {5}, DType::kInt32)},
          .attributes = {{"dtype", kFloat}, {"seed", 0.0}},
          .expect = std::vector<double>{0.3990464210510254},
          .order = 0},
         {.op = "RandomUniformLike",
          .inputs = {Ints({1}, {5}, DType::kInt32)},
          .error = "OP_UNSUPPORTED"},
         {.op = "RandomNormal", .error = "INVALID_ARGUMENT"},
         {.op = "Bernoulli",
          .inputs = {Elements({4}, {0, 1, 0, 1})},
          .expect = std::vector<double>{0, 1, 0, 1},
          .order = 0},
         {.op = "Multinomial",
          .inputs = {Elements({2, 3}, {-1e9, 0, -1e9, -1e9, -1e9, 0})},
          .attributes = {{"sample_size", int64_t{3}}},
          .expect = std::vector<double>{1, 1, 1, 2, 2, 2},
          .order = 0});

std::pair<double, double> MeanAndVariance(const std::vector<double>& x) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  double sum = 0;
  for (const double v : x) sum += (v - mean) * (v - mean);
  return {mean, sum / static_cast<double>(x.size())};
}

TEST(Random, HasTheMomentsAskedFor) {
  Eager eager;
  const Attributes normal{{"shape", List{100, 1001}}, {"mean", 2.0}, {"scale", 3.0}};
  const auto [mean, variance] = MeanAndVariance(eager.Read(Call("RandomNormal", {}, normal)));
  EXPECT_NEAR(mean, 2, 0.05);
  EXPECT_NEAR(variance, 9, 0.2);
  const Attributes uniform{{"shape", List{100, 1001}}, {"low", -1.0}, {"high", 3.0}};
  const auto [middle, spread] = MeanAndVariance(eager.Read(Call("RandomUniform", {}, uniform)));
  EXPECT_NEAR(middle, 1, 0.02);
  EXPECT_NEAR(spread, 16.0 / 12, 0.03);
}

TEST(Random, IsTheSameOnAnyNumberOfThreads) {
  Eager eager;
  const Attributes attributes{{"shape", List{100001}}, {"seed", 7.0}};
  const int threads = Threads();
  SetThreads(1);
  const std::vector<double> one = eager.Read(Call("RandomNormal", {}, attributes));
  SetThreads(3);
  const std::vector<double> three = eager.Read(Call("RandomNormal", {}, attributes));
  SetThreads(threads);
  EXPECT_EQ(one, three);
  EXPECT_NE(one[0], eager.Read(Call("RandomNormal", {}, {{"shape", List{1}}}))[0]);
}

}  // namespace
}  // namespace gradwire::testing
