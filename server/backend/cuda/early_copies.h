// Arrays on their way to the host before they are asked for.
#ifndef GRADWIRE_BACKEND_CUDA_EARLY_COPIES_H_
#define GRADWIRE_BACKEND_CUDA_EARLY_COPIES_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/staging.h"

namespace gradwire::cuda {

// Of one session, with a queue of their own, so that they overlap what the session computes. Not
// thread-safe.
class EarlyCopies {
 public:
  explicit EarlyCopies(Driver& driver) : driver_(driver) {}
  ~EarlyCopies();
  EarlyCopies(const EarlyCopies&) = delete;
  EarlyCopies& operator=(const EarlyCopies&) = delete;

  // Starts to copy an array that `queue` makes, or its first part, through `staging`.
  void Start(Staging& staging, Driver::Queue queue, const BufferPtr& from);
  // Waits for the copy of an array, once; how many of its first bytes it brought, at most `bytes`.
  size_t Take(const Buffer& from, void* host, size_t bytes);
  // Forgets the copies of arrays that nobody else holds.
  void Sweep();

 private:
  struct Copy {
    BufferPtr from;  // held, so that its memory is not given to another array
    std::unique_ptr<Staging::Early> early;
  };

  Driver& driver_;
  Driver::Queue queue_ = nullptr;  // made when it is first needed
  std::vector<Copy> copies_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_EARLY_COPIES_H_
