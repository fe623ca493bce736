// Arrays for the host to read.
#ifndef GRADWIRE_BACKEND_ON_HOST_H_
#define GRADWIRE_BACKEND_ON_HOST_H_

#include "backend/backend.h"
#include "core/host_tensor.h"

namespace gradwire {

// A tensor whose bytes the host can read, not write: the same one on a CPU, a copy elsewhere. Waits
// for the device.
inline Tensor OnHost(const Tensor& tensor, Stream& stream) {
  if (tensor.device().type == DeviceType::kCpu) {
    stream.Synchronize();
    return tensor;
  }
  Tensor host = HostTensor(tensor.spec());
  stream.Download(*tensor.buffer(), host.mutable_data<char>(), host.bytes());
  return host;
}

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_ON_HOST_H_
