// Checks of what a GPU computed that need not stop its queue.
#ifndef GRADWIRE_BACKEND_CUDA_CHECKS_H_
#define GRADWIRE_BACKEND_CUDA_CHECKS_H_

#include <cstddef>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/driver.h"

namespace gradwire::cuda {

// Of one queue, which it does not outlive. Not thread-safe.
class Checks {
 public:
  explicit Checks(Driver& driver) : driver_(driver) {}
  ~Checks();
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

  // Queues a copy of `bytes`, at most kPageBytes, for `check`. Where too much waits already, that
  // is finished first.
  void Add(Driver::Queue queue, const void* from, size_t bytes, Stream::ArrayCheck check);
  // Waits for the copies, then calls the checks in their order, until one throws.
  void Finish();
  void Forget() noexcept { waiting_.clear(); }

  static constexpr size_t kPageBytes = size_t{4} << 10;

 private:
  struct Waiting {
    size_t at;
    Stream::ArrayCheck check;
  };

  Driver& driver_;
  std::byte* page_ = nullptr;  // pinned, made when it is first needed
  Driver::Event event_ = nullptr;
  size_t used_ = 0;  // of the page, by copies that may be under way
  std::vector<Waiting> waiting_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_CHECKS_H_
