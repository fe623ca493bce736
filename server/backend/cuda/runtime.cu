// The driver over the CUDA runtime, and what the library exports.
#include <array>
#include <mutex>
#include <string>

#include "backend/cuda/blas.h"
#include "backend/cuda/check.h"
#include "backend/cuda/copy_box.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/library.h"
#include "backend/cuda/nvrtc.h"
#include "backend/cuda/registration.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

// What each GPU broke down with. Whoever meets the error first writes it, once.
class Problems {
 public:
  static Problems& Global() {
    static Problems problems;
    return problems;
  }
  void Set(int gpu, std::string problem) {
    const std::lock_guard lock(mutex_);
    std::string& mine = problems_[Slot(gpu)];
    if (mine.empty()) mine = std::move(problem);
  }
  std::string Get(int gpu) const {
    const std::lock_guard lock(mutex_);
    return problems_[Slot(gpu)];
  }

 private:
  static constexpr size_t kMost = 64;
  static size_t Slot(int gpu) { return static_cast<size_t>(gpu) % kMost; }
  mutable std::mutex mutex_;
  std::array<std::string, kMost> problems_;  // guarded
};

// Errors after which every call of the process on that GPU fails: the CUDA runtime's manual says of
// them that the process must be started again.
bool IsSticky(cudaError_t status) {
  switch (status) {
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
      return true;
    default:
      return false;
  }
}

// The first of GRADWIRE_GPUS: no code here runs on older GPUs.
constexpr int kOldest = GRADWIRE_OLDEST_GPU;

// Throws what a call on a GPU failed with.
void CheckOn(int gpu, cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // else the thread's next launch would be told of it
  const std::string text =
      std::string(what) + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")";
  // A kernel's code is loaded when it is first launched, and a graph's when it is made.
  if (status == cudaErrorMemoryAllocation) throw Error(reason::kOutOfMemory, text);
  if (!IsSticky(status)) throw Error(reason::kInternal, text);
  Problems::Global().Set(gpu, text);
  throw Error(reason::kDeviceFailed, text);
}

// What gives something back: on a GPU that is broken it fails, and the thread's next launch, which
// may be another GPU's, must not be told of it.
template <class GiveBack>
void Quietly(int gpu, const GiveBack& give_back) noexcept {
  cudaSetDevice(gpu);
  give_back();
  cudaGetLastError();
}

// nvcc does not compile fmt.
std::string Dotted(int a, int b) { return std::to_string(a) + "." + std::to_string(b); }

// A kernel that was generated, and the code that it is a part of.
class LoadedKernel final : public GeneratedKernel {
 public:
  LoadedKernel(int gpu, const std::string& cubin) : gpu_(gpu) {
    GRADWIRE_CUDA_CHECK(
        cudaLibraryLoadData(&library_, cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    try {
      GRADWIRE_CUDA_CHECK(cudaLibraryGetKernel(&kernel_, library_, "RunChain"));
    } catch (...) {
      cudaLibraryUnload(library_);
      throw;
    }
  }
  // The GPU's queues are no more: it keeps its kernels to the end.
  ~LoadedKernel() override {
    Quietly(gpu_, [this] { cudaLibraryUnload(library_); });
  }
  LoadedKernel(const LoadedKernel&) = delete;
  LoadedKernel& operator=(const LoadedKernel&) = delete;

  cudaKernel_t get() const { return kernel_; }

 private:
  const int gpu_;
  cudaLibrary_t library_ = nullptr;
  cudaKernel_t kernel_ = nullptr;
};

class Runtime final : public Driver {
 public:
  explicit Runtime(int gpu) : gpu_(gpu) {
    Use();
    GRADWIRE_CUDA_CHECK(cudaGetDeviceProperties(&properties_, gpu));
    if (10 * properties_.major + properties_.minor < kOldest) {
      throw Error(reason::kOpUnsupported, std::string(properties_.name) + " is of capability " +
                                              Dotted(properties_.major, properties_.minor) + ", " +
                                              Dotted(kOldest / 10, kOldest % 10) +
                                              " at least is needed");
    }
    // Memory that the runtime itself needs is had now, not amid a session.
    GRADWIRE_CUDA_CHECK(cudaFree(nullptr));
  }

  GpuDescription Describe() const override {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return {properties_.name,
            "CUDA " + Dotted(runtime / 1000, runtime % 1000 / 10) + ", " + BlasVersion() + ", " +
                DnnVersion() + ", " + NvrtcVersion(),
            Dotted(properties_.major, properties_.minor),
            static_cast<int64_t>(properties_.totalGlobalMem)};
  }
  std::string problem() const override { return Problems::Global().Get(gpu_); }

  void* Allocate(size_t bytes) override {
    Use();
    return Had([&](void** memory) { return cudaMalloc(memory, bytes); });
  }
  void* AllocatePinned(size_t bytes) override {
    Use();
    return Had([&](void** memory) { return cudaHostAlloc(memory, bytes, cudaHostAllocDefault); });
  }
  void Free(void* memory) noexcept override {
    Quietly(gpu_, [&] { cudaFree(memory); });
  }
  void FreePinned(void* memory) noexcept override {
    Quietly(gpu_, [&] { cudaFreeHost(memory); });
  }

  Queue NewQueue() override {
    Use();
    cudaStream_t queue = nullptr;
    GRADWIRE_CUDA_CHECK(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking));
    return queue;
  }
  void DeleteQueue(Queue queue) noexcept override {
    Quietly(gpu_, [&] {
      cudaStreamSynchronize(static_cast<cudaStream_t>(queue));
      cudaStreamDestroy(static_cast<cudaStream_t>(queue));
    });
  }
  Event NewEvent() override {
    Use();
    cudaEvent_t event = nullptr;
    GRADWIRE_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
  }
  void DeleteEvent(Event event) noexcept override {
    Quietly(gpu_, [&] { cudaEventDestroy(static_cast<cudaEvent_t>(event)); });
  }

  void CopyToDevice(Queue queue, void* to, const void* pinned, size_t bytes) override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice,
                                        static_cast<cudaStream_t>(queue)));
  }
  void CopyToHost(Queue queue, void* pinned, const void* from, size_t bytes) override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost,
                                        static_cast<cudaStream_t>(queue)));
  }
  void Zero(Queue queue, void* to, size_t bytes) override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(queue)));
  }
  void CopyBox(Queue queue, const Box& box, size_t width, const void* from, void* to) override {
    Use();
    CopyBoxOnGpu(static_cast<cudaStream_t>(queue), box, width, from, to);
  }
  void Record(Queue queue, Event event) override {
    Use();
    GRADWIRE_CUDA_CHECK(
        cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(queue)));
  }
  void WaitFor(Queue queue, Event event) override {
    Use();
    GRADWIRE_CUDA_CHECK(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(queue), static_cast<cudaEvent_t>(event), 0));
  }
  GeneratedKernelPtr Compile(const std::string& source) override {
    const std::string cubin = CompileToCubin(source, Dotted(properties_.major, properties_.minor));
    Use();
    return std::make_shared<LoadedKernel>(gpu_, cubin);
  }
  void Launch(Queue queue, const GeneratedKernel& kernel, int64_t count,
              std::span<const std::byte> argument) override {
    Use();
    const int64_t blocks = std::min((count + kThreads - 1) / kThreads, kMaxBlocks);
    std::array<void*, 2> arguments = {&count, const_cast<std::byte*>(argument.data())};
    GRADWIRE_CUDA_CHECK(cudaLaunchKernel(static_cast<const LoadedKernel&>(kernel).get(),
                                         dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                                         arguments.data(), 0, static_cast<cudaStream_t>(queue)));
  }

  // Relaxed: other threads may allocate meanwhile, and this one too.
  void BeginCapture(Queue queue) override {
    Use();
    GRADWIRE_CUDA_CHECK(
        cudaStreamBeginCapture(static_cast<cudaStream_t>(queue), cudaStreamCaptureModeRelaxed));
  }
  Graph EndCapture(Queue queue) override {
    Use();
    cudaGraph_t graph = nullptr;
    GRADWIRE_CUDA_CHECK(cudaStreamEndCapture(static_cast<cudaStream_t>(queue), &graph));
    cudaGraphExec_t launched = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&launched, graph, 0);
    cudaGraphDestroy(graph);
    GRADWIRE_CUDA_CHECK(status);
    return launched;
  }
  void LaunchGraph(Queue queue, Graph graph) override {
    Use();
    GRADWIRE_CUDA_CHECK(
        cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(queue)));
  }
  void DeleteGraph(Queue queue, Graph graph) noexcept override {
    Quietly(gpu_, [&] {
      cudaStreamSynchronize(static_cast<cudaStream_t>(queue));
      cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
    });
  }

  void Wait(Event event) override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
  }
  void Synchronize(Queue queue) override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(queue)));
  }
  void SynchronizeAll() override {
    Use();
    GRADWIRE_CUDA_CHECK(cudaDeviceSynchronize());
  }

  // The GPU becomes the calling thread's.
  void Use() const {
    if (const std::string broken = problem(); !broken.empty()) {
      throw Error(reason::kDeviceFailed, broken);
    }
    CheckOn(gpu_, cudaSetDevice(gpu_), "cudaSetDevice");  // whichever was the thread's before
  }

 private:
  // Memory, or nullptr where there is none.
  template <class Allocate>
  static void* Had(const Allocate& allocate) {
    void* memory = nullptr;
    const cudaError_t status = allocate(&memory);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // else the next launch would be told of it
      return nullptr;
    }
    Check(status, "allocation");
    return memory;
  }

  const int gpu_;
  cudaDeviceProp properties_{};
};

}  // namespace

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  int gpu = 0;
  cudaGetDevice(&gpu);
  CheckOn(gpu, status, what);
}

cudaStream_t QueueOf(Stream& stream) {
  auto& cuda_stream = static_cast<CudaStream&>(stream);
  static_cast<Runtime&>(cuda_stream.driver()).Use();
  return static_cast<cudaStream_t>(cuda_stream.queue());
}

void CheckLaunch(Stream&) { GRADWIRE_CUDA_CHECK(cudaGetLastError()); }

}  // namespace gradwire::cuda

extern "C" void gradwire_cuda_open(gradwire::cuda::Gpus& gpus) {
  namespace cuda = gradwire::cuda;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    gpus.missing = std::string("no CUDA device: ") +
                   (status == cudaSuccess ? "none is there" : cudaGetErrorString(status));
    return;
  }
  cuda::InstallKernels();
  for (int gpu = 0; gpu < count; ++gpu) {
    try {
      gpus.drivers.push_back(std::make_unique<cuda::Runtime>(gpu));
    } catch (const gradwire::Error& error) {
      if (!gpus.missing.empty()) gpus.missing += "; ";
      gpus.missing += "GPU " + std::to_string(gpu) + ": " + error.message();
    }
  }
}
