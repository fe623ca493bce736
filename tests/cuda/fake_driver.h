// A GPU for tests, made of the CPU. Its queues do nothing until they are waited for, and its memory
// can be touched by nothing but what they do: the host that reads or writes it is killed.
#ifndef GRADWIRE_TESTS_CUDA_FAKE_DRIVER_H_
#define GRADWIRE_TESTS_CUDA_FAKE_DRIVER_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backend/cuda/driver.h"

namespace gradwire::testing {

class FakeDriver : public cuda::Driver {
 public:
  // A GPU with so much memory.
  explicit FakeDriver(size_t memory_bytes = size_t{1} << 30);
  ~FakeDriver() override;

  cuda::GpuDescription Describe() const override;
  std::string problem() const override;
  void* Allocate(size_t bytes) override;
  void* AllocatePinned(size_t bytes) override;
  void Free(void* memory) noexcept override;
  void FreePinned(void* memory) noexcept override;
  Queue NewQueue() override;
  void DeleteQueue(Queue queue) noexcept override;
  Event NewEvent() override;
  void DeleteEvent(Event event) noexcept override;
  void CopyToDevice(Queue queue, void* to, const void* pinned, size_t bytes) override;
  void CopyToHost(Queue queue, void* pinned, const void* from, size_t bytes) override;
  void Zero(Queue queue, void* to, size_t bytes) override;
  void CopyBox(Queue queue, const Box& box, size_t width, const void* from, void* to) override;
  void Record(Queue queue, Event event) override;
  void WaitFor(Queue queue, Event event) override;
  void Wait(Event event) override;
  void Synchronize(Queue queue) override;
  void SynchronizeAll() override;

  void BeginCapture(Queue queue) override;
  Graph EndCapture(Queue queue) override;
  void LaunchGraph(Queue queue, Graph graph) override;
  void DeleteGraph(Queue queue, Graph graph) noexcept override;
  // By the compiler that made the tests: the kernel is a loop then.
  GeneratedKernelPtr Compile(const std::string& source) override;
  void Launch(Queue queue, const GeneratedKernel& kernel, int64_t count,
              std::span<const std::byte> argument) override;

  void Run(Queue queue, std::function<void()> work);
  void RunKernel(Queue queue, std::function<void()> work);
  // How many kernels were launched, library calls and generated ones among them.
  int kernels() const { return kernels_; }
  // The next capture ends as one does amid which something forbidden was called.
  void SpoilNextCapture() { spoil_next_ = true; }
  // Graphs that there are, and how often one was launched.
  int graphs() const { return graphs_; }
  int graph_launches() const { return graph_launches_; }
  // How often a capture began.
  int captures() const { return captures_; }
  // As where there is no run-time compiler.
  void DoNotCompile() { compiles_ = false; }
  // What runs next fails, and all after it.
  void Break(const std::string& problem);
  // Work that waits in all queues.
  size_t waiting() const;
  size_t allocated_bytes() const;
  // How often the host has waited for a queue or an event that was not done.
  int waits() const;

 private:
  struct Work {
    std::function<void()> run;
    Event recorded = nullptr;
  };
  using FakeGraph = std::vector<std::function<void()>>;
  struct FakeQueue {
    std::deque<Work> work;
    size_t ran = 0;
    std::unique_ptr<FakeGraph> captured;  // null while nothing is captured
    bool spoilt = false;                  // something was called that is forbidden amid a capture
  };

  void ThrowIfBroken() const;
  void Add(Queue queue, Work work);
  // Runs a queue's work up to an event, or all of it.
  void DrainLocked(FakeQueue& queue, Event until);
  void RunFirstLocked(FakeQueue& queue);
  void Protect(bool open);
  // Spoils the queue's capture and throws, where there is one.
  void RefuseAmidCapture(FakeQueue& queue, const char* what);

  const size_t memory_bytes_;
  const size_t arena_bytes_;
  void* const arena_;
  mutable std::recursive_mutex mutex_;
  size_t arena_used_ = 0;
  std::map<size_t, std::vector<void*>> unused_;  // by size
  std::map<void*, size_t> blocks_;               // by address
  size_t allocated_ = 0;
  std::set<FakeQueue*> queues_;
  std::map<Event, FakeQueue*> recorded_;  // where an event that is not over waits
  std::string problem_;
  int waits_ = 0;
  bool compiles_ = true;
  bool spoil_next_ = false;
  int graphs_ = 0;
  int graph_launches_ = 0;
  int captures_ = 0;
  int kernels_ = 0;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_CUDA_FAKE_DRIVER_H_
