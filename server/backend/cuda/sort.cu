#include <cub/device/device_radix_sort.cuh>

#include "backend/cuda/check.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"

namespace gradwire::cuda {

void SortPairs(Stream& stream, int64_t n, const int64_t* keys, int64_t* sorted_keys,
               const int64_t* values, int64_t* sorted_values) {
  const cudaStream_t queue = QueueOf(stream);
  size_t bytes = 0;
  const auto sort = [&](void* memory) {
    GRADWIRE_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(memory, bytes, keys, sorted_keys, values,
                                                        sorted_values, n, 0, 64, queue));
  };
  sort(nullptr);  // only says how much memory it needs
  const BufferPtr scratch = stream.Allocate(bytes);
  sort(scratch->data());
}

}  // namespace gradwire::cuda
