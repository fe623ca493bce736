// cuDNN's graph API, opened at run time: who has no cuDNN does without.
#ifndef GRADWIRE_BACKEND_CUDA_DNN_H_
#define GRADWIRE_BACKEND_CUDA_DNN_H_

#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace gradwire::cuda {

// The functions that are used. nullptr where there is no libcudnn.so.9.
struct Dnn {
  decltype(&cudnnCreate) create;
  decltype(&cudnnGetVersion) version;
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

// A descriptor of the graph API; copies share it. It keeps those that it was made of: cuDNN does
// not say that it would. REQUIRES: Dnn::Find().
class DnnDescriptor {
 public:
  explicit DnnDescriptor(cudnnBackendDescriptorType_t type) : state_(std::make_shared<State>()) {
    CheckDnn(Dnn::Find()->create_descriptor(type, &state_->handle), "cudnnBackendCreateDescriptor");
  }

  // The attribute's type must be what T stands for: see cuDNN's manual.
  template <class T>
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T* values,
           size_t count) {
    CheckDnn(
        Dnn::Find()->set_attribute(state_->handle, name, type, static_cast<int64_t>(count), values),
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
    Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
    Keep(value);
  }
  void Keep(const DnnDescriptor& other) { state_->kept.push_back(other); }
  // At most `most` values.
  template <class T>
  std::vector<T> Get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     size_t most) const {
    std::vector<T> values(most);
    int64_t count = 0;
    CheckDnn(Dnn::Find()->get_attribute(state_->handle, name, type, static_cast<int64_t>(most),
                                        &count, values.data()),
             "cudnnBackendGetAttribute");
    if (count < static_cast<int64_t>(most)) values.resize(static_cast<size_t>(count));
    return values;
  }
  void Finalize() { CheckDnn(Dnn::Find()->finalize(state_->handle), "cudnnBackendFinalize"); }

  cudnnBackendDescriptor_t get() const { return state_->handle; }

 private:
  struct State {
    State() = default;
    ~State() {
      if (handle != nullptr) Dnn::Find()->destroy_descriptor(handle);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    cudnnBackendDescriptor_t handle = nullptr;
    std::vector<DnnDescriptor> kept;
  };

  std::shared_ptr<State> state_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_DNN_H_
