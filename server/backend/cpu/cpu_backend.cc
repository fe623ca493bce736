#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#include "backend/cpu/copy_box.h"
#include "backend/quota.h"
#include "backend/shared_memory.h"
#include "core/copy.h"
#include "core/parallel.h"

namespace gradwire {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
// Freed memory kept for reuse: this, or an eighth of what tensors may take. An array of gigabytes
// that is put anew each time would otherwise be faulted in each time, at a fifth of the speed.
constexpr size_t kMinCachedBytes = size_t{1} << 30;

// Blocks from here on are mappings of their own, which go back whole, whatever lies beside them: a
// heap keeps what is freed in its midst.
constexpr size_t kMinMapped = size_t{1} << 20;

constexpr size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Blocks of 2 MiB and more begin at a huge page.
void* Map(size_t bytes) {
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t length = RoundUp(bytes, page);
  const size_t spare = bytes >= kHugePage ? kHugePage - page : 0;
  void* mapped =
      mmap(nullptr, length + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (spare == 0) return mapped;
  auto* const start = static_cast<std::byte*>(mapped);
  const size_t before = -reinterpret_cast<uintptr_t>(start) % kHugePage;
  std::byte* const block = start + before;
  if (before != 0) munmap(start, before);
  if (before != spare) munmap(block + length, spare - before);
  // Advice only: without huge pages the block works as well, with more page faults.
  madvise(block, length, MADV_HUGEPAGE);
  return block;
}

void* AllocateAligned(size_t bytes) {
  return bytes < kMinMapped ? std::aligned_alloc(kAlignment, RoundUp(bytes, kAlignment))
                            : Map(bytes);
}

void Release(void* block, size_t bytes) {
  if (bytes < kMinMapped) {
    std::free(block);
  } else {
    munmap(block, bytes);  // to the end of its last page
  }
}

class CpuBuffer : public Buffer {
 public:
  CpuBuffer(std::shared_ptr<CachingAllocator> allocator, std::shared_ptr<Quota> quota, void* block,
            size_t bytes, size_t block_size)
      : Buffer(block, bytes, Device{}),
        allocator_(std::move(allocator)),
        quota_(std::move(quota)),
        block_size_(block_size) {}
  ~CpuBuffer() override {
    allocator_->Free(data(), block_size_);
    quota_->Give(static_cast<int64_t>(block_size_));
  }

 private:
  const std::shared_ptr<CachingAllocator> allocator_;
  const std::shared_ptr<Quota> quota_;
  const size_t block_size_;
};

// In memory that another process reads; booked with the arena.
class SharedBuffer : public Buffer {
 public:
  SharedBuffer(std::shared_ptr<SharedArena> arena, void* block, size_t bytes, size_t block_size)
      : Buffer(block, bytes, Device{}), arena_(std::move(arena)), block_size_(block_size) {}
  ~SharedBuffer() override { arena_->Free(data(), block_size_); }

 private:
  const std::shared_ptr<SharedArena> arena_;
  const size_t block_size_;
};

void CopyBlock(void* to, const void* from, size_t bytes) {
  const std::span<const std::byte> block(static_cast<const std::byte*>(from), bytes);
  CopyPieces(static_cast<std::byte*>(to), {&block, 1});
}

class CpuStream : public Stream, public Shareable {
 public:
  CpuStream(std::shared_ptr<CachingAllocator> allocator, std::shared_ptr<Quota> quota)
      : allocator_(std::move(allocator)), quota_(std::move(quota)) {}

  Device device() const override { return {}; }
  BufferPtr Allocate(size_t bytes) override {
    const size_t block_size = CachingAllocator::BlockSize(bytes);
    if (shares_.load(std::memory_order_acquire)) {
      if (void* block = arena_->Allocate(block_size)) {
        return std::make_shared<SharedBuffer>(arena_, block, bytes, block_size);
      }
    }
    quota_->Take(static_cast<int64_t>(block_size));
    void* block = nullptr;
    try {
      block = allocator_->Allocate(block_size);
    } catch (...) {
      quota_->Give(static_cast<int64_t>(block_size));
      throw;
    }
    return std::make_shared<CpuBuffer>(allocator_, quota_, block, bytes, block_size);
  }
  void Upload(const void* host, Buffer& to, size_t bytes) override {
    CopyBlock(to.data(), host, bytes);
  }
  void Download(const Buffer& from, void* host, size_t bytes) override {
    CopyBlock(host, from.data(), bytes);
  }
  void Zero(void* to, size_t bytes) override {
    if (bytes != 0) std::memset(to, 0, bytes);
  }
  void Copy(const Box& box, size_t width, const void* from, void* to) override {
    CopyBoxOnHost(box, width, from, to);
  }
  void Synchronize() override {}
  const std::shared_ptr<Quota>& quota() const override { return quota_; }
  std::shared_ptr<SharedArena> Share(size_t bytes) override {
    arena_ = std::make_shared<SharedArena>(bytes, quota_, allocator_);
    shares_.store(true, std::memory_order_release);
    return arena_;
  }

 private:
  const std::shared_ptr<CachingAllocator> allocator_;
  const std::shared_ptr<Quota> quota_;
  std::atomic<bool> shares_{false};
  std::shared_ptr<SharedArena> arena_;  // does not change once `shares_` is true
};

// A cgroup's limit in bytes, v2 or v1; no limit is a word there, or a huge number.
size_t CgroupMemory() {
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    if (size_t bytes = 0; file >> bytes) return bytes;
  }
  return SIZE_MAX;
}

// What tensors may take: the system hands out more memory than it has, and kills who uses it. An
// eighth is left for all else.
size_t TensorMemory() {
  const size_t machine =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return std::min(machine, CgroupMemory()) / 8 * 7;
}

std::string ProcessorName() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "CPU";
}

}  // namespace

CpuBackend::CpuBackend()
    : allocator_(std::make_shared<CachingAllocator>(
          CachingAllocator::Source{AllocateAligned, Release},
          std::max(kMinCachedBytes, TensorMemory() / 8), TensorMemory())) {}

DeviceDescription CpuBackend::Describe() const {
  const dnnl_version_t* version = dnnl_version();
  return {ProcessorName(),
          fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch),
          AvailableCpus()};
}

// Smaller blocks would leave holes in the heap, which takes new pages for what does not fit there.
void CpuBackend::ReleaseIdle() { allocator_->ReleaseIdle(kMinMapped); }

std::unique_ptr<Stream> CpuBackend::NewStream(std::shared_ptr<Quota> quota) {
  return std::make_unique<CpuStream>(allocator_, std::move(quota));
}

}  // namespace gradwire
