#include "ops/cuda_kernel.h"
#include "ops/dot.cuh"
#include "ops/matmul.h"

namespace gradwire::cuda {
namespace {

// What Multiply has epilogues for.
constexpr DTypeSet kFused = DTypeSet(DType::kFloat32) | kHalves;

Epilogue EpilogueOf(const Attributes& attributes) {
  return static_cast<Epilogue>(attributes.Int("epilogue", 0));
}

// c += bias, row by row.
template <class T>
struct AddBias {
  const T* bias;
  T* c;
  int64_t n;

  GRADWIRE_FN void operator()(int64_t i) const { c[i] += bias[i % n]; }
};

// One matrix, or `count` whose steps are even.
struct Run {
  int64_t first;
  int64_t a, b;  // places of the first matrices
  int64_t a_step, b_step;
  int64_t count;
};

// The batch in as few runs as its places allow.
std::vector<Run> RunsOf(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  std::vector<Run> runs;
  for (size_t i = 0; i < a.size(); ++i) {
    Run* const last = runs.empty() ? nullptr : &runs.back();
    if (last != nullptr && last->count == 1) {
      last->a_step = a[i] - last->a;
      last->b_step = b[i] - last->b;
      last->count = 2;
      if (last->a_step >= 0 && last->b_step >= 0) continue;
      last->count = 1;
    } else if (last != nullptr && a[i] == last->a + last->count * last->a_step &&
               b[i] == last->b + last->count * last->b_step) {
      ++last->count;
      continue;
    }
    runs.push_back({static_cast<int64_t>(i), a[i], b[i], 0, 0, 1});
  }
  return runs;
}

template <class T>
void MultiplyRun(KernelContext& context, const MatMulProblem& p, const Run& run) {
  // Multiply adds none to float64.
  constexpr bool kAddsBias = kFused.Contains(DTypeOf<T>()) || !kIsFloat<T>;
  const T* bias = context.has(2) ? context.in<T>(2) : nullptr;
  T* const c = context.out<T>(0) + run.first * p.m * p.n;
  MultiplyAs<T>(context.stream(), {.dtype = DTypeOf<T>(),
                                   .m = p.m,
                                   .n = p.n,
                                   .k = p.k,
                                   .transpose_a = p.trans_a,
                                   .transpose_b = p.trans_b,
                                   .a = context.in<T>(0) + run.a * p.m * p.k,
                                   .b = context.in<T>(1) + run.b * p.k * p.n,
                                   .c = c,
                                   .count = run.count,
                                   .a_step = run.a_step * p.m * p.k,
                                   .b_step = run.b_step * p.k * p.n,
                                   .c_step = p.m * p.n,
                                   .bias = kAddsBias ? bias : nullptr,
                                   .epilogue = EpilogueOf(context.attributes())});
  if constexpr (!kAddsBias) {
    if (bias != nullptr) ForEach(context.stream(), run.count * p.m * p.n, AddBias<T>{bias, c, p.n});
  }
}

void MatMulKernel(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  MatMulProblem problem =
      ProblemOf(context.input(0).dims(), context.input(1).dims(), context.attributes());
  problem.Fold();
  const std::vector<Run> runs = RunsOf(MatMulProblem::Places(problem.a_batch, problem.batch),
                                       MatMulProblem::Places(problem.b_batch, problem.batch));
  using Types = TypeList<float, double, Float16, BFloat16, int32_t, int64_t, uint32_t, uint64_t>;
  Dispatch(Types{}, context.output(0).dtype(), [&]<class T>() {
    for (const Run& run : runs) MultiplyRun<T>(context, problem, run);
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "MatMul", 1, MatMulKernel,
                     KernelTraits{.halves = kAllInputs, .halves_vjp = true, .epilogues = kFused});

}  // namespace
}  // namespace gradwire::cuda
