// What a device has no kernel for, computed on the host.
#ifndef GRADWIRE_EXEC_HOST_FALLBACK_H_
#define GRADWIRE_EXEC_HOST_FALLBACK_H_

#include <cstdint>
#include <map>
#include <mutex>

#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire {

// Computes the outputs with the CPU kernel: waits for the device, copies the inputs to the host and
// the outputs back. Host memory is booked with the session.
void RunOnHost(const OpDef& op, KernelContext& context);

// How often that happened since the process began, by operator. Thread-safe.
class HostFallbacks {
 public:
  static HostFallbacks& Global();
  void Count(const OpDef& op);
  std::map<const OpDef*, int64_t> Read() const;

 private:
  mutable std::mutex mutex_;
  std::map<const OpDef*, int64_t> runs_;  // guarded
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_HOST_FALLBACK_H_
