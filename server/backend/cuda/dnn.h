// cuDNN's graph API, opened at run time: who has no cuDNN does without.
#ifndef GRADWIRE_BACKEND_CUDA_DNN_H_
#define GRADWIRE_BACKEND_CUDA_DNN_H_

#include <cudnn.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace gradwire::cuda {

// The functions that are used. nullptr where there is no libcudnn.so.9.
struct Dnn {
  decltype(&cudnnCreate) create;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnGetErrorString) error_string;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&cudnnBackendSetAttribute) set_attribute;
  decltype(&cudnnBackendGetAttribute) get_attribute;
  decltype(&cudnnBackendFinalize) finalize;
  decltype(&cudnnBackendExecute) execute;

  static const Dnn* Find();
};

// Throws INTERNAL.
void CheckDnn(cudnnStatus_t status, const char* what);

// A descriptor of the graph API. REQUIRES: Dnn::Find().
class DnnDescriptor {
 public:
  explicit DnnDescriptor(cudnnBackendDescriptorType_t type) {
    CheckDnn(Dnn::Find()->create_descriptor(type, &handle_), "cudnnBackendCreateDescriptor");
  }
  ~DnnDescriptor() {
    if (handle_ != nullptr) Dnn::Find()->destroy_descriptor(handle_);
  }
  DnnDescriptor(DnnDescriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  DnnDescriptor& operator=(DnnDescriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  // The attribute's type must be what T stands for: see cuDNN's manual.
  template <class T>
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T* values,
           size_t count) {
    CheckDnn(Dnn::Find()->set_attribute(handle_, name, type, static_cast<int64_t>(count), values),
             "cudnnBackendSetAttribute");
  }
  template <class T>
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    Set(name, type, &value, 1);
  }
  void Set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values) {
    Set(name, CUDNN_TYPE_INT64, values.data(), values.size());
  }
  void Set(cudnnBackendAttributeName_t name, const DnnDescriptor& value) {
    Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.handle_);
  }
  // At most `most` values.
  template <class T>
  std::vector<T> Get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     size_t most) const {
    std::vector<T> values(most);
    int64_t count = 0;
    CheckDnn(Dnn::Find()->get_attribute(handle_, name, type, static_cast<int64_t>(most), &count,
                                        values.data()),
             "cudnnBackendGetAttribute");
    if (count < static_cast<int64_t>(most)) values.resize(static_cast<size_t>(count));
    return values;
  }
  void Finalize() { CheckDnn(Dnn::Find()->finalize(handle_), "cudnnBackendFinalize"); }

  cudnnBackendDescriptor_t get() const { return handle_; }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_DNN_H_
