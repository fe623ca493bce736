#include "exec/epilogue.h"

#include <cstdint>
#include <utility>

namespace gradwire {
namespace {

constexpr size_t kBiasInput = 2;
constexpr const char* kEpilogue = "epilogue";

class EpilogueFusion {
 public:
  explicit EpilogueFusion(Plan plan)
      : plan_(std::move(plan)), readers_(CountReaders(plan_)), product_of_(plan_.specs.size()) {}

  // A product takes the place of what it takes over: the bias may be made just before that.
  Plan Run() && {
    for (PlanStep& step : plan_.steps) {
      if (PlanStep* const product = ProductFor(step)) {
        TakeOver(*product, step);
        std::swap(*product, step);
        product->op = nullptr;
      }
      if (HasEpilogues(step)) product_of_[static_cast<size_t>(step.outputs[0])] = &step;
    }
    std::erase_if(plan_.steps, [](const PlanStep& step) { return step.op == nullptr; });
    MarkLastUses(plan_);
    return std::move(plan_);
  }

 private:
  static bool HasEpilogues(const PlanStep& step) {
    return step.kernel != nullptr && step.kernel == step.op->cuda && step.outputs[0] != kNoArray &&
           step.op->cuda_traits.epilogues.Contains(step.specs[0].dtype);
  }
  static bool HasBias(const PlanStep& product) {
    return product.inputs.size() > kBiasInput && product.inputs[kBiasInput] != kNoArray;
  }
  // The input of an addition that is not the product's result; kNoArray for other operators.
  static int BiasOf(const PlanStep& product, const PlanStep& step) {
    if (step.op->epilogue != Epilogue::kBias) return kNoArray;
    return step.inputs[step.inputs[0] == product.outputs[0] ? 1 : 0];
  }

  // The product that can do what `step` does, or nullptr.
  PlanStep* ProductFor(const PlanStep& step) const {
    if (step.op->epilogue == Epilogue::kNone) return nullptr;
    for (const int input : step.inputs) {
      if (input == kNoArray || readers_[static_cast<size_t>(input)] != 1) continue;
      PlanStep* const product = product_of_[static_cast<size_t>(input)];
      if (product != nullptr && Takes(*product, step)) return product;
    }
    return nullptr;
  }

  bool Takes(const PlanStep& product, const PlanStep& step) const {
    if (product.attributes.Has(kEpilogue) || product.specs[0] != step.specs[0]) return false;
    if (step.op->epilogue != Epilogue::kBias) return true;
    const TensorSpec& bias = plan_.specs[static_cast<size_t>(BiasOf(product, step))];
    const int64_t columns = product.specs[0].dims.back();
    return !HasBias(product) && bias.dtype == product.specs[0].dtype && bias.rank() > 0 &&
           bias.dims.back() == columns && bias.numel() == columns;
  }

  static void TakeOver(PlanStep& product, const PlanStep& step) {
    if (const int bias = BiasOf(product, step); bias != kNoArray) {
      product.inputs.resize(kBiasInput + 1, kNoArray);
      product.inputs[kBiasInput] = bias;
    } else {
      product.attributes.Set(kEpilogue, static_cast<int64_t>(step.op->epilogue));
    }
    product.outputs = step.outputs;
  }

  Plan plan_;
  const std::vector<int> readers_;
  std::vector<PlanStep*> product_of_;  // by what it makes
};

}  // namespace

Plan FuseEpilogues(Plan plan) { return EpilogueFusion(std::move(plan)).Run(); }

}  // namespace gradwire
