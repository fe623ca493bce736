#include "backend/cuda/nvrtc.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <string_view>
#include <vector>

#include "backend/cuda/device_headers.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

using Program = void*;

// What is used of nvrtc.h, which not every machine has that the server is built on.
struct Nvrtc {
  int (*version)(int* major, int* minor);
  const char* (*error_string)(int result);
  int (*create)(Program* program, const char* source, const char* name, int headers,
                const char* const* texts, const char* const* names);
  int (*destroy)(Program* program);
  int (*compile)(Program program, int count, const char* const* options);
  int (*log_size)(Program program, size_t* bytes);
  int (*log)(Program program, char* log);
  int (*cubin_size)(Program program, size_t* bytes);
  int (*cubin)(Program program, char* cubin);
};

struct Opened {
  Nvrtc nvrtc{};
  std::string problem;  // empty where it is there
};

template <class Function>
bool Load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Opened Open() {
  Opened opened;
  void* library = nullptr;
  for (const char* const name : {"libnvrtc.so.13", "libnvrtc.so.12"}) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    if (opened.problem.empty()) opened.problem = dlerror();
  }
  if (library == nullptr) return opened;
  opened.problem.clear();
  Nvrtc& n = opened.nvrtc;
  const bool complete = Load(library, "nvrtcVersion", n.version) &&
                        Load(library, "nvrtcGetErrorString", n.error_string) &&
                        Load(library, "nvrtcCreateProgram", n.create) &&
                        Load(library, "nvrtcDestroyProgram", n.destroy) &&
                        Load(library, "nvrtcCompileProgram", n.compile) &&
                        Load(library, "nvrtcGetProgramLogSize", n.log_size) &&
                        Load(library, "nvrtcGetProgramLog", n.log) &&
                        Load(library, "nvrtcGetCUBINSize", n.cubin_size) &&
                        Load(library, "nvrtcGetCUBIN", n.cubin);
  if (!complete) opened.problem = "libnvrtc lacks what it had in CUDA 12";
  return opened;
}

const Opened& Library() {
  static const Opened opened = Open();
  return opened;
}

// A program of NVRTC's. What fails throws.
class Compilation {
 public:
  Compilation(const Nvrtc& nvrtc, const std::string& source) : nvrtc_(nvrtc) {
    std::vector<const char*> texts;
    std::vector<const char*> names;
    for (const DeviceHeader& header : DeviceHeaders()) {
      texts.push_back(header.text);
      names.push_back(header.name);
    }
    Check(nvrtc_.create(&program_, source.c_str(), "chain.cu", static_cast<int>(names.size()),
                        texts.data(), names.data()));
  }
  ~Compilation() { nvrtc_.destroy(&program_); }
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;

  void Run(const std::string& capability) {
    std::string architecture = "--gpu-architecture=sm_";
    for (const char c : capability) {
      if (c != '.') architecture += c;
    }
    const std::array<const char*, 4> options = {architecture.c_str(), "--std=c++20", "--fmad=false",
                                                "--device-as-default-execution-space"};
    const int result = nvrtc_.compile(program_, static_cast<int>(options.size()), options.data());
    if (result != 0) throw Error(reason::kOpUnsupported, "NVRTC: " + Log());
  }

  std::string Cubin() const {
    size_t bytes = 0;
    Check(nvrtc_.cubin_size(program_, &bytes));
    std::string cubin(bytes, '\0');
    Check(nvrtc_.cubin(program_, cubin.data()));
    return cubin;
  }

 private:
  std::string Log() const {
    size_t bytes = 0;
    Check(nvrtc_.log_size(program_, &bytes));
    std::string log(bytes, '\0');
    Check(nvrtc_.log(program_, log.data()));
    log.resize(std::string_view(log.c_str()).size());  // it ends with a zero
    return log;
  }
  void Check(int result) const {
    if (result == 0) return;
    throw Error(reason::kOpUnsupported, fmt::format("NVRTC: {}", nvrtc_.error_string(result)));
  }

  const Nvrtc& nvrtc_;
  Program program_ = nullptr;
};

}  // namespace

std::string CompileToCubin(const std::string& source, const std::string& capability) {
  if (!Library().problem.empty()) throw Error(reason::kOpUnsupported, Library().problem);
  Compilation compilation(Library().nvrtc, source);
  compilation.Run(capability);
  return compilation.Cubin();
}

std::string NvrtcVersion() {
  if (!Library().problem.empty()) return "no NVRTC: " + Library().problem;
  int major = 0;
  int minor = 0;
  Library().nvrtc.version(&major, &minor);
  return fmt::format("NVRTC {}.{}", major, minor);
}

}  // namespace gradwire::cuda
