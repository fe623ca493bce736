#include "tests/cuda/fake_driver.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/cpu/copy_box.h"
#include "backend/cuda/blas.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"
#include "core/error.h"

namespace gradwire {
namespace testing {
namespace {

constexpr int kJunk = 0xcd;

size_t Pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

// Addresses cost nothing: there are more than there is memory, so that none of it is lost between
// blocks.
FakeDriver::FakeDriver(size_t memory_bytes)
    : memory_bytes_(memory_bytes),
      arena_bytes_(16 * Pages(memory_bytes)),
      arena_(mmap(nullptr, arena_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                  0)) {
  if (arena_ == MAP_FAILED) throw Error(reason::kInternal, "no addresses for the tests' device");
}

FakeDriver::~FakeDriver() {
  munmap(arena_, arena_bytes_);
  for (FakeQueue* queue : queues_) delete queue;
}

cuda::GpuDescription FakeDriver::Describe() const {
  return {.name = "a GPU made of the CPU",
          .library = "none",
          .capability = "0.0",
          .memory_bytes = static_cast<int64_t>(memory_bytes_)};
}

std::string FakeDriver::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void FakeDriver::ThrowIfBroken() const {
  if (!problem_.empty()) throw Error(reason::kDeviceFailed, problem_);
}

void FakeDriver::Break(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  problem_ = problem;
}

void* FakeDriver::Allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  if (allocated_ + bytes > memory_bytes_) return nullptr;
  void* block = nullptr;
  if (auto& unused = unused_[Pages(bytes)]; !unused.empty()) {
    block = unused.back();
    unused.pop_back();
  } else if (arena_used_ + Pages(bytes) <= arena_bytes_) {
    block = static_cast<char*>(arena_) + arena_used_;
    arena_used_ += Pages(bytes);
  } else {
    return nullptr;
  }
  Protect(true);
  std::memset(block, kJunk, bytes);
  Protect(false);
  allocated_ += bytes;
  blocks_[block] = bytes;
  return block;
}

void FakeDriver::Free(void* memory) noexcept {
  const std::lock_guard lock(mutex_);
  SynchronizeAll();
  const auto found = blocks_.find(memory);
  if (found == blocks_.end()) std::abort();
  allocated_ -= found->second;
  unused_[Pages(found->second)].push_back(memory);
  blocks_.erase(found);
}

void* FakeDriver::AllocatePinned(size_t bytes) { return std::malloc(bytes); }
void FakeDriver::FreePinned(void* memory) noexcept { std::free(memory); }

cuda::Driver::Queue FakeDriver::NewQueue() {
  const std::lock_guard lock(mutex_);
  auto* queue = new FakeQueue;
  queues_.insert(queue);
  return queue;
}

void FakeDriver::DeleteQueue(Queue queue) noexcept {
  const std::lock_guard lock(mutex_);
  auto* fake = static_cast<FakeQueue*>(queue);
  if (problem_.empty()) DrainLocked(*fake, nullptr);
  queues_.erase(fake);
  delete fake;
}

cuda::Driver::Event FakeDriver::NewEvent() { return new int; }

void FakeDriver::DeleteEvent(Event event) noexcept {
  const std::lock_guard lock(mutex_);
  recorded_.erase(event);
  delete static_cast<int*>(event);
}

void FakeDriver::Add(Queue queue, Work work) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  auto* fake = static_cast<FakeQueue*>(queue);
  if (fake->captured != nullptr) {
    fake->captured->push_back(std::move(work.run));
  } else {
    fake->work.push_back(std::move(work));
  }
}

void FakeDriver::Run(Queue queue, std::function<void()> work) {
  Add(queue, {.run = std::move(work)});
}

void FakeDriver::CopyToDevice(Queue queue, void* to, const void* pinned, size_t bytes) {
  Run(queue, [=] { std::memcpy(to, pinned, bytes); });
}

void FakeDriver::CopyToHost(Queue queue, void* pinned, const void* from, size_t bytes) {
  Run(queue, [=] { std::memcpy(pinned, from, bytes); });
}

void FakeDriver::Zero(Queue queue, void* to, size_t bytes) {
  Run(queue, [=] { std::memset(to, 0, bytes); });
}

void FakeDriver::CopyBox(Queue queue, const Box& box, size_t width, const void* from, void* to) {
  Run(queue, [=] { CopyBoxOnHost(box, width, from, to); });
}

void FakeDriver::Record(Queue queue, Event event) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  auto* fake = static_cast<FakeQueue*>(queue);
  RefuseAmidCapture(*fake, "an event");
  fake->work.push_back({.recorded = event});
  recorded_[event] = fake;
}

void FakeDriver::Protect(bool open) {
  mprotect(arena_, arena_used_, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void FakeDriver::DrainLocked(FakeQueue& queue, Event until) {
  if (queue.work.empty()) return;
  Protect(true);
  while (!queue.work.empty()) {
    const Work work = std::move(queue.work.front());
    queue.work.pop_front();
    if (work.run) work.run();
    if (work.recorded == nullptr) continue;
    // An event that was recorded again is over with its last record.
    bool again = false;
    for (const Work& later : queue.work) again |= later.recorded == work.recorded;
    if (again) continue;
    if (const auto at = recorded_.find(work.recorded);
        at != recorded_.end() && at->second == &queue) {
      recorded_.erase(at);
    }
    if (work.recorded == until) break;
  }
  Protect(false);
}

void FakeDriver::Wait(Event event) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  const auto found = recorded_.find(event);
  if (found == recorded_.end()) return;
  ++waits_;
  DrainLocked(*found->second, event);
}

void FakeDriver::Synchronize(Queue queue) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  auto* fake = static_cast<FakeQueue*>(queue);
  RefuseAmidCapture(*fake, "a wait");
  if (!fake->work.empty()) ++waits_;
  DrainLocked(*fake, nullptr);
}

void FakeDriver::SynchronizeAll() {
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) return;
  for (FakeQueue* queue : queues_) RefuseAmidCapture(*queue, "a wait for all");
  for (FakeQueue* queue : queues_) DrainLocked(*queue, nullptr);
}

size_t FakeDriver::waiting() const {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const FakeQueue* queue : queues_) count += queue->work.size();
  return count;
}

size_t FakeDriver::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return allocated_;
}

int FakeDriver::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

}  // namespace testing

namespace cuda {

void RunInQueue(Stream& stream, std::function<void()> work) {
  auto& cuda_stream = static_cast<CudaStream&>(stream);
  auto& driver = dynamic_cast<testing::FakeDriver&>(cuda_stream.driver());
  driver.Run(cuda_stream.queue(), std::move(work));
}

namespace {

template <class T>
void MultiplyLoops(const MatrixProduct& p) {
  for (int64_t i = 0; i < p.count * p.m * p.n; ++i) {
    const int64_t batch = i / (p.m * p.n);
    const int64_t row = i / p.n % p.m;
    const int64_t column = i % p.n;
    const T* a = static_cast<const T*>(p.a) + batch * p.a_step;
    const T* b = static_cast<const T*>(p.b) + batch * p.b_step;
    T* const c = static_cast<T*>(p.c) + batch * p.c_step + row * p.n + column;
    double sum = p.accumulate ? static_cast<double>(*c) : 0;
    if (p.bias != nullptr) sum += static_cast<double>(static_cast<const T*>(p.bias)[column]);
    for (int64_t k = 0; k < p.k; ++k) {
      sum += static_cast<double>(a[p.transpose_a ? k * p.m + row : row * p.k + k]) *
             static_cast<double>(b[p.transpose_b ? column * p.k + k : k * p.n + column]);
    }
    *c = static_cast<T>(sum);
  }
}

}  // namespace

void SortPairs(Stream& stream, int64_t n, const int64_t* keys, int64_t* sorted_keys,
               const int64_t* values, int64_t* sorted_values) {
  RunInQueue(stream, [=] {
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [keys](int64_t a, int64_t b) { return keys[a] < keys[b]; });
    for (int64_t i = 0; i < n; ++i) {
      sorted_keys[i] = keys[order[static_cast<size_t>(i)]];
      sorted_values[i] = values[order[static_cast<size_t>(i)]];
    }
  });
}

void Multiply(Stream& stream, const MatrixProduct& product) {
  RunInQueue(stream, [product] {
    product.dtype == DType::kFloat32 ? MultiplyLoops<float>(product)
                                     : MultiplyLoops<double>(product);
  });
}

}  // namespace cuda
}  // namespace gradwire
