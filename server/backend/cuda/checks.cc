#include "backend/cuda/checks.h"

#include <utility>

#include "core/error.h"

namespace gradwire::cuda {
namespace {

constexpr size_t kAlignment = 16;

}  // namespace

Checks::~Checks() {
  if (event_ == nullptr) return;
  try {
    driver_.Wait(event_);
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): a failed GPU copies nothing
  }
  driver_.DeleteEvent(event_);
  if (page_ != nullptr) driver_.FreePinned(page_);
}

void Checks::Add(Driver::Queue queue, const void* from, size_t bytes, Stream::ArrayCheck check) {
  if (event_ == nullptr) event_ = driver_.NewEvent();
  if (page_ == nullptr) page_ = static_cast<std::byte*>(driver_.AllocatePinned(kPageBytes));
  if (page_ == nullptr) throw Error(reason::kOutOfMemory, "out of pinned host memory");
  if (used_ + bytes > kPageBytes) {
    Finish();
    driver_.Wait(event_);  // for copies whose checks are forgotten
    used_ = 0;
  }
  driver_.CopyToHost(queue, page_ + used_, from, bytes);
  driver_.Record(queue, event_);
  waiting_.push_back({used_, std::move(check)});
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void Checks::Finish() {
  if (waiting_.empty()) return;
  const std::vector<Waiting> finished = std::exchange(waiting_, {});
  driver_.Wait(event_);
  used_ = 0;
  for (const Waiting& waiting : finished) waiting.check(page_ + waiting.at);
}

}  // namespace gradwire::cuda
