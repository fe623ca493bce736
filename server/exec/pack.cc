#include "exec/pack.h"

#include <algorithm>
#include <memory>

#include "backend/cpu/dnnl.h"
#include "exec/by_sample.h"
#include "graph/channels_last.h"

namespace gradwire {
namespace {

// Bytes of constants by their numbers.
using Sizes = absl::flat_hash_map<int, int64_t>;

// Those of the plan of a part.
Sizes SizesWithin(const PlanStep& step, const Sizes& sizes) {
  Sizes within;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    const auto found = sizes.find(step.inputs[i]);
    const BySample::Input& input = step.by_sample->inputs[i];
    if (found != sizes.end() && !input.apart) within.emplace(input.number, found->second);
  }
  return within;
}

void Pack(Plan& plan, const Sizes& sizes, const PlanOptions& options, int64_t& room) {
  for (PlanStep& step : plan.steps) {
    if (step.by_sample != nullptr) {
      Pack(step.by_sample->plan, SizesWithin(step, sizes), options, room);
      continue;
    }
    if (step.op->packs == kPacksNothing) continue;
    const auto found = sizes.find(step.inputs[static_cast<size_t>(step.op->packs)]);
    if (found == sizes.end() || found->second > room) continue;
    step.packed = std::make_shared<onednn::Packed>();
    const int64_t kept = options.winograd ? BytesOfConstantForm(plan, step) : 0;
    const bool in_form = kept != 0 && kept <= room;
    if (in_form) step.kernel = step.op->channels_last->constant->cpu;
    room -= in_form ? kept : found->second;
  }
}

}  // namespace

int64_t MaxKeptBytes(const Quota& quota) {
  constexpr int64_t kMost = int64_t{1} << 30;
  return quota.limit() == 0 ? kMost : std::min(kMost, quota.limit() / 8);
}

int64_t BytesOfConstantForm(const Plan& plan, const PlanStep& step) {
  const ChannelsLast* images = step.op->channels_last;
  if (images == nullptr || images->constant == nullptr || step.kernel != images->cpu) return 0;
  Specs inputs;
  for (const int input : step.inputs) {
    inputs.push_back(input == kNoArray ? TensorSpec{} : plan.specs[static_cast<size_t>(input)]);
  }
  return images->constant->kept_bytes(inputs, step.attributes);
}

void PackConstants(Plan& plan, const NumberedTensors& constants, const PlanOptions& options,
                   int64_t room) {
  Sizes sizes;
  for (const auto& [number, tensor] : constants) sizes.emplace(number, tensor.bytes());
  Pack(plan, sizes, options, room);
}

}  // namespace gradwire
