// Steps that treat each sample of a batch by itself, run for a part of the batch at a time.
#ifndef GRADWIRE_EXEC_BY_SAMPLE_H_
#define GRADWIRE_EXEC_BY_SAMPLE_H_

#include <cstdint>
#include <vector>

#include "exec/plan.h"

namespace gradwire {

// What such a stretch of steps does, as one step (PlanStep::by_sample). Samples lie along the first
// axis of arrays.
struct BySample {
  struct Input {
    int number = kNoArray;  // in `plan`
    bool apart = false;     // whether samples read what is theirs, or all of it
  };

  int64_t parts = 0;          // of as many samples each
  Plan plan;                  // of one part
  std::vector<Input> inputs;  // of the step
  std::vector<int> outputs;   // of the step: numbers in `plan`
};

// The same plan, for the CPU, in which stretches of convolutions of constant weights and of what
// comes between them are run by each of `threads` threads for a sample at a time, or several small
// ones: what they make of it lies in the caches when it is read, and no thread waits for others at
// each operator. Not where weights are much larger than that, or threads would be idle at the end.
Plan SplitBySample(const Plan& plan, const NumberedTensors& constants, const PlanOptions& options,
                   int threads);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_BY_SAMPLE_H_
