// The text of headers that generated kernels include; the build makes it of the files themselves.
#ifndef GRADWIRE_BACKEND_CUDA_DEVICE_HEADERS_H_
#define GRADWIRE_BACKEND_CUDA_DEVICE_HEADERS_H_

#include <span>

namespace gradwire::cuda {

struct DeviceHeader {
  const char* name;  // as #include names it
  const char* text;
};

std::span<const DeviceHeader> DeviceHeaders();

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_DEVICE_HEADERS_H_
