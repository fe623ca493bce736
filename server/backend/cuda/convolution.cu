#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/cuda/check.h"
#include "backend/cuda/convolution.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/launch.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // of arrays: buffers are aligned to more
constexpr int64_t kMostWorkspace = int64_t{256} << 20;
// That are tried. Those that multiply in TF32 are the fastest, and many.
constexpr size_t kMostEngines = 64;
// None is dropped: a CUDA graph may run the code that a plan has. What comes when there are so many
// runs without.
constexpr size_t kMostPlans = 4096;
// By which a plan knows the arrays, in the order of ConvolutionArrays.
constexpr int64_t kIds[] = {'x', 'w', 'y'};

// A plan, and what it needs to run.
struct Plan {
  DnnDescriptor descriptor;
  size_t workspace;
};

using Extents = std::vector<int64_t>;

// The spatial extents, two or three: cuDNN knows no less.
Extents Spatial(const Convolution& c, const Convolution::Triple& values) {
  const bool flat = c.in[0] == 1 && c.kernel[0] == 1 && c.out[0] == 1 && c.begin[0] == 0;
  return {values.begin() + (flat ? 1 : 0), values.end()};
}

cudnnDataType_t TypeOf(DType dtype) {
  return dtype == DType::kFloat64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
}

DnnDescriptor Array(const Convolution& c, int64_t id, int64_t first, int64_t second,
                    const Convolution::Triple& extents) {
  Extents dims = {first, second};
  for (const int64_t extent : Spatial(c, extents)) dims.push_back(extent);
  Extents strides(dims.size(), 1);
  for (size_t d = dims.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * dims[d + 1];
  DnnDescriptor array(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  array.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, TypeOf(c.dtype));
  array.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
  array.Set(CUDNN_ATTR_TENSOR_STRIDES, strides);
  array.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  array.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
  array.Finalize();
  return array;
}

DnnDescriptor WindowOf(const Convolution& c) {
  Convolution::Triple end{};
  for (size_t d = 0; d < 3; ++d) {
    const int64_t read = c.stride[d] * (c.out[d] - 1) + c.dilation[d] * (c.kernel[d] - 1) + 1;
    end[d] = std::max<int64_t>(0, read - c.in[d] - c.begin[d]);
  }
  const Extents stride = Spatial(c, c.stride);
  DnnDescriptor window(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  window.Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, TypeOf(c.dtype));
  window.Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
             CUDNN_CROSS_CORRELATION);
  window.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64,
             static_cast<int64_t>(stride.size()));
  window.Set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
  window.Set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Spatial(c, c.dilation));
  window.Set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Spatial(c, c.begin));
  window.Set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Spatial(c, end));
  window.Finalize();
  return window;
}

// What an operation of cuDNN's calls its parts.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t window, x, w, y, alpha, beta;
};

Names NamesOf(Convolution::Makes makes) {
  switch (makes) {
    case Convolution::Makes::kX:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Convolution::Makes::kW:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  }
}

DnnDescriptor OperationOf(const Convolution& c) {
  const Names names = NamesOf(c.makes);
  DnnDescriptor operation(names.operation);
  operation.Set(names.window, WindowOf(c));
  operation.Set(names.x, Array(c, kIds[0], c.batch, c.groups * c.in_channels, c.in));
  operation.Set(names.w, Array(c, kIds[1], c.groups * c.out_channels, c.in_channels, c.kernel));
  operation.Set(names.y, Array(c, kIds[2], c.batch, c.groups * c.out_channels, c.out));
  if (c.dtype == DType::kFloat64) {
    operation.Set(names.alpha, CUDNN_TYPE_DOUBLE, 1.0);
    operation.Set(names.beta, CUDNN_TYPE_DOUBLE, 0.0);
  } else {
    operation.Set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f);
    operation.Set(names.beta, CUDNN_TYPE_FLOAT, 0.0f);
  }
  operation.Finalize();
  return operation;
}

// Whether an engine does nothing that is not allowed.
bool IsAllowed(const DnnDescriptor& configuration, DType dtype, const MathMode& mode) {
  DnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  int64_t count = 0;
  CheckDnn(Dnn::Find()->get_attribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle),
           "the engine of a configuration");
  const auto notes = engine.Get<cudnnBackendNumericalNote_t>(
      CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    return (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC && !mode.nondeterministic) ||
           note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
           note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           // Of float32: the cores' products are TF32.
           (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && dtype == DType::kFloat32 && !mode.tf32);
  });
}

// One GPU's handle and plans. Thread-safe: one thread at a time.
class Convolver {
 public:
  Convolver() {
    if (Dnn::Find()->create(&handle_) != CUDNN_STATUS_SUCCESS) handle_ = nullptr;
  }

  bool Run(Stream& stream, const Convolution& c, const ConvolutionArrays& arrays) {
    const cudaStream_t queue = QueueOf(stream);
    const std::optional<Plan> plan = PlanFor(c, stream.math_mode());
    if (!plan.has_value()) return false;
    // Not under the lock: it may wait for others' captures, which may wait for the lock.
    const BufferPtr workspace = stream.Allocate(plan->workspace);
    const void* const pointers[] = {arrays.x, arrays.w, arrays.y};
    DnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, kIds, std::size(kIds));
    pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers,
             std::size(pointers));
    const void* const scratch = workspace->data();
    pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, scratch);
    pack.Finalize();
    const std::lock_guard lock(mutex_);
    CheckDnn(Dnn::Find()->set_stream(handle_, queue), "cudnnSetStream");
    CheckDnn(Dnn::Find()->execute(handle_, plan->descriptor.get(), pack.get()),
             "cudnnBackendExecute");
    return true;
  }

 private:
  using Key = std::tuple<Convolution, bool, bool>;

  // None where cuDNN has none.
  std::optional<Plan> PlanFor(const Convolution& c, const MathMode& mode) {
    const Key key(c, mode.tf32, mode.nondeterministic);
    const std::lock_guard lock(mutex_);
    if (handle_ == nullptr) return std::nullopt;
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    if (plans_.size() >= kMostPlans) return std::nullopt;
    return plans_.emplace(key, Choose(c, mode)).first->second;
  }

  std::optional<Plan> Choose(const Convolution& c, const MathMode& mode) const {
    try {
      const DnnDescriptor operation = OperationOf(c);
      DnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
      graph.Set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle_);
      graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
      graph.Finalize();
      for (const auto heuristic : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
        if (auto plan = First(graph, heuristic, c.dtype, mode)) return plan;
      }
    } catch (const Error&) {
      // cuDNN may refuse a problem anywhere on this way.
    }
    return std::nullopt;
  }

  // The first, thus the fastest by cuDNN's estimate, that is allowed and can be made.
  std::optional<Plan> First(const DnnDescriptor& graph, cudnnBackendHeurMode_t by, DType dtype,
                            const MathMode& mode) const try {
    DnnDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.Set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristic.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, by);
    heuristic.Finalize();
    std::vector<DnnDescriptor> configurations;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (size_t i = 0; i < kMostEngines; ++i) {
      handles.push_back(configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
    }
    int64_t count = 0;
    CheckDnn(Dnn::Find()->get_attribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, int64_t{kMostEngines},
                                        &count, handles.data()),
             "the engines of a graph");
    for (size_t i = 0; i < kMostEngines && static_cast<int64_t>(i) < count; ++i) {
      configurations[i].Keep(heuristic);
      if (!IsAllowed(configurations[i], dtype, mode)) continue;
      if (auto plan = Make(configurations[i])) return plan;
    }
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // the next heuristic may know the problem
  }

  std::optional<Plan> Make(const DnnDescriptor& configuration) const try {
    DnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle_);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    plan.Finalize();
    const auto bytes =
        plan.Get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1);
    if (bytes.empty() || bytes[0] > kMostWorkspace) return std::nullopt;
    return Plan{plan, static_cast<size_t>(bytes[0])};
  } catch (const Error&) {
    return std::nullopt;  // the next engine may do
  }

  std::mutex mutex_;
  cudnnHandle_t handle_ = nullptr;            // guarded
  std::map<Key, std::optional<Plan>> plans_;  // guarded
};

// Of the current GPU. They end with the process, whose driver may be gone by then.
Convolver& Current() {
  static std::mutex mutex;
  static auto& convolvers = *new std::map<int, Convolver>;
  int gpu = 0;
  GRADWIRE_CUDA_CHECK(cudaGetDevice(&gpu));
  const std::lock_guard lock(mutex);
  return convolvers[gpu];
}

}  // namespace

bool Convolve(Stream& stream, const Convolution& c, const ConvolutionArrays& arrays) {
  const auto all = [](const Convolution::Triple& values, int64_t least) {
    return std::all_of(values.begin(), values.end(), [=](int64_t n) { return n >= least; });
  };
  if (Dnn::Find() == nullptr || !all(c.begin, 0) || !all(c.in, 1)) return false;
  QueueOf(stream);  // its GPU becomes this thread's
  return Current().Run(stream, c, arrays);
}

}  // namespace gradwire::cuda
