// Matrix products through cuBLASLt.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

#include "backend/cuda/blas.h"
#include "backend/cuda/check.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/registration.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

constexpr size_t kSmallWorkspace = size_t{4} << 20;
constexpr size_t kLargeWorkspace = size_t{32} << 20;
constexpr double kManyProducts = 0x1p30;
constexpr size_t kRememberedPlans = 4096;

void CheckBlas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(reason::kInternal, std::string(what) + ": " + cublasLtGetStatusString(status));
}
#define GRADWIRE_BLAS_CHECK(call) CheckBlas((call), #call)

// The handle of the current GPU; one serves all threads.
cublasLtHandle_t Handle() {
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> handles;
  int gpu = 0;
  GRADWIRE_CUDA_CHECK(cudaGetDevice(&gpu));
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& handle = handles[gpu];
  if (handle == nullptr) GRADWIRE_BLAS_CHECK(cublasLtCreate(&handle));
  return handle;
}

class Layout {
 public:
  // Column-major; columns lie `pitch` elements apart, or side by side where that is 0.
  Layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t pitch, int64_t count,
         int64_t step) {
    GRADWIRE_BLAS_CHECK(cublasLtMatrixLayoutCreate(&layout_, type, static_cast<uint64_t>(rows),
                                                   static_cast<uint64_t>(columns),
                                                   pitch == 0 ? rows : pitch));
    if (count == 1) return;
    const auto batch = static_cast<int32_t>(count);
    Set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batch);
    Set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, step);
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  template <class T>
  void Set(cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
    GRADWIRE_BLAS_CHECK(
        cublasLtMatrixLayoutSetAttribute(layout_, attribute, &value, sizeof(value)));
  }
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class Description {
 public:
  Description(cublasComputeType_t compute, cudaDataType_t scale) {
    GRADWIRE_BLAS_CHECK(cublasLtMatmulDescCreate(&description_, compute, scale));
  }
  ~Description() { cublasLtMatmulDescDestroy(description_); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  template <class T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    GRADWIRE_BLAS_CHECK(
        cublasLtMatmulDescSetAttribute(description_, attribute, &value, sizeof(value)));
  }
  cublasLtMatmulDesc_t get() const { return description_; }

 private:
  cublasLtMatmulDesc_t description_ = nullptr;
};

// Bytes that an array's address is a multiple of; cuBLASLt asks for no more than 256.
uint32_t AlignmentOf(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return static_cast<uint32_t>(std::min<uintptr_t>(256, address & (~address + 1)));
}

// All that the choice of an algorithm depends on: what is asked for, by which GPU, and where the
// operands are, in cuBLASLt's order, b and a, c and the bias, whose address it sees itself.
using Alignments = std::array<uint32_t, 4>;
using PlanKey =
    std::tuple<int, DType, Epilogue, std::array<int64_t, 9>, std::array<bool, 6>, Alignments>;

PlanKey KeyOf(int gpu, const MatrixProduct& p, const MathMode& mode) {
  return {
      gpu,
      p.dtype,
      p.epilogue,
      {p.m, p.n, p.k, p.a_row, p.c_row, p.count, p.a_step, p.b_step, p.c_step},
      {p.transpose_a, p.transpose_b, p.bias != nullptr, p.accumulate, mode.tf32, mode.half_sums},
      {AlignmentOf(p.b), AlignmentOf(p.a), AlignmentOf(p.c), AlignmentOf(p.bias)}};
}

struct Plan {
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;  // bytes that it needs
};

class Plans {
 public:
  static Plans& Global() {
    static Plans plans;
    return plans;
  }
  template <class Choose>
  std::optional<Plan> Get(const PlanKey& key, const Choose& choose) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    }
    const std::optional<Plan> chosen = choose();
    const std::lock_guard lock(mutex_);
    if (!chosen.has_value()) ++missing_;
    if (plans_.size() >= kRememberedPlans) plans_.clear();
    plans_[key] = chosen;
    return chosen;
  }
  // How many products there was no algorithm for.
  int64_t missing() const {
    const std::lock_guard lock(mutex_);
    return missing_;
  }

 private:
  mutable std::mutex mutex_;
  int64_t missing_ = 0;                           // guarded
  std::map<PlanKey, std::optional<Plan>> plans_;  // guarded
};

cudaDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return CUDA_R_64F;
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kBfloat16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

// What sums are kept in, and the type of the factors that are applied to them.
struct Compute {
  cublasComputeType_t type;
  cudaDataType_t scale;
};

Compute ComputeOf(DType dtype, const MathMode& mode) {
  if (dtype == DType::kFloat64) return {CUBLAS_COMPUTE_64F, CUDA_R_64F};
  if (dtype == DType::kFloat16 && mode.half_sums) return {CUBLAS_COMPUTE_16F, CUDA_R_16F};
  const bool tf32 = dtype == DType::kFloat32 && mode.tf32;
  return {tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F};
}

// 0 or 1.
const void* Factor(cudaDataType_t scale, bool one) {
  static constexpr double kDoubles[] = {0, 1};
  static constexpr float kFloats[] = {0, 1};
  static constexpr uint16_t kHalves[] = {0, 0x3c00};
  switch (scale) {
    case CUDA_R_64F:
      return &kDoubles[one];
    case CUDA_R_16F:
      return &kHalves[one];
    default:
      return &kFloats[one];
  }
}

cublasLtEpilogue_t EpilogueOf(const MatrixProduct& p) {
  const bool biased = p.bias != nullptr;
  switch (p.epilogue) {
    case Epilogue::kRelu:
      return biased ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Epilogue::kGelu:
      return biased ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default:
      return biased ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// Row-major c = a b is column-major c' = b' a', whose operands lie in memory as they do here.
struct Operation {
  Description description;
  Layout a, b, c;

  Operation(const MatrixProduct& p, const Compute& compute)
      : Operation(p, compute, TypeOf(p.dtype)) {
    description.Set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    description.Set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    description.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, EpilogueOf(p));
    if (p.bias != nullptr) description.Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }

 private:
  Operation(const MatrixProduct& p, const Compute& compute, cudaDataType_t type)
      : description(compute.type, compute.scale),
        a(type, p.transpose_b ? p.k : p.n, p.transpose_b ? p.n : p.k, 0, p.count, p.b_step),
        b(type, p.transpose_a ? p.m : p.k, p.transpose_a ? p.k : p.m, p.a_row, p.count, p.a_step),
        c(type, p.n, p.m, p.c_row, p.count, p.c_step) {}
};

void SetPreferences(cublasLtMatmulPreference_t preference, size_t workspace,
                    const Alignments& alignments, bool half_sums) {
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    GRADWIRE_BLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
  // Otherwise parts of a sum may be rounded to the result's type.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(half_sums ? CUBLASLT_REDUCTION_SCHEME_MASK
                                      : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments[0]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments[1]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments[2]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments[2]);
}

// None where cuBLASLt has none. That is not only told by the status meant for it: releases have
// called an extent of 1 an invalid value where there was a bias.
std::optional<Plan> Choose(cublasLtHandle_t handle, const Operation& o, size_t most_workspace,
                           const Alignments& alignments, bool half_sums) {
  cublasLtMatmulPreference_t preference = nullptr;
  GRADWIRE_BLAS_CHECK(cublasLtMatmulPreferenceCreate(&preference));
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                        decltype(&cublasLtMatmulPreferenceDestroy)>
      owned(preference, &cublasLtMatmulPreferenceDestroy);
  SetPreferences(preference, most_workspace, alignments, half_sums);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, o.description.get(), o.a.get(), o.b.get(), o.c.get(),
                                     o.c.get(), preference, 1, &result, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  CheckBlas(status, "cublasLtMatmulAlgoGetHeuristic");
  if (found == 0 || result.state != CUBLAS_STATUS_SUCCESS) return {};
  return Plan{result.algo, result.workspaceSize};
}

size_t MostWorkspaceFor(const MatrixProduct& p) {
  const double products = double(p.m) * double(p.n) * double(p.k) * double(p.count);
  return products < kManyProducts ? kSmallWorkspace : kLargeWorkspace;
}

}  // namespace

bool Multiply(Stream& stream, const MatrixProduct& p) {
  const cudaStream_t queue = QueueOf(stream);
  const cublasLtHandle_t handle = Handle();
  const MathMode& mode = stream.math_mode();
  const Compute compute = ComputeOf(p.dtype, mode);
  const Operation o(p, compute);
  int gpu = 0;
  GRADWIRE_CUDA_CHECK(cudaGetDevice(&gpu));
  const PlanKey key = KeyOf(gpu, p, mode);
  const std::optional<Plan> plan = Plans::Global().Get(key, [&] {
    return Choose(handle, o, MostWorkspaceFor(p), std::get<Alignments>(key), mode.half_sums);
  });
  if (!plan.has_value()) return false;
  const BufferPtr scratch = plan->workspace == 0 ? nullptr : stream.Allocate(plan->workspace);
  GRADWIRE_BLAS_CHECK(cublasLtMatmul(
      handle, o.description.get(), Factor(compute.scale, true), p.b, o.a.get(), p.a, o.b.get(),
      Factor(compute.scale, p.accumulate), p.c, o.c.get(), p.c, o.c.get(), &plan->algorithm,
      scratch == nullptr ? nullptr : scratch->data(), plan->workspace, queue));
  return true;
}

std::string BlasVersion() {
  const size_t version = cublasLtGetVersion();
  std::string text = "cuBLASLt " + std::to_string(version / 10000) + "." +
                     std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
  const int64_t missing = Plans::Global().missing();
  if (missing != 0) text += " (no algorithm for " + std::to_string(missing) + " products)";
  return text;
}

}  // namespace gradwire::cuda
