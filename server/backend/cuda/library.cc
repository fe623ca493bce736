#include "backend/cuda/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace gradwire::cuda {
namespace {

namespace fs = std::filesystem;

// Symbols are bound at once: what does not fit this program is told here, not in a session.
void* Open(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }

void* Find(const std::string& path) {
  if (path.find('/') == std::string::npos) {
    std::error_code error;
    const fs::path beside = fs::read_symlink("/proc/self/exe", error).parent_path() / path;
    if (!error && fs::exists(beside, error)) return Open(beside.string());
  }
  return Open(path);
}

}  // namespace

Gpus OpenGpus(const std::string& path) {
  Gpus gpus;
  void* const library = Find(path);
  void* const open = library == nullptr ? nullptr : dlsym(library, kOpenSymbol);
  if (open == nullptr) {
    gpus.missing = fmt::format("no CUDA: {}", dlerror());
    return gpus;
  }
  reinterpret_cast<OpenFunction>(open)(gpus);
  return gpus;
}

}  // namespace gradwire::cuda
