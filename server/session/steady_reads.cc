#include "session/steady_reads.h"

#include <algorithm>

#include "exec/improve.h"

namespace gradwire {

const SteadyReads::Improved* SteadyReads::Find(std::span<const Value> reads, Executor& executor) {
  if (improved_.has_value()) {
    if (Holds(reads)) return &*improved_;
    improved_.reset();
  }
  if (!traced_.has_value()) return nullptr;
  if (seen_.empty()) {
    Watch(reads);
    return nullptr;
  }
  Make(reads, executor);
  return improved_.has_value() ? &*improved_ : nullptr;
}

bool SteadyReads::Holds(std::span<const Value> reads) const {
  return std::all_of(improved_->reads.begin(), improved_->reads.end(), [&](const auto& read) {
    return reads[read.first].tensor().buffer() == read.second;
  });
}

void SteadyReads::Watch(std::span<const Value> reads) {
  for (const Value& read : reads) seen_.emplace_back(read.tensor().buffer());
}

void SteadyReads::Make(std::span<const Value> reads, Executor& executor) {
  Improved made = std::move(*traced_);
  traced_.reset();
  for (size_t i = 0; i < reads.size(); ++i) {
    const Tensor& tensor = reads[i].tensor();
    if (numbers_[i] == kNoArray || seen_[i].lock() != tensor.buffer()) continue;
    made.constants.emplace_back(numbers_[i], tensor);
    made.reads.emplace_back(i, tensor.buffer());
  }
  if (made.reads.empty()) return;
  made.constants = Improve(made.plan, std::move(made.constants), options_, executor);
  const bool packs = std::any_of(
      made.plan.steps.begin(), made.plan.steps.end(),
      [](const PlanStep& step) { return step.packed != nullptr || step.by_sample != nullptr; });
  if (packs) improved_ = std::move(made);
}

}  // namespace gradwire
