#include "backend/cuda/early_copies.h"

#include <algorithm>
#include <utility>

namespace gradwire::cuda {

EarlyCopies::~EarlyCopies() {
  copies_.clear();
  if (queue_ != nullptr) driver_.DeleteQueue(queue_);
}

void EarlyCopies::Start(Staging& staging, Driver::Queue queue, const BufferPtr& from) {
  std::erase_if(copies_, [&](const Copy& copy) {
    const auto known = copy.from.lock();
    return known == nullptr || known == from;
  });
  if (queue_ == nullptr) queue_ = driver_.NewQueue();
  copies_.push_back({from, staging.Start(queue, queue_, from->data(), from->bytes())});
}

size_t EarlyCopies::Take(const Buffer& from, void* host, size_t bytes) {
  const auto found = std::find_if(copies_.begin(), copies_.end(), [&](const Copy& copy) {
    return copy.from.lock().get() == &from;
  });
  if (found == copies_.end()) return 0;
  const Copy copy = std::move(*found);
  copies_.erase(found);
  return copy.early->Take(host, bytes);
}

}  // namespace gradwire::cuda
