#include "exec/by_sample.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "exec/pack.h"

namespace gradwire {
namespace {

// Of the arrays that an operator reads and makes of a part: so that they lie in a thread's share of
// the last cache. Samples that are smaller go together, which calls operators less often: of the
// time that they take undivided, 256 images of 28 x 28 through three convolutions take 0.69, 64 of
// 8 x 8 take 0.94.
constexpr int64_t kMostBytesOfOne = int64_t{8} << 20;
constexpr int64_t kMostBytesOfSeveral = int64_t{2} << 20;
// Times those: weights, which are read anew for each part.
constexpr int64_t kMostWeights = 2;
// One alone would not find in the cache what another has made.
constexpr int64_t kFewestConvolutions = 2;

constexpr int64_t kOfAnySize = 0;
constexpr size_t kMaxInputs = 31;
bool Has(uint32_t mask, size_t i) { return ((mask >> i) & 1u) != 0; }

// Whether an array is so many samples.
bool IsSamples(const TensorSpec& spec, int64_t samples) {
  return spec.rank() > 0 && spec.dims[0] == samples && spec.bytes() > 0 &&
         spec.dtype != DType::kString && BitWidth(spec.dtype) % 8 == 0;
}

TensorSpec OfPart(TensorSpec spec, int64_t samples) {
  spec.dims[0] = samples;
  return spec;
}

int64_t SamplesOf(const PlanStep& step) { return step.specs[0].dims[0]; }

// Steps of a plan that become one.
class Stretch {
 public:
  // For parts of so many samples.
  Stretch(const Plan& plan, const std::vector<int>& readers, int64_t samples)
      : plan_(plan), readers_(readers), samples_(samples) {
    whole_.by_sample = std::make_shared<BySample>();
  }

  // `apart`: which inputs are read sample by sample.
  void Add(const PlanStep& step, uint32_t apart) {
    PlanStep& of_part = part().steps.emplace_back(step);
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] != kNoArray) of_part.inputs[i] = Read(step.inputs[i], Has(apart, i));
    }
    of_part.specs[0] = OfPart(step.specs[0], samples_);
    const int output = step.outputs[0];
    of_part.outputs[0] = parts_[output] = NewArray(of_part.specs[0]);
    made_.push_back(output);
    by_sample().parts = SamplesOf(step) / samples_;
    if (step.op->packs == kPacksNothing) return;
    whole_.op = step.op;
    whole_.origin = step.origin;
  }

  // What others read of it is an output.
  PlanStep Step() && {
    for (const int array : made_) {
      if (read_[array] == readers_[static_cast<size_t>(array)]) continue;
      whole_.outputs.push_back(array);
      whole_.specs.push_back(plan_.specs[static_cast<size_t>(array)]);
      by_sample().outputs.push_back(parts_[array]);
    }
    part().kept = by_sample().outputs;
    MarkLastUses(part());
    return std::move(whole_);
  }

 private:
  BySample& by_sample() { return *whole_.by_sample; }
  Plan& part() { return by_sample().plan; }

  int NewArray(const TensorSpec& spec) {
    part().specs.push_back(spec);
    return static_cast<int>(part().specs.size()) - 1;
  }

  // The number of an array, or of a part of it.
  int Read(int array, bool apart) {
    ++read_[array];
    const auto [entry, is_new] = (apart ? parts_ : wholes_).try_emplace(array, kNoArray);
    if (is_new) {
      const TensorSpec& spec = plan_.specs[static_cast<size_t>(array)];
      entry->second = NewArray(apart ? OfPart(spec, samples_) : spec);
      whole_.inputs.push_back(array);
      by_sample().inputs.push_back({entry->second, apart});
    }
    return entry->second;
  }

  const Plan& plan_;
  const std::vector<int>& readers_;
  const int64_t samples_;
  PlanStep whole_;
  absl::flat_hash_map<int, int> parts_, wholes_;  // numbers in the plan of a part, by array
  absl::flat_hash_map<int, int> read_;            // how often, by array
  std::vector<int> made_;
};

class Splitting {
 public:
  Splitting(const Plan& plan, const NumberedTensors& constants, const PlanOptions& options,
            int threads)
      : plan_(plan), options_(options), threads_(threads), readers_(CountReaders(plan)) {
    for (const auto& [number, tensor] : constants) constants_.insert(number);
  }

  Plan Run() && {
    Plan result;
    result.specs = plan_.specs;
    result.kept = plan_.kept;
    for (size_t s = 0; s < plan_.steps.size();) {
      const size_t end = std::max(EndOfStretch(s, plan_.steps.size(), kOfAnySize), s + 1);
      if (ConvolutionsIn(s, end) >= kFewestConvolutions) {
        Divide(s, end, result);
      } else {
        AddAsTheyAre(s, end, result);
      }
      s = end;
    }
    MarkLastUses(result);
    return result;
  }

 private:
  const TensorSpec& SpecOf(int array) const { return plan_.specs[static_cast<size_t>(array)]; }

  // The inputs that a step reads sample by sample; 0: it does not make samples one by one.
  uint32_t ApartInputs(const PlanStep& step) const {
    const size_t inputs = step.inputs.size();
    const TensorSpec& y = step.specs[0];
    if (step.outputs.size() != 1 || step.outputs[0] == kNoArray || inputs > kMaxInputs ||
        y.rank() == 0 || y.dims[0] == 1 || !IsSamples(y, y.dims[0])) {
      return 0;
    }
    uint32_t apart = step.op->alias && inputs == 1 ? 1 : 0;
    if (step.op->samples != nullptr) apart = step.op->samples(step.attributes, y.rank());
    if (step.op->loop != nullptr && step.kernel == step.op->cpu) apart = ApartOperands(step);
    apart &= (uint32_t{1} << inputs) - 1;
    for (size_t i = 0; i < inputs; ++i) {
      if (!Has(apart, i)) continue;
      if (step.inputs[i] == kNoArray || !IsSamples(SpecOf(step.inputs[i]), y.dims[0])) return 0;
    }
    return apart;
  }

  // Of an elementwise step: what is not broadcast along the samples.
  uint32_t ApartOperands(const PlanStep& step) const {
    uint32_t apart = 0;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] == kNoArray) continue;
      const TensorSpec& spec = SpecOf(step.inputs[i]);
      if (spec.rank() == step.specs[0].rank() && spec.dims[0] != 1) apart |= uint32_t{1} << i;
    }
    return apart;
  }

  bool PacksConstant(const PlanStep& step) const {
    return step.op->packs != kPacksNothing &&
           constants_.contains(step.inputs[static_cast<size_t>(step.op->packs)]);
  }

  // Whether the arrays of a part are small enough, and large enough beside what is read whole.
  bool FitsCache(const PlanStep& step, uint32_t apart, int64_t samples) const {
    int64_t own = OfPart(step.specs[0], samples).bytes();
    int64_t whole = 0;
    Plan part;
    PlanStep of_part = step;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] == kNoArray) continue;
      of_part.inputs[i] = static_cast<int>(part.specs.size());
      const TensorSpec& spec = SpecOf(step.inputs[i]);
      part.specs.push_back(Has(apart, i) ? OfPart(spec, samples) : spec);
      (Has(apart, i) ? own : whole) += part.specs.back().bytes();
    }
    if (options_.winograd) whole = std::max(whole, BytesOfConstantForm(part, of_part));
    return own <= (samples == 1 ? kMostBytesOfOne : kMostBytesOfSeveral) &&
           whole <= kMostWeights * own;
  }

  // Whether the step goes with those before it, which made some arrays of `batch` samples, in parts
  // of so many.
  bool GoesOn(const PlanStep& step, int64_t batch, int64_t samples,
              const absl::flat_hash_set<int>& made) const {
    const uint32_t apart = ApartInputs(step);
    if (apart == 0 || SamplesOf(step) != batch) return false;
    if (step.op->packs != kPacksNothing && !PacksConstant(step)) return false;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (!Has(apart, i) && made.contains(step.inputs[i])) return false;
    }
    return samples == kOfAnySize || step.op->alias || FitsCache(step, apart, samples);
  }

  // The first step of [begin, end) that does not go with those before it.
  size_t EndOfStretch(size_t begin, size_t end, int64_t samples) const {
    absl::flat_hash_set<int> made;
    size_t s = begin;
    for (; s < end; ++s) {
      const TensorSpec& first = plan_.steps[begin].specs[0];
      if (first.rank() == 0 || !GoesOn(plan_.steps[s], first.dims[0], samples, made)) break;
      made.insert(plan_.steps[s].outputs[0]);
    }
    return s;
  }

  // Makes stretches of steps that go together but for what fits the caches.
  void Divide(size_t begin, size_t end, Plan& result) const {
    while (begin < end) {
      const auto [next, samples] = LongestFrom(begin, end);
      if (ConvolutionsIn(begin, next) >= kFewestConvolutions) {
        Stretch stretch(plan_, readers_, samples);
        for (; begin < next; ++begin) {
          stretch.Add(plan_.steps[begin], ApartInputs(plan_.steps[begin]));
        }
        result.steps.push_back(std::move(stretch).Step());
      } else {
        AddAsTheyAre(begin, std::max(next, begin + 1), result);
        begin = std::max(next, begin + 1);
      }
    }
  }

  void AddAsTheyAre(size_t begin, size_t end, Plan& result) const {
    for (; begin < end; ++begin) result.steps.push_back(plan_.steps[begin]);
  }

  struct Length {
    size_t end;
    int64_t samples;  // in a part
  };
  // Of as large parts as give the longest stretch.
  Length LongestFrom(size_t begin, size_t end) const {
    const int64_t batch = SamplesOf(plan_.steps[begin]);
    Length longest{begin, 1};
    for (int64_t parts = 2; parts <= batch; ++parts) {
      if (batch % parts != 0 || !KeepsBusy(parts)) continue;
      const size_t last = EndOfStretch(begin, end, batch / parts);
      if (last > longest.end) longest = {last, batch / parts};
    }
    return longest;
  }

  // Whether threads are seldom idle in the last round.
  bool KeepsBusy(int64_t parts) const {
    const int64_t in_rounds = (parts + threads_ - 1) / threads_ * threads_;
    return (in_rounds - parts) * 8 <= parts;
  }

  int64_t ConvolutionsIn(size_t begin, size_t end) const {
    const auto steps = std::span(plan_.steps).subspan(begin, end - begin);
    return std::count_if(steps.begin(), steps.end(),
                         [&](const PlanStep& step) { return PacksConstant(step); });
  }

  const Plan& plan_;
  const PlanOptions& options_;
  const int threads_;
  const std::vector<int> readers_;
  absl::flat_hash_set<int> constants_;
};

}  // namespace

Plan SplitBySample(const Plan& plan, const NumberedTensors& constants, const PlanOptions& options,
                   int threads) {
  return Splitting(plan, constants, options, threads).Run();
}

}  // namespace gradwire
