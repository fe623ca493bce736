// Matrix products: gradwire::MatMul is closed under differentiation; ONNX's MatMul and Gemm are
// written in it.
#include "ops/matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cpu/dnnl.h"
#include "core/parallel.h"
#include "graph/flops.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/product.h"

namespace gradwire {
namespace {

constexpr DTypeSet kProductTypes =
    kFloats | (DType::kInt32 | DType::kInt64) | (DType::kUint32 | DType::kUint64);
using ProductTypes = TypeList<float, double, int32_t, int64_t, uint32_t, uint64_t>;

Specs InferMatMul(const OpCall& call) {
  const TensorSpec& a = call.spec(0);
  const TensorSpec& b = call.spec(1);
  call.RequireSameType(1);
  if (a.rank() < 2 || b.rank() < 2) {
    throw Error(reason::kShapeMismatch, fmt::format("A is {}, B is {}: rank 2 or more is expected",
                                                    ToString(a), ToString(b)));
  }
  const MatMulProblem problem = ProblemOf(a.dims, b.dims, call.attributes());
  const int64_t b_rows = b.dims[b.dims.size() - (problem.trans_b ? 1 : 2)];
  if (problem.k != b_rows) {
    throw Error(reason::kShapeMismatch, fmt::format("A is {}, B is {}: {} != {}", ToString(a),
                                                    ToString(b), problem.k, b_rows));
  }
  if (call.has(2)) {
    call.RequireSameType(2);
    if (call.dims(2) != Dims{problem.n}) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("bias is {}, expected [{}]", ToString(call.spec(2)), problem.n));
    }
  }
  Dims dims = problem.batch;
  dims.push_back(problem.m);
  dims.push_back(problem.n);
  return {{a.dtype, std::move(dims)}};
}

// Rows of A for which it pays to have a constant B in oneDNN's own layout.
constexpr int64_t kMinRowsToPack = 4;

// One run of oneDNN: `a_count` and `b_count` matrices, equal or 1.
void MultiplyWithDnnl(KernelContext& context, const MatMulProblem& problem, int64_t a_count,
                      int64_t b_count, const float* a, const float* b, float* c) {
  const int64_t m = problem.m;
  const int64_t n = problem.n;
  const int64_t k = problem.k;
  const int64_t count = std::max(a_count, b_count);
  const Dims a_strides = problem.trans_a ? Dims{m * k, 1, m} : Dims{m * k, k, 1};
  const Dims b_strides = problem.trans_b ? Dims{k * n, 1, k} : Dims{k * n, n, 1};
  const auto desc = [&](const Dims& dims, const Dims& strides) {
    const size_t skip = count == 1 ? 1 : 0;
    return onednn::Strided(std::span(dims).subspan(skip), std::span(strides).subspan(skip));
  };
  const onednn::Desc a_desc = desc({a_count, m, k}, a_strides);
  const onednn::Desc b_desc = desc({b_count, k, n}, b_strides);
  const onednn::Desc c_desc = desc({count, m, n}, {m * n, n, 1});
  onednn::Key key(onednn::Kind::matmul, onednn::Prop::forward_inference);
  const bool packs = context.packed() != nullptr && count == 1 && m >= kMinRowsToPack;
  key.Add(Dims{a_count, b_count, m, n, k, problem.trans_a, problem.trans_b, context.has(2), packs});
  const onednn::Desc b_wanted = packs ? onednn::Any(Dims{k, n}) : b_desc;
  absl::InlinedVector<onednn::Argument, 4> arguments = {
      onednn::In(DNNL_ARG_SRC, a_desc, a),
      onednn::In(DNNL_ARG_WEIGHTS, b_desc, b, packs ? context.packed() : nullptr),
      onednn::Out(DNNL_ARG_DST, c_desc, c)};
  if (!context.has(2)) {
    onednn::Run(context.stream(), key, arguments,
                [&] { return onednn::Describe<dnnl::matmul>(a_desc, b_wanted, c_desc); });
    return;
  }
  const onednn::Desc bias = desc({1, 1, n}, {n, n, 1});
  arguments.push_back(onednn::In(DNNL_ARG_BIAS, bias, context.in<float>(2)));
  onednn::Run(context.stream(), key, arguments,
              [&] { return onednn::Describe<dnnl::matmul>(a_desc, b_wanted, bias, c_desc); });
}

void MultiplyFloats(KernelContext& context, const MatMulProblem& problem) {
  const float* a = context.in<float>(0);
  const float* b = context.in<float>(1);
  float* c = context.out<float>(0);
  const int64_t count = NumElements(problem.batch);
  const int64_t a_count = NumElements(problem.a_batch);
  const int64_t b_count = NumElements(problem.b_batch);
  if ((a_count == count || a_count == 1) && b_count == count) {
    MultiplyWithDnnl(context, problem, a_count, b_count, a, b, c);
    return;
  }
  const std::vector<int64_t> a_places = MatMulProblem::Places(problem.a_batch, problem.batch);
  const std::vector<int64_t> b_places = MatMulProblem::Places(problem.b_batch, problem.batch);
  for (size_t i = 0; i < a_places.size(); ++i) {
    MultiplyWithDnnl(context, problem, 1, 1, a + a_places[i] * problem.m * problem.k,
                     b + b_places[i] * problem.k * problem.n,
                     c + static_cast<int64_t>(i) * problem.m * problem.n);
  }
}

template <class T>
void MultiplyAny(KernelContext& context, const MatMulProblem& problem) {
  const int64_t m = problem.m;
  const int64_t n = problem.n;
  const int64_t k = problem.k;
  const std::vector<int64_t> a_places = MatMulProblem::Places(problem.a_batch, problem.batch);
  const std::vector<int64_t> b_places = MatMulProblem::Places(problem.b_batch, problem.batch);
  T* const c = context.out<T>(0);
  const bool biased = context.has(2);
  if (biased) {
    const T* bias = context.in<T>(2);
    const int64_t rows = m * static_cast<int64_t>(a_places.size());
    ParallelFor(rows, 1 + (1 << 15) / n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) std::copy(bias, bias + n, c + i * n);
    });
  }
  std::vector<Product<T>> products;
  for (size_t i = 0; i < a_places.size(); ++i) {
    const T* a = context.in<T>(0) + a_places[i] * m * k;
    const T* b = context.in<T>(1) + b_places[i] * k * n;
    products.push_back({m, n, k, problem.trans_a ? MatrixView<T>{a, 1, m} : MatrixView<T>{a, k, 1},
                        problem.trans_b ? MatrixView<T>{b, 1, k} : MatrixView<T>{b, n, 1},
                        c + static_cast<int64_t>(i) * m * n, n, biased});
  }
  Multiply<T>(context.stream(), products);
}

void MatMulCpu(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  MatMulProblem problem =
      ProblemOf(context.input(0).dims(), context.input(1).dims(), context.attributes());
  problem.Fold();
  if (context.output(0).dtype() == DType::kFloat32 && problem.k != 0) {
    MultiplyFloats(context, problem);
    return;
  }
  Dispatch(ProductTypes{}, context.output(0).dtype(),
           [&]<class T>() { MultiplyAny<T>(context, problem); });
}

Value AsRows(const Value& x) {
  const int64_t columns = x.dims().back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x.dims().size(); ++i) rows *= x.dims()[i];
  return Reshape(x, {rows, columns});
}

// y = a b: da = dy b', db = a' dy.
Values MatMulVjp(const VjpCall& call) {
  const bool trans_a = call.attributes().Int("trans_a", 0) != 0;
  const bool trans_b = call.attributes().Int("trans_b", 0) != 0;
  Values gradients(call.num_inputs());
  if (call.needs(0)) {
    const Value b = call.input(1);
    gradients[0] =
        trans_a ? MatMul(b, call.dy(), trans_b, true) : MatMul(call.dy(), b, false, !trans_b);
  }
  if (call.needs(1)) {
    Value a = call.input(0);
    Value dy = call.dy();
    const bool one_matrix = call.input_spec(1).rank() == 2;
    if (one_matrix && !trans_a) {  // sums over the batch within the product
      a = AsRows(a);
      dy = AsRows(dy);
    }
    gradients[1] = trans_b ? MatMul(dy, a, true, trans_a) : MatMul(a, dy, !trans_a, false);
  }
  if (call.needs(2)) gradients[2] = call.dy();
  return gradients;
}

int64_t MatMulFlops(const Node& node) {
  const MatMulProblem problem =
      ProblemOf(node.inputs()[0].dims(), node.inputs()[1].dims(), node.attributes());
  const bool adds_bias = node.inputs().size() > 2 && node.inputs()[2];
  return node.output_slot(0)->spec.numel() * (2 * problem.k + (adds_bias ? 1 : 0));
}

// ONNX's MatMul: a vector on the left is a row, on the right a column.
Values DecomposeMatMul(const OpCall& call) {
  Value a = call.input(0);
  Value b = call.input(1);
  if (a.rank() == 0 || b.rank() == 0) {
    throw Error(reason::kShapeMismatch, fmt::format("A is {}, B is {}: rank 1 or more is expected",
                                                    ToString(a.spec()), ToString(b.spec())));
  }
  const bool row = a.rank() == 1;
  const bool column = b.rank() == 1;
  if (row) a = Unsqueeze(a, {0});
  if (column) b = Unsqueeze(b, {1});
  const Value y = MatMul(a, b);
  Dims dims = y.dims();
  if (row) dims.erase(dims.end() - 2);
  if (column) dims.pop_back();
  return {Reshape(y, dims)};
}

// y = alpha a b + beta c. 16-bit floats are rounded once.
Values DecomposeGemm(const OpCall& call) {
  for (const size_t i : {0, 1}) {
    if (call.rank(i) == 2) continue;
    throw Error(reason::kShapeMismatch, fmt::format("{} is {}: rank 2 is expected",
                                                    i == 0 ? "A" : "B", ToString(call.spec(i))));
  }
  const bool trans_a = call.attributes().Int("transA", 0) != 0;
  const bool trans_b = call.attributes().Int("transB", 0) != 0;
  const double alpha = call.attributes().Float("alpha", 1.0);
  const double beta = call.attributes().Float("beta", 1.0);
  Value c = call.input(2);
  const int64_t columns = call.dims(1)[trans_b ? 0 : 1];
  const bool is_bias = c && alpha == 1.0 && c.numel() == columns && c.rank() > 0 && c.rank() <= 2 &&
                       c.dims().back() == columns;
  const bool is_one_product = beta == 1.0 && is_bias;
  if (kHalves.Contains(call.dtype(0)) && !is_one_product && (c || alpha != 1.0)) {
    Values wide;
    for (size_t i = 0; i < 3; ++i) {
      const Value input = call.input(i);
      wide.push_back(input ? Cast(input, DType::kFloat32) : input);
    }
    // Of the newest row, which has no `broadcast` as the first one.
    const Attributes attributes{{"alpha", alpha},
                                {"beta", beta},
                                {"transA", int64_t{trans_a}},
                                {"transB", int64_t{trans_b}}};
    return {Cast(Call("Gemm", wide, attributes), call.dtype(0))};
  }
  if (c && beta != 1.0) c = c * beta;
  if (is_bias) {
    return {Call("gradwire::MatMul", {call.input(0), call.input(1), Reshape(c, {columns})},
                 {{"trans_a", int64_t{trans_a}}, {"trans_b", int64_t{trans_b}}})};
  }
  Value y = MatMul(call.input(0), call.input(1), trans_a, trans_b);
  if (alpha != 1.0) y = y * alpha;
  if (!c) return {y};
  if (BroadcastDims(y.dims(), c.dims()) != y.dims()) {
    throw Error(reason::kShapeMismatch, fmt::format("C is {}, which does not broadcast to {}",
                                                    ToString(c.spec()), ToString(y.spec())));
  }
  return {y + c};
}

GRADWIRE_OP({.name = "MatMul",
             .domain = "gradwire",
             .inputs = {2, 3},  // a, b, a bias to add to each row
             .types = kProductTypes,
             .attributes = {"trans_a", "trans_b"},
             .infer = InferMatMul,
             .cpu = MatMulCpu,
             .vjp = MatMulVjp,
             .saves = {.inputs = 0b11},
             .packs = 1});
GRADWIRE_FLOPS("gradwire", "MatMul", MatMulFlops);
GRADWIRE_OP({.name = "MatMul",
             .inputs = 2,
             .types = kProductTypes | kHalves,
             .decompose = DecomposeMatMul});

GRADWIRE_OP({.name = "Gemm",
             .inputs = 3,
             .types = kProductTypes | kHalves,
             .attributes = {"alpha", "beta", "transA", "transB", "broadcast"},
             .decompose = DecomposeGemm});
GRADWIRE_OP({.name = "Gemm",
             .since = 7,
             .inputs = 3,
             .types = kProductTypes | kHalves,
             .attributes = {"alpha", "beta", "transA", "transB"},
             .decompose = DecomposeGemm});
GRADWIRE_OP({.name = "Gemm",
             .since = 11,
             .inputs = {2, 3},
             .types = kProductTypes | kHalves,
             .attributes = {"alpha", "beta", "transA", "transB"},
             .decompose = DecomposeGemm});

}  // namespace
}  // namespace gradwire
