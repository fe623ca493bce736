#include "exec/replay.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/error.h"
#include "exec/chain.h"
#include "exec/checks_of_run.h"
#include "exec/op_times.h"

namespace gradwire {
namespace {

// Places that were chosen beforehand.
class ChosenPlaces : public Places {
 public:
  explicit ChosenPlaces(std::span<const BufferPtr> buffers) : buffers_(buffers) {}
  BufferPtr Of(int array, size_t) override { return buffers_[static_cast<size_t>(array)]; }
  bool MayTakeOver(int, int) const override { return true; }

 private:
  const std::span<const BufferPtr> buffers_;
};

// A loop needs one, or two between which it goes back and forth; others have no addresses that
// come again.
constexpr size_t kMostVariants = 4;

// Recordings that may fail before there are no more tries.
constexpr int kMostFailures = 2;

void Copy(const Tensor& from, const Tensor& to, Stream& stream) {
  if (from.bytes() == 0) return;
  const auto bytes = static_cast<int64_t>(from.bytes());
  stream.Copy({.dims = {bytes}, .from = {1}, .to = {1}}, 1, from.buffer()->data(),
              to.buffer()->data());
}

// The same memory, held by somebody else.
Tensor ViewOf(const Tensor& tensor) {
  if (!tensor) return {};
  Buffer& buffer = *tensor.buffer();
  return {tensor.spec(), std::make_shared<Buffer>(buffer.data(), buffer.bytes(), buffer.device())};
}

StepArrays ViewOf(const StepArrays& arrays) {
  StepArrays views;
  for (const Tensor& input : arrays.inputs) views.inputs.push_back(ViewOf(input));
  for (const Tensor& output : arrays.outputs) views.outputs.push_back(ViewOf(output));
  return views;
}

Chain::OpCounts OpsOf(const PlanStep& step) {
  return step.chain != nullptr ? step.chain->ops : Chain::OpCounts{{step.op, 1}};
}

// Adds the step's operators to `ops`.
void Count(const PlanStep& step, Chain::OpCounts& ops) {
  for (const auto& [op, count] : OpsOf(step)) {
    const auto known = std::find_if(ops.begin(), ops.end(),
                                    [&op = op](const auto& entry) { return entry.first == op; });
    if (known != ops.end()) {
      known->second += count;
    } else {
      ops.emplace_back(op, count);
    }
  }
}

// What is kept and was made elsewhere, as a view of another array is, goes to its place.
void MoveToPlaces(const std::vector<int>& placed, const std::vector<BufferPtr>& places,
                  std::vector<Tensor>& arrays, Stream& stream) {
  for (const int number : placed) {
    Tensor& array = arrays[static_cast<size_t>(number)];
    const BufferPtr& place = places[static_cast<size_t>(number)];
    if (array.buffer() == place) continue;
    const Tensor moved(array.spec(), place);
    Copy(array, moved, stream);
    array = moved;
  }
}

}  // namespace

Replay::Replay(const Plan& plan, std::vector<int> fresh)
    : fresh_(std::move(fresh)), staged_(fresh_.size()), on_host_(plan.steps.size(), false) {
  std::vector<bool> made(plan.specs.size(), false);
  for (const PlanStep& step : plan.steps) {
    for (const int output : step.outputs) {
      if (output != kNoArray) made[static_cast<size_t>(output)] = true;
    }
  }
  for (const int number : plan.kept) {
    if (made[static_cast<size_t>(number)]) placed_.push_back(number);
  }
  homes_.resize(placed_.size());
}

std::optional<Replay::Buffers> Replay::FreePlaces(const Plan& plan, Stream& stream) {
  Buffers places(plan.specs.size());
  for (size_t i = 0; i < placed_.size(); ++i) {
    const auto number = static_cast<size_t>(placed_[i]);
    const auto home = std::find_if(homes_[i].begin(), homes_[i].end(),
                                   [](const Home& h) { return h.lent.expired(); });
    if (home == homes_[i].end()) return std::nullopt;
    if (home->memory == nullptr) {
      home->memory = stream.Allocate(static_cast<size_t>(plan.specs[number].bytes()));
    }
    // Free again when nobody holds the part.
    places[number] = PartOf(home->memory, 0, home->memory->bytes());
    home->lent = places[number];
  }
  return places;
}

Replay::Addresses Replay::AddressesOf(const std::vector<Tensor>& arrays,
                                      const Buffers& buffers) const {
  Addresses addresses;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const bool fresh = std::find(fresh_.begin(), fresh_.end(), static_cast<int>(i)) != fresh_.end();
    const BufferPtr& buffer = arrays[i] && !fresh ? arrays[i].buffer() : buffers[i];
    if (buffer != nullptr) addresses.push_back(buffer->data());
  }
  return addresses;
}

Replay::Variant* Replay::Find(const Addresses& addresses) {
  const auto found = std::find_if(variants_.begin(), variants_.end(), [&](const Variant& variant) {
    return variant.addresses == addresses;
  });
  if (found == variants_.end()) return nullptr;
  variants_.splice(variants_.begin(), variants_, found);
  return &variants_.front();
}

void Replay::StageFresh(const Plan& plan, std::vector<Tensor>& arrays, Stream& stream) {
  for (size_t i = 0; i < fresh_.size(); ++i) {
    Tensor& array = arrays[static_cast<size_t>(fresh_[i])];
    if (!staged_[i]) {
      staged_[i] = AllocateTensor(stream, plan.specs[static_cast<size_t>(fresh_[i])]);
    }
    Copy(array, staged_[i], stream);
    array = staged_[i];
  }
}

void Replay::RunSteps(const Plan& plan, std::vector<Tensor>& arrays, const Buffers& buffers,
                      Executor& executor) {
  Stream& stream = executor.stream();
  ChosenPlaces places(buffers);
  OpClock clock;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    executor.Poll();
    const int64_t before = stream.host_accesses();
    RunStep(plan.steps[s], arrays, stream, &places);
    if (stream.host_accesses() != before) on_host_[s] = true;
    clock.Ran(OpsOf(plan.steps[s]));
  }
  MoveToPlaces(placed_, buffers, arrays, stream);
}

void Replay::Record(const Plan& plan, std::vector<Tensor>& arrays, const Buffers& buffers,
                    Executor& executor, Variant& variant) {
  std::vector<Part> parts;  // ends after a capture that fails: it waits for the queue
  std::unique_ptr<Capture> capture = executor.stream().NewCapture();
  ChosenPlaces places(buffers);
  OpClock clock;
  const size_t count = plan.steps.size();
  for (size_t s = 0, recorded = 0; recorded == 0 || s < count;) {
    executor.Poll();
    Part& part = parts.emplace_back();
    if (s < count && on_host_[s]) {
      part.step = s;
      part.arrays = ViewOf(RunStep(plan.steps[s], arrays, capture->stream(), &places));
      Count(plan.steps[s++], part.ops);
      recorded = 0;
    } else {
      capture->Begin();
      for (; s < count && !on_host_[s]; ++s) {
        RunStep(plan.steps[s], arrays, capture->stream(), &places);
        Count(plan.steps[s], part.ops);
      }
      if (s == count) MoveToPlaces(placed_, buffers, arrays, capture->stream());
      part.recording = capture->End();
      part.recording->Launch();
      recorded = 1;
    }
    if (!part.ops.empty()) clock.Ran(part.ops);
  }
  variant.capture = std::move(capture);
  variant.parts = std::move(parts);
  variant.recorded = true;
}

void Replay::RunParts(const Plan& plan, Executor& executor, Variant& variant) const {
  OpClock clock;
  for (Part& part : variant.parts) {
    executor.Poll();
    if (part.recording != nullptr) {
      part.recording->Launch();
    } else {
      const PlanStep& step = plan.steps[part.step];
      Placed(*step.op, step.origin, [&] { RunStepAgain(step, part.arrays, executor.stream()); });
    }
    if (!part.ops.empty()) clock.Ran(part.ops);
  }
}

// What a recording needs may be more than there is, and an operator may do what cannot be recorded:
// then the plan runs without.
template <class F>
bool Replay::Tried(const F& f) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    if (error.code() == Code::kCancelled || error.code() == Code::kDeadlineExceeded) throw;
    ++failures_;
    return false;
  }
}

bool Replay::RunRecorded(const Plan& plan, std::vector<Tensor>& arrays, Executor& executor) {
  std::optional<Buffers> places;
  if (!Tried([&] { places = FreePlaces(plan, executor.stream()); }) || !places) return false;
  Addresses addresses = AddressesOf(arrays, *places);
  Variant* const variant = Find(addresses);
  if (variant == nullptr) {
    variants_.push_front({.addresses = std::move(addresses)});
    if (variants_.size() > kMostVariants) variants_.pop_back();
    RunSteps(plan, arrays, *places, executor);
    return true;
  }
  if (!Tried([&] { StageFresh(plan, arrays, executor.stream()); })) return false;
  if (!variant->recorded) {
    if (!Tried([&] { Record(plan, arrays, *places, executor, *variant); })) {
      variants_.pop_front();
      return false;
    }
  } else {
    RunParts(plan, executor, *variant);
    ++replayed_;
  }
  for (const int number : placed_) {
    const auto at = static_cast<size_t>(number);
    arrays[at] = {plan.specs[at], (*places)[at]};
  }
  return true;
}

void Replay::Run(const Plan& plan, std::vector<Tensor>& arrays, Executor& executor) {
  if (failures_ <= kMostFailures) {
    const std::vector<Tensor> given = arrays;
    ChecksOfRun checks(executor.stream());
    const bool done = RunRecorded(plan, arrays, executor);
    // What came in is kept as it came, not as it was staged.
    for (size_t i = 0; i < arrays.size(); ++i) {
      if (!done || given[i]) arrays[i] = given[i];
    }
    if (done) return checks.Finish();
  }
  executor.Run(plan, arrays);
}

}  // namespace gradwire
