#include "backend/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace gradwire {
namespace {

[[noreturn]] void Fail(int descriptor, size_t bytes, const char* what) {
  const int cause = errno;
  if (descriptor >= 0) close(descriptor);
  throw Error(cause == ENOMEM ? reason::kOutOfMemory : reason::kInternal,
              fmt::format("{} bytes of shared memory: {}: {}", bytes, what, strerror(cause)));
}

}  // namespace

SharedSegment::SharedSegment(size_t bytes, Peer peer) : bytes_(bytes) {
  descriptor_ = memfd_create("gradwire", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor_ < 0) Fail(descriptor_, bytes, "memfd_create");
  if (ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) Fail(descriptor_, bytes, "ftruncate");
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (block == MAP_FAILED) Fail(descriptor_, bytes, "mmap");
  data_ = static_cast<std::byte*>(block);
  // After the mapping above: it alone may write where the other process may not.
  const int writing = peer == Peer::kReads ? F_SEAL_FUTURE_WRITE : 0;
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | writing;
  if (fcntl(descriptor_, F_ADD_SEALS, seals) != 0) {
    munmap(block, bytes);
    Fail(descriptor_, bytes, "F_ADD_SEALS");
  }
  madvise(block, bytes, MADV_HUGEPAGE);  // advice only
}

SharedSegment::~SharedSegment() {
  munmap(data_, bytes_);
  close(descriptor_);
}

SharedArena::~SharedArena() {
  quota_->Give(static_cast<int64_t>(taken_));
  memory_->Unbook(taken_);
}

void* SharedArena::Allocate(size_t block_size) {
  if (block_size < kSmallestBlock) return nullptr;
  const std::lock_guard lock(mutex_);
  if (const auto found = free_.find(block_size); found != free_.end() && !found->second.empty()) {
    void* block = found->second.back();
    found->second.pop_back();
    return block;
  }
  if (block_size > segment_.bytes() - taken_) return nullptr;
  quota_->Take(static_cast<int64_t>(block_size));
  try {
    memory_->Book(block_size);
  } catch (...) {
    quota_->Give(static_cast<int64_t>(block_size));
    throw;
  }
  return segment_.data() + std::exchange(taken_, taken_ + block_size);
}

void SharedArena::Free(void* block, size_t block_size) {
  const std::lock_guard lock(mutex_);
  free_[block_size].push_back(block);
}

std::optional<size_t> SharedArena::OffsetOf(const void* data) const {
  const auto* at = static_cast<const std::byte*>(data);
  if (at < segment_.data() || at >= segment_.data() + segment_.bytes()) return std::nullopt;
  return static_cast<size_t>(at - segment_.data());
}

}  // namespace gradwire
