// Chains of every elementwise operator that a GPU's kernel is generated for; for tests.
#ifndef GRADWIRE_TESTS_DEVICE_CHAIN_BENCH_H_
#define GRADWIRE_TESTS_DEVICE_CHAIN_BENCH_H_

#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/formula.h"
#include "graph/op.h"
#include "tests/unit/fusion_bench.h"

namespace gradwire::testing {

inline constexpr DType kChainTypes[] = {
    DType::kFloat32, DType::kFloat64, DType::kInt8,    DType::kInt16,  DType::kInt32,
    DType::kInt64,   DType::kUint8,   DType::kUint16,  DType::kUint32, DType::kUint64,
    DType::kBool,    DType::kFloat16, DType::kBfloat16};

class ChainBench : public FusionBench {
 public:
  using FusionBench::FusionBench;

  // Small numbers of any type.
  Value Numbers(const Dims& dims, DType dtype) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    const bool is_signed = !kUnsignedInts.Contains(dtype) && dtype != DType::kBool;
    std::uniform_real_distribution<double> numbers(is_signed ? -4 : 0, 5);
    for (double& element : elements) {
      element = numbers(random());
      if (dtype == DType::kBool) element = element < 2 ? 0 : 1;
      if (kInts.Contains(dtype)) element = static_cast<int>(element);
    }
    return bench().Make(dims, elements, dtype);
  }

  // Every elementwise operator that takes elements of this type, on the same two arrays; and casts
  // to every type.
  std::vector<Value> EachOperatorOf(DType dtype) {
    const Value x = Numbers({3, 37}, dtype);
    const Value y = Numbers({3, 37}, dtype);
    std::vector<Value> results = {Where(Numbers({3, 37}, DType::kBool), x, y)};
    for (const DType to : kChainTypes) {
      if (to != dtype) results.push_back(Cast(x, to));
    }
    const auto types_of = [&](const OpDef& op) {
      return TypesOf(op, bench().stream().device().type);
    };
    for (const OpDef* op : Registry::Global().All()) {
      if ((op->functor.type.empty() && op->loop == nullptr) || !types_of(*op).Contains(dtype))
        continue;
      if (op->name == "Cast" || op->name == "Where") continue;
      met_.insert(op->name);
      Attributes attributes;
      if (op->name == "BitShift") attributes.Set("direction", std::string("LEFT"));
      if (op->name == "Mod") attributes.Set("fmod", int64_t{(kFloats | kHalves).Contains(dtype)});
      Values inputs = {x};
      while (inputs.size() < static_cast<size_t>(op->inputs.min)) inputs.push_back(y);
      if (op->name == "Clip") inputs = {x, Value(), Numbers({}, dtype)};
      results.push_back(Apply(*op, inputs, attributes)[0]);
    }
    return results;
  }

  // The operators that EachOperatorOf has called.
  const std::set<std::string_view>& met() const { return met_; }

 private:
  std::set<std::string_view> met_{"Cast", "Where"};
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_DEVICE_CHAIN_BENCH_H_
