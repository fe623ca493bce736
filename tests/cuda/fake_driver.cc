#include "tests/cuda/fake_driver.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend/cpu/copy_box.h"
#include "backend/cuda/blas.h"
#include "backend/cuda/convolution.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"
#include "core/dtype.h"
#include "core/error.h"
#include "ops/unary_functors.h"

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
  madvise(arena_, arena_bytes_, MADV_HUGEPAGE);  // the fewer pages, the sooner they are protected
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
  madvise(memory, Pages(found->second), MADV_DONTNEED);  // to protect what is there takes time
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

void FakeDriver::RunKernel(Queue queue, std::function<void()> work) {
  ++kernels_;
  Run(queue, std::move(work));
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

void FakeDriver::WaitFor(Queue queue, Event event) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  RefuseAmidCapture(*static_cast<FakeQueue*>(queue), "an event of another queue");
  const auto found = recorded_.find(event);
  if (found == recorded_.end()) return;
  FakeQueue* const other = found->second;
  size_t until = 0;
  for (size_t i = 0; i < other->work.size(); ++i) {
    if (other->work[i].recorded == event) until = other->ran + i + 1;
  }
  Run(queue, [this, other, until] {
    while (queues_.contains(other) && other->ran < until) RunFirstLocked(*other);
  });
}

void FakeDriver::Protect(bool open) {
  mprotect(arena_, arena_used_, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void FakeDriver::RunFirstLocked(FakeQueue& queue) {
  const Work work = std::move(queue.work.front());
  queue.work.pop_front();
  ++queue.ran;
  if (work.run) work.run();
  if (work.recorded == nullptr) return;
  // An event that was recorded again is over with its last record.
  for (const Work& later : queue.work) {
    if (later.recorded == work.recorded) return;
  }
  if (const auto at = recorded_.find(work.recorded);
      at != recorded_.end() && at->second == &queue) {
    recorded_.erase(at);
  }
}

void FakeDriver::DrainLocked(FakeQueue& queue, Event until) {
  if (queue.work.empty()) return;
  Protect(true);
  while (!queue.work.empty()) {
    RunFirstLocked(queue);
    if (until != nullptr && !recorded_.contains(until)) break;
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
  driver.RunKernel(cuda_stream.queue(), std::move(work));
}

namespace {

// As a GPU rounds what it multiplies in TF32: to the nearest of 10 bits of mantissa.
float ToTf32(float x) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000u) & ~0x1fffu);
}

// What a GPU adds the bias to, and applies the activation to.
template <class T>
using Whole = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
T Finished(Whole<T> sum, Epilogue epilogue) {
  if (epilogue == Epilogue::kRelu) sum = fn::Relu()(sum);
  if (epilogue == Epilogue::kGelu) sum = fn::GeluTanh()(sum);
  return static_cast<T>(sum);
}

// Factors are rounded by `factor`, sums are kept as Sum.
template <class T, class Sum, class Factor>
void MultiplyLoops(const MatrixProduct& p, const Factor& factor) {
  const int64_t a_row = p.a_row != 0 ? p.a_row : p.transpose_a ? p.m : p.k;
  const int64_t c_row = p.c_row != 0 ? p.c_row : p.n;
  for (int64_t i = 0; i < p.count * p.m * p.n; ++i) {
    const int64_t batch = i / (p.m * p.n);
    const int64_t row = i / p.n % p.m;
    const int64_t column = i % p.n;
    const T* a = static_cast<const T*>(p.a) + batch * p.a_step;
    const T* b = static_cast<const T*>(p.b) + batch * p.b_step;
    T* const c = static_cast<T*>(p.c) + batch * p.c_step + row * c_row + column;
    auto sum = static_cast<Sum>(p.accumulate ? static_cast<double>(*c) : 0.0);
    for (int64_t k = 0; k < p.k; ++k) {
      const double product =
          static_cast<double>(factor(a[p.transpose_a ? k * a_row + row : row * a_row + k])) *
          static_cast<double>(factor(b[p.transpose_b ? column * p.k + k : k * p.n + column]));
      sum = static_cast<Sum>(static_cast<double>(sum) + product);
    }
    auto whole = static_cast<Whole<T>>(sum);
    if (p.bias != nullptr) whole += static_cast<Whole<T>>(static_cast<const T*>(p.bias)[column]);
    *c = Finished<T>(whole, p.epilogue);
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

bool Convolve(Stream&, const Convolution&, const ConvolutionArrays&) { return false; }

bool Multiply(Stream& stream, const MatrixProduct& product) {
  // As there may be products for which cuBLASLt has nothing.
  const bool plain =
      product.bias == nullptr && product.epilogue == Epilogue::kNone && product.count == 1;
  if (!plain && (product.m == 1 || product.n == 1)) return false;
  RunInQueue(stream, [product, mode = stream.math_mode()] {
    if (mode.tf32 && product.dtype == DType::kFloat32) {
      return MultiplyLoops<float, double>(product, ToTf32);
    }
    Dispatch(TypeList<float, double, Float16, BFloat16>{}, product.dtype, [&]<class T>() {
      const auto as_is = [](T x) { return x; };
      sizeof(T) == 2 && mode.half_sums ? MultiplyLoops<T, T>(product, as_is)
                                       : MultiplyLoops<T, double>(product, as_is);
    });
  });
  return true;
}

}  // namespace cuda
}  // namespace gradwire
