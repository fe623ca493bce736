// Arrays for the host to read.
#ifndef GRADWIRE_BACKEND_ON_HOST_H_
#define GRADWIRE_BACKEND_ON_HOST_H_

#include "backend/backend.h"
#include "core/strings.h"

namespace gradwire {

// A tensor whose bytes the host can read, not write: the same one where it is in host memory, a
// copy elsewhere. Waits for the device.
inline Tensor OnHost(const Tensor& tensor, Stream& stream) {
  if (tensor.device().type == DeviceType::kCpu) {
    stream.Synchronize();
    return tensor;
  }
  Tensor host = AllocateTensor(stream.host(), tensor.spec());
  stream.Download(*tensor.buffer(), host.mutable_data<char>(), host.bytes());
  return host;
}

// The reverse: a tensor on the stream's device, which is `host` itself on a CPU where it was
// allocated for the session. Nothing writes to `host` afterwards. Throws OP_UNSUPPORTED for strings
// that the device cannot have.
inline Tensor FromHost(Tensor host, Stream& stream) {
  if (host.device() == stream.device()) return host;
  if (host.dtype() == DType::kString) RequireStringDevice(stream.device());
  Tensor tensor = AllocateTensor(stream, host.spec());
  stream.Upload(host.data<char>(), *tensor.buffer(), host.bytes());
  return tensor;
}

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_ON_HOST_H_
