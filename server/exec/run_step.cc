#include "exec/run_step.h"

#include <algorithm>
#include <span>
#include <utility>

#include "exec/chain.h"

namespace gradwire {
namespace {

class Part : public Buffer {
 public:
  Part(BufferPtr whole, size_t offset, size_t bytes)
      : Buffer(static_cast<std::byte*>(whole->data()) + offset, bytes, whole->device()),
        whole_(std::move(whole)) {}

 private:
  const BufferPtr whole_;
};

// Output i: in its place, in the memory of an input that is no longer read, or in new memory.
// `donor(may_donate)`: the buffer of the first fitting input that may be overwritten.
template <class Donor>
Tensor OutputOf(const PlanStep& step, size_t i, const StepArrays& call, Stream& stream,
                Places* places, const Donor& donor) {
  const int output = step.outputs[i];
  const TensorSpec& spec = step.specs[i];
  BufferPtr buffer;
  if (places != nullptr && output != kNoArray) {
    buffer = places->Of(output, static_cast<size_t>(spec.bytes()));
  }
  if (buffer == nullptr) {
    buffer = donor([&](size_t k) {
      return step.last_use[k] && call.inputs[k].buffer().use_count() == 1 &&
             (places == nullptr || places->MayTakeOver(step.inputs[k], output));
    });
  }
  return buffer ? Tensor(spec, std::move(buffer)) : AllocateTensor(stream, spec);
}

void RunOperator(const PlanStep& step, StepArrays& call, Stream& stream, Places* places) {
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    if (step.op->alias) {
      call.outputs.emplace_back(step.specs[i], call.inputs[i].buffer());
      continue;
    }
    call.outputs.push_back(OutputOf(step, i, call, stream, places, [&](const auto& donates) {
      return i == 0 ? DonatedBy(*step.op, call.inputs, step.specs[0], donates) : nullptr;
    }));
  }
  RunStepAgain(step, call, stream);
}

void RunLinks(const PlanStep& step, StepArrays& call, Stream& stream, Places* places) {
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    call.outputs.push_back(OutputOf(step, i, call, stream, places, [&](const auto& donates) {
      const std::vector<size_t>& donors = step.chain->donors[i];
      const auto donor = std::find_if(donors.begin(), donors.end(), donates);
      return donor != donors.end() ? call.inputs[*donor].buffer() : nullptr;
    }));
  }
  const std::span results(call.outputs.data(), call.outputs.size());
  const auto& generated = step.chain->generated;
  generated ? generated->Run(call.inputs, results, stream)
            : RunChain(*step.chain, call.inputs, results);
}

// In memory that no input has.
void AllocateOutputs(const PlanStep& step, StepArrays& call, Stream& stream, Places* places) {
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const auto no_donor = [](const auto&) { return BufferPtr(); };
    call.outputs.push_back(OutputOf(step, i, call, stream, places, no_donor));
  }
}

}  // namespace

BufferPtr PartOf(const BufferPtr& whole, size_t offset, size_t bytes) {
  return std::make_shared<Part>(whole, offset, bytes);
}

StepArrays RunStep(const PlanStep& step, std::vector<Tensor>& arrays, Stream& stream,
                   Places* places, const RunsBySample& by_sample) {
  StepArrays call;
  Placed(*step.op, step.origin, [&] {
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] == kNoArray) {
        call.inputs.emplace_back();
        continue;
      }
      Tensor& array = arrays[static_cast<size_t>(step.inputs[i])];
      call.inputs.push_back(step.last_use[i] ? std::move(array) : array);
    }
    if (step.by_sample != nullptr) {
      AllocateOutputs(step, call, stream, places);
      by_sample(step, call);
    } else if (step.chain != nullptr) {
      RunLinks(step, call, stream, places);
    } else {
      RunOperator(step, call, stream, places);
    }
  });
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    if (step.outputs[i] != kNoArray) arrays[static_cast<size_t>(step.outputs[i])] = call.outputs[i];
  }
  return call;
}

void RunStepAgain(const PlanStep& step, StepArrays& arrays, Stream& stream) {
  if (step.op->alias) return;
  RunKernel({*step.op, step.kernel, step.attributes, step.origin, step.packed.get()}, arrays.inputs,
            arrays.outputs, stream);
}

void Ran(OpClock& clock, const PlanStep& step, int runs) {
  step.chain != nullptr ? clock.Ran(step.chain->ops, runs) : clock.Ran(*step.op, runs);
}

}  // namespace gradwire
