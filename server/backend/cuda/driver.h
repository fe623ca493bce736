// What the CUDA backend asks of one GPU and its runtime: no header of CUDA's is needed to say it.
// The library gradwire_cuda implements it over the CUDA runtime, the tests over the CPU.
#ifndef GRADWIRE_BACKEND_CUDA_DRIVER_H_
#define GRADWIRE_BACKEND_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "backend/backend.h"
#include "backend/box.h"

namespace gradwire::cuda {

struct GpuDescription {
  std::string name;
  std::string library;     // CUDA libraries with versions
  std::string capability;  // "9.0"
  int64_t memory_bytes = 0;
};

// Handles are the runtime's pointers. Thread-safe; one queue is used by one thread at a time. A
// method that fails throws DEVICE_FAILED where nothing can run on the GPU any more, OUT_OF_MEMORY
// where the runtime has none for itself, and INTERNAL otherwise; so does a later one, of what an
// earlier one queued.
class Driver {
 public:
  using Queue = void*;
  using Event = void*;
  using Graph = void*;

  virtual ~Driver() = default;
  virtual GpuDescription Describe() const = 0;
  // Why nothing can run on the GPU any more; empty while it can.
  virtual std::string problem() const = 0;

  // Memory of the GPU, and of the host that copies overlap with work from. nullptr: none is left.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void* AllocatePinned(size_t bytes) = 0;
  // Waits for all queues.
  virtual void Free(void* memory) noexcept = 0;
  virtual void FreePinned(void* memory) noexcept = 0;

  virtual Queue NewQueue() = 0;
  // Waits for what is queued.
  virtual void DeleteQueue(Queue queue) noexcept = 0;
  virtual Event NewEvent() = 0;
  virtual void DeleteEvent(Event event) noexcept = 0;

  // In queue order, without waiting. Host memory is pinned, and stays as it is until then.
  virtual void CopyToDevice(Queue queue, void* to, const void* pinned, size_t bytes) = 0;
  virtual void CopyToHost(Queue queue, void* pinned, const void* from, size_t bytes) = 0;
  virtual void Zero(Queue queue, void* to, size_t bytes) = 0;
  virtual void CopyBox(Queue queue, const Box& box, size_t width, const void* from, void* to) = 0;
  virtual void Record(Queue queue, Event event) = 0;
  // What is queued later waits until another queue has come to the event's last Record.
  virtual void WaitFor(Queue queue, Event event) = 0;

  // A kernel of Stream::Compile's. Throws OP_UNSUPPORTED with the compiler's words.
  virtual GeneratedKernelPtr Compile(const std::string& source) = 0;
  // In queue order, without waiting.
  virtual void Launch(Queue queue, const GeneratedKernel& kernel, int64_t count,
                      std::span<const std::byte> argument) = 0;

  // What is queued from now on is recorded, not run; nothing that waits for the queue, or for all
  // queues, may be called until it ends, nor Record and WaitFor. EndCapture throws INTERNAL where
  // it was.
  virtual void BeginCapture(Queue queue) = 0;
  virtual Graph EndCapture(Queue queue) = 0;
  // In queue order, without waiting. One queue launches a graph.
  virtual void LaunchGraph(Queue queue, Graph graph) = 0;
  // Waits for the queue.
  virtual void DeleteGraph(Queue queue, Graph graph) noexcept = 0;

  // Waits until the queue has come to the event's last Record; returns at once without one.
  virtual void Wait(Event event) = 0;
  virtual void Synchronize(Queue queue) = 0;
  virtual void SynchronizeAll() = 0;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_DRIVER_H_
