// The boundary to a device: memory and an ordered queue of work. It knows nothing of operators,
// which bring their kernels as rows in a table (graph/op.h).
#ifndef GRADWIRE_BACKEND_BACKEND_H_
#define GRADWIRE_BACKEND_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>

#include "backend/box.h"
#include "core/tensor.h"

namespace gradwire {

// Bytes in use by one session, and how many it may use. Thread-safe. Outlives its buffers: each
// buffer shares ownership.
class Quota;

struct MemoryStats {
  int64_t live_bytes = 0;    // in tensors
  int64_t cached_bytes = 0;  // kept for reuse
};

struct DeviceDescription {
  std::string description;   // the processor or GPU
  std::string library;       // compute libraries with versions
  int threads = 0;           // CPU threads a command may use; 0 elsewhere
  int64_t memory_bytes = 0;  // of the device's own memory; 0 on a CPU
  std::string capability;    // of a GPU: "9.0"
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
  // In queue order, on arrays in the device's memory: sets bytes to zero; copies the elements of a
  // box, each of `width` bytes (1, 2, 4, 8 or, in host memory, 16), from where its first one is
  // read to where it goes. The arrays do not overlap.
  virtual void Zero(void* to, size_t bytes) = 0;
  virtual void Copy(const Box& box, size_t width, const void* from, void* to) = 0;
  // Waits until all queued work is done.
  virtual void Synchronize() = 0;
  virtual const std::shared_ptr<Quota>& quota() const = 0;
  // A stream of host memory that books with the same quota: this one where the host reads and
  // writes the device's memory.
  virtual Stream& host() { return *this; }
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
