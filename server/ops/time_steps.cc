#include "ops/time_steps.h"

namespace gradwire {

Value ProductGrad(const TimeSteps& steps, const Value& dproducts, const Value& states,
                  const Value& initial) {
  const int64_t r_rows = dproducts.dims()[2];
  if (steps.length == 0) return Full({r_rows, steps.hidden}, 0, states.dtype());
  const int64_t first = steps.reverse ? 1 : 0;
  const Value first_step = Unsqueeze(initial, {0});
  const Value others = Slice(states, {first}, {first + steps.length - 1}, {0}, {1});
  const Value before =
      Concat(steps.reverse ? Values{others, first_step} : Values{first_step, others}, 0);
  const int64_t rows = steps.length * steps.batch;
  return MatMul(Reshape(dproducts, {rows, r_rows}), Reshape(before, {rows, steps.hidden}),
                /*transpose_a=*/true);
}

Steps::Steps(const Value& sequence) {
  if (!sequence || sequence.dims()[0] == 0) return;
  const Dims& dims = sequence.dims();
  const std::vector<int64_t> ones(static_cast<size_t>(dims[0]), 1);
  parts_ = ApplyAll("gradwire::Split", {sequence}, {{"axis", int64_t{0}}, {"split", ones}},
                    static_cast<int>(dims[0]));
  for (Value& part : parts_) part = Reshape(part, {dims.begin() + 1, dims.end()});
}

Value Stack(Values steps, const TensorSpec& spec) {
  if (steps.empty()) return ZerosLike(spec);
  for (Value& step : steps) step = Unsqueeze(step, {0});
  return Concat(steps, 0);
}

Values CutColumns(const Value& x, int64_t parts) {
  const std::vector<int64_t> split(static_cast<size_t>(parts), x.dims()[1] / parts);
  return ApplyAll("gradwire::Split", {x}, {{"axis", int64_t{1}}, {"split", split}},
                  static_cast<int>(parts));
}

std::string SpecsOf(const OpCall& call) {
  std::string specs;
  for (size_t i = 0; i < call.num_inputs(); ++i) {
    if (i > 0) specs += ", ";
    specs += call.has(i) ? ToString(call.spec(i)) : "none";
  }
  return specs;
}

}  // namespace gradwire
