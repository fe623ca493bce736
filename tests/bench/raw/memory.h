// Memory as the fastest transfers want it: kept, warm, and written past the caches.
#ifndef GRADWIRE_TESTS_BENCH_RAW_MEMORY_H_
#define GRADWIRE_TESTS_BENCH_RAW_MEMORY_H_

#include <grpcpp/support/byte_buffer.h>
#include <immintrin.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace gradwire::bench {

// Freed memory stays with the process: gRPC's receive buffers are not faulted in again each time.
inline void KeepFreedMemory() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, INT32_MAX);
  mallopt(M_TOP_PAD, 16 << 20);
}

// Address space that becomes memory where it is first touched, and stays it.
class Region {
 public:
  static constexpr size_t kBytes = size_t{4} << 30;

  Region() {
    void* block = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) throw std::runtime_error("no address space");
    madvise(block, kBytes, MADV_HUGEPAGE);
    data_ = static_cast<std::byte*>(block);
  }
  ~Region() { munmap(data_, kBytes); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::byte* data() { return data_; }

 private:
  std::byte* data_ = nullptr;
};

// Copies with stores that pass the caches, where the copy is larger than they are.
inline void CopyPast(std::byte* to, const std::byte* from, size_t size) {
  constexpr size_t kVector = sizeof(__m256i);
  const size_t head =
      std::min(size, (kVector - reinterpret_cast<uintptr_t>(to) % kVector) % kVector);
  std::memcpy(to, from, head);
  size_t done = head;
  for (; done + kVector <= size; done += kVector) {
    const auto* source = reinterpret_cast<const __m256i*>(from + done);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + done), _mm256_loadu_si256(source));
  }
  _mm_sfence();
  std::memcpy(to + done, from + done, size - done);
}

// Copies a message, but for its first `skip` bytes, into the region at `offset`; returns where it
// ends. Throws when the region is full.
inline size_t CopyOut(const grpc::ByteBuffer& message, size_t skip, Region& region, size_t offset) {
  constexpr size_t kStreamed = size_t{1} << 20;
  const size_t size = message.Length();
  if (size > Region::kBytes - offset) throw std::runtime_error("more bytes than the region has");
  std::vector<grpc::Slice> slices;
  message.Dump(&slices);
  for (const grpc::Slice& slice : slices) {
    const size_t skipped = std::min(skip, slice.size());
    skip -= skipped;
    const auto* from = reinterpret_cast<const std::byte*>(slice.begin()) + skipped;
    const size_t wanted = slice.size() - skipped;
    if (size >= kStreamed) {
      CopyPast(region.data() + offset, from, wanted);
    } else {
      std::memcpy(region.data() + offset, from, wanted);
    }
    offset += wanted;
  }
  return offset;
}

}  // namespace gradwire::bench

#endif  // GRADWIRE_TESTS_BENCH_RAW_MEMORY_H_
