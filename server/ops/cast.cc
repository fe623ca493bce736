// Cast, CastLike.
#include <fmt/format.h>

#include <cstring>

#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/functors.h"

namespace gradwire {
namespace {

// Attribute `to`: a code, or in opset 1 its name: "FLOAT".
DType Target(const Attributes& attributes) {
  constexpr std::string_view kNames[] = {"UNDEFINED",  "FLOAT",   "UINT8",  "INT8",   "UINT16",
                                         "INT16",      "INT32",   "INT64",  "STRING", "BOOL",
                                         "FLOAT16",    "DOUBLE",  "UINT32", "UINT64", "COMPLEX64",
                                         "COMPLEX128", "BFLOAT16"};
  const AttributeValue* to = attributes.Find("to");
  if (to == nullptr || !std::holds_alternative<std::string>(*to)) {
    return DTypeFromCode(static_cast<int>(attributes.Int("to")));
  }
  const auto* at = std::find(std::begin(kNames), std::end(kNames), std::get<std::string>(*to));
  return DTypeFromCode(at == std::end(kNames) ? -1 : static_cast<int>(at - kNames));
}

Specs CastInfer(const OpCall& call) {
  const DType to = Target(call.attributes());
  if (!kDense.Contains(to)) {
    throw Error(reason::kOpUnsupported,
                fmt::format("cannot cast to {}; supported: {}", Name(to), kDense.ToString()));
  }
  return {{to, call.dims(0)}};
}

void CastCpu(KernelContext& context) {
  const Tensor& x = context.input(0);
  Tensor& y = context.output(0);
  Dispatch(DenseTypes{}, x.dtype(), [&]<class From>() {
    Dispatch(DenseTypes{}, y.dtype(), [&]<class To>() {
      Map(x.data<From>(), y.mutable_data<To>(), x.numel(), fn::Convert<To>());
    });
  });
}

// Nothing flows through integers.
Values CastVjp(const VjpCall& call) {
  const DType from = call.input_spec(0).dtype;
  if (!kGradTypes.Contains(from)) return {Value()};
  return {Cast(call.dy(), from)};
}

Values CastLikeDecompose(const OpCall& call) {
  return {Call("Cast", {call.input(0)}, {{"to", int64_t{static_cast<int>(call.dtype(1))}}})};
}

GRADWIRE_OP({.name = "Cast",
             .types = kDense,
             .attributes = {"to", "saturate", "round_mode"},
             .infer = CastInfer,
             .cpu = CastCpu,
             .vjp = CastVjp,
             .in_place = true});
GRADWIRE_OP({.name = "CastLike",
             .since = 15,
             .inputs = 2,
             .types = kDense,
             .attributes = {"saturate", "round_mode"},
             .decompose = CastLikeDecompose});

}  // namespace
}  // namespace gradwire
