#include <dlfcn.h>

#include <string>

#include "backend/cuda/dnn.h"
#include "backend/cuda/registration.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

template <class Function>
bool Load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

const Dnn* Open() {
  static Dnn dnn{};
  void* const library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const bool complete = Load(library, "cudnnCreate", dnn.create) &&
                        Load(library, "cudnnGetVersion", dnn.version) &&
                        Load(library, "cudnnSetStream", dnn.set_stream) &&
                        Load(library, "cudnnGetErrorString", dnn.error_string) &&
                        Load(library, "cudnnBackendCreateDescriptor", dnn.create_descriptor) &&
                        Load(library, "cudnnBackendDestroyDescriptor", dnn.destroy_descriptor) &&
                        Load(library, "cudnnBackendSetAttribute", dnn.set_attribute) &&
                        Load(library, "cudnnBackendGetAttribute", dnn.get_attribute) &&
                        Load(library, "cudnnBackendFinalize", dnn.finalize) &&
                        Load(library, "cudnnBackendExecute", dnn.execute);
  return complete ? &dnn : nullptr;
}

}  // namespace

const Dnn* Dnn::Find() {
  static const Dnn* const found = Open();
  return found;
}

std::string DnnVersion() {
  if (Dnn::Find() == nullptr) return "no cuDNN 9";
  const size_t version = Dnn::Find()->version();
  return "cuDNN " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
         "." + std::to_string(version % 100);
}

void CheckDnn(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(reason::kInternal, std::string(what) + ": " + Dnn::Find()->error_string(status));
}

}  // namespace gradwire::cuda
