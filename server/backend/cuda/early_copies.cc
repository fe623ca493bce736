#include "backend/cuda/early_copies.h"

#include <algorithm>
#include <utility>

namespace gradwire::cuda {

EarlyCopies::~EarlyCopies() {
  copies_.clear();
  if (queue_ != nullptr) driver_.DeleteQueue(queue_);
}

void EarlyCopies::Start(Staging& staging, Driver::Queue queue, const BufferPtr& from) {
  Sweep();
  std::erase_if(copies_, [&](const Copy& copy) { return copy.from == from; });
  if (queue_ == nullptr) queue_ = driver_.NewQueue();
  copies_.push_back({from, staging.Start(queue, queue_, from->data(), from->bytes())});
}

void EarlyCopies::Sweep() {
  std::erase_if(copies_, [](const Copy& copy) { return copy.from.use_count() == 1; });
}

size_t EarlyCopies::Take(const Buffer& from, void* host, size_t bytes) {
  const auto found = std::find_if(copies_.begin(), copies_.end(),
                                  [&](const Copy& copy) { return copy.from.get() == &from; });
  if (found == copies_.end()) return 0;
  const Copy copy = std::move(*found);
  copies_.erase(found);
  return copy.early->Take(host, bytes);
}

}  // namespace gradwire::cuda
