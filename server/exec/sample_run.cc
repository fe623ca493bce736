#include "exec/sample_run.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "exec/by_sample.h"
#include "exec/chain.h"
#include "exec/memory_plan.h"

namespace gradwire {
namespace {

// One of the parts of an array.
Tensor PartOf(const Tensor& whole, const TensorSpec& spec, int64_t part) {
  const auto bytes = static_cast<size_t>(spec.bytes());
  return {spec, PartOf(whole.buffer(), static_cast<size_t>(part) * bytes, bytes)};
}

// Of one part: what is wanted afterwards lies in the arrays of all.
class PlacesOfPart : public Places {
 public:
  PlacesOfPart(PlannedPlaces* planned, size_t arrays) : planned_(planned), outputs_(arrays) {}

  void Put(int array, BufferPtr place) { outputs_[static_cast<size_t>(array)] = std::move(place); }

  BufferPtr Of(int array, size_t bytes) override {
    if (const BufferPtr& place = outputs_[static_cast<size_t>(array)]; place != nullptr) {
      return PartOf(place, 0, bytes);
    }
    return planned_ == nullptr ? nullptr : planned_->Of(array, bytes);
  }
  bool MayTakeOver(int from, int to) const override {
    return planned_ == nullptr || planned_->MayTakeOver(from, to);
  }

 private:
  PlannedPlaces* const planned_;
  std::vector<BufferPtr> outputs_;  // by array
};

class SampleRun {
 public:
  SampleRun(const BySample& by_sample, StepArrays& arrays, Stream& stream)
      : by_sample_(by_sample), arrays_(arrays), stream_(stream) {}

  // Parts [first, first + count), each on a thread of its own. Throws what one of them did.
  void Together(int64_t first, int64_t count, OpClock& clock) {
    while (by_sample_.plan.memory != nullptr && places_.size() < static_cast<size_t>(count)) {
      places_.emplace_back(*by_sample_.plan.memory, stream_);
    }
    std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
    ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
      const ThreadsScope alone(1);
      for (int64_t i = begin; i < end; ++i) {
        try {
          Run(first + i, static_cast<size_t>(i), i == 0 ? &clock : nullptr);
        } catch (...) {
          errors[static_cast<size_t>(i)] = std::current_exception();
        }
      }
    });
    for (const std::exception_ptr& error : errors) {
      if (error != nullptr) std::rethrow_exception(error);
    }
  }

 private:
  void Run(int64_t part, size_t thread, OpClock* clock) {
    const Plan& plan = by_sample_.plan;
    std::vector<Tensor> arrays(plan.specs.size());
    PlacesOfPart places(places_.empty() ? nullptr : &places_[thread], arrays.size());
    for (size_t i = 0; i < by_sample_.inputs.size(); ++i) {
      const auto [number, apart] = by_sample_.inputs[i];
      const auto at = static_cast<size_t>(number);
      arrays[at] = apart ? PartOf(arrays_.inputs[i], plan.specs[at], part) : arrays_.inputs[i];
    }
    const std::vector<Tensor> held = arrays;  // the plan does not write where they lie
    std::vector<Tensor> results;
    for (size_t i = 0; i < by_sample_.outputs.size(); ++i) {
      const int number = by_sample_.outputs[i];
      results.push_back(PartOf(arrays_.outputs[i], plan.specs[static_cast<size_t>(number)], part));
      places.Put(number, results.back().buffer());
    }
    for (const PlanStep& step : plan.steps) {
      RunStep(step, arrays, stream_, &places);
      if (clock != nullptr) Ran(*clock, step, part == 0 ? 1 : 0);
    }
    for (size_t i = 0; i < results.size(); ++i) {
      const Tensor& made = arrays[static_cast<size_t>(by_sample_.outputs[i])];
      void* const to = results[i].mutable_data<void>();
      if (made.data<void>() != to) std::memcpy(to, made.data<void>(), made.bytes());
    }
  }

  const BySample& by_sample_;
  StepArrays& arrays_;
  Stream& stream_;
  std::vector<PlannedPlaces> places_;  // of each thread
};

}  // namespace

void RunBySample(const PlanStep& step, StepArrays& arrays, Stream& stream,
                 const std::function<void()>& between_ops, OpClock& clock) {
  const int64_t parts = step.by_sample->parts;
  SampleRun run(*step.by_sample, arrays, stream);
  for (int64_t first = 0; first < parts;) {
    if (first != 0) between_ops();
    const int64_t count = std::min<int64_t>(Threads(), parts - first);
    run.Together(first, count, clock);
    first += count;
  }
}

}  // namespace gradwire
