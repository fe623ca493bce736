// The boundary to a device: memory and an ordered queue of work. It knows nothing of operators,
// which bring their kernels as rows in a table (graph/op.h).
#ifndef GRADWIRE_BACKEND_BACKEND_H_
#define GRADWIRE_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/box.h"
#include "core/tensor.h"

namespace gradwire {

// Bytes in use by one session, and how many it may use. Thread-safe. Outlives its buffers: each
// buffer shares ownership.
class Quota;

struct MemoryStats {
  int64_t live_bytes = 0;    // in tensors
  int64_t cached_bytes = 0;  // kept for reuse
  // Blocks that were had from the system or the driver so far, rather than from what is kept.
  int64_t system_allocations = 0;
};

struct DeviceDescription {
  std::string description;   // the processor or GPU
  std::string library;       // compute libraries with versions
  int threads = 0;           // CPU threads a command may use; 0 elsewhere
  int64_t memory_bytes = 0;  // of the device's own memory; 0 on a CPU
  std::string capability;    // of a GPU: "9.0"
};

// What a GPU may do to be faster; what is not allowed is not done.
struct MathMode {
  // Round the factors of float32 products to 10 bits of mantissa (TF32). Sums are float32.
  bool tf32 = false;
  // Round the partial sums of products of 16-bit floats to 16 bits.
  bool half_sums = false;
  // Add up in an order that differs from run to run.
  bool nondeterministic = false;
};

// A kernel that was made of source at run time, for the streams of one device. Immutable.
class GeneratedKernel {
 public:
  virtual ~GeneratedKernel() = default;
};
using GeneratedKernelPtr = std::shared_ptr<const GeneratedKernel>;

class Stream;

// Work that was recorded on a stream.
class Recording {
 public:
  virtual ~Recording() = default;
  // Queues all of it, on that stream.
  virtual void Launch() = 0;
};

// Records work of a stream in parts. Recordings read and write the memory that they were made with:
// what the capture's stream allocated stays theirs while the capture lives, which outlives them.
// Other captures of the stream have the same memory, once an array's holders have let it go.
class Capture {
 public:
  virtual ~Capture() = default;  // drops a part that was not ended
  // Where to queue what is recorded, between Begin and End, or is to run at once. Its Allocate
  // does not wait for other streams. What the host waits for, or checks later, throws INTERNAL
  // while it is recorded. Checks put off at other times are the recorded stream's.
  virtual Stream& stream() = 0;
  virtual void Begin() = 0;
  virtual std::unique_ptr<Recording> End() = 0;
};

// One session's ordered queue of work on a device, and its account. Not thread-safe but for
// Allocate: one command of a session runs at a time, while arrays for later ones come in.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device device() const = 0;
  // Uninitialised memory. Throws QUOTA_EXCEEDED before allocating, OUT_OF_MEMORY after freeing
  // caches. Zero bytes are a valid request.
  virtual BufferPtr Allocate(size_t bytes) = 0;
  // Copies between host and device memory in queue order; `host` may be reused on return.
  virtual void Upload(const void* host, Buffer& to, size_t bytes) = 0;
  // Waits for the queue, then copies to the host.
  virtual void Download(const Buffer& from, void* host, size_t bytes) = 0;
  // Starts to copy an array, which does not change any more, to the host, beside what is queued
  // later: its Download will wait for less. A hint.
  virtual void Prefetch(const BufferPtr& /*from*/) {}
  // In queue order, on arrays in the device's memory: sets bytes to zero; copies the elements of a
  // box, each of `width` bytes (1, 2, 4, 8 or, in host memory, 16), from where its first one is
  // read to where it goes. The arrays do not overlap.
  virtual void Zero(void* to, size_t bytes) = 0;
  virtual void Copy(const Box& box, size_t width, const void* from, void* to) = 0;
  // The kernel of a source like that of ops/chain_kernel.h; it is made once. Null where the device
  // has no compiler, or this one fails.
  virtual GeneratedKernelPtr Compile(const std::string& /*source*/) { return nullptr; }
  // In queue order: runs it for each index in [0, count). `argument` is copied.
  // REQUIRES: Compile of this device gave the kernel.
  virtual void Launch(const GeneratedKernel& /*kernel*/, int64_t /*count*/,
                      std::span<const std::byte> /*argument*/) {}
  // How often the host has given, taken, waited for something or is to check it: work of which that
  // is a part cannot be recorded.
  virtual int64_t host_accesses() const { return 0; }
  // Null where the device records nothing.
  virtual std::unique_ptr<Capture> NewCapture() { return nullptr; }
  virtual bool can_capture() const { return false; }
  // Waits until all queued work is done.
  virtual void Synchronize() = 0;
  // Has `check` called with the first `bytes` of an array, on the host, by FinishChecks at the
  // latest; it throws what is wrong. What is queued until then must get along with any elements.
  using ArrayCheck = std::function<void(const void* elements)>;
  virtual void CheckLater(const Buffer& from, size_t bytes, const ArrayCheck& check) {
    std::vector<std::byte> elements(bytes);
    Download(from, elements.data(), bytes);
    check(elements.data());
  }
  // Waits for what is to be checked, but for nothing that was queued after it.
  virtual void FinishChecks() {}
  // Leaves out the checks that have not been called.
  virtual void ForgetChecks() noexcept {}
  virtual const std::shared_ptr<Quota>& quota() const = 0;
  // A stream of host memory that books with the same quota: this one where the host reads and
  // writes the device's memory.
  virtual Stream& host() { return *this; }

  const MathMode& math_mode() const { return math_mode_; }
  // Of what is queued from now on.
  void set_math_mode(const MathMode& mode) { math_mode_ = mode; }

 private:
  MathMode math_mode_;
};

// A device. Thread-safe; lives as long as the server.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  virtual DeviceDescription Describe() const = 0;
  virtual std::unique_ptr<Stream> NewStream(std::shared_ptr<Quota> quota) = 0;
  virtual MemoryStats memory() const = 0;
  // Gives large blocks that are kept for reuse, and were not used since the last call, back to the
  // system. To be called now and then; a device where that stops its queues keeps everything.
  virtual void ReleaseIdle() {}
  // Why nothing can run on the device any more; empty while it can.
  virtual std::string problem() const { return {}; }
};

// A tensor of uninitialised memory on the stream's device.
inline Tensor AllocateTensor(Stream& stream, TensorSpec spec) {
  const auto bytes = static_cast<size_t>(spec.bytes());
  return {std::move(spec), stream.Allocate(bytes)};
}

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_BACKEND_H_
