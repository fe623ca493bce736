#include "graph/op_call.h"

#include <fmt/format.h>

#include <algorithm>

#include "graph/on_host.h"

namespace gradwire {
namespace {

template <class T>
std::vector<T> ToHost(const Value& value) {
  const Tensor host = OnHost(value);
  std::vector<T> elements(static_cast<size_t>(host.numel()));
  Dispatch(DenseTypes{}, host.dtype(), [&]<class From>() {
    const From* from = host.data<From>();
    for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<T>(from[i]);
  });
  return elements;
}

template <class T>
T OnlyOf(const std::vector<T>& elements, size_t i, const TensorSpec& spec) {
  if (elements.size() == 1) return elements[0];
  throw Error(reason::kShapeMismatch,
              fmt::format("input {} must have one element, got {}", i, ToString(spec)));
}

bool IsWidened(const Node& node) {
  const KernelTraits& traits = node.op().cuda_traits;
  return traits.halves != 0 && !traits.halves_vjp &&
         std::any_of(node.inputs().begin(), node.inputs().end(),
                     [](const Value& v) { return v && kHalves.Contains(v.dtype()); });
}

}  // namespace

const TensorSpec& OpCall::spec(size_t i) const {
  if (has(i)) return inputs_[i].spec();
  throw Error(reason::kInvalidArgument, fmt::format("input {} is missing", i));
}

std::vector<int64_t> OpCall::Ints(size_t i) const {
  if (!(kInts | kBool).Contains(dtype(i))) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("input {} must hold integers, got {}", i, ToString(spec(i))));
  }
  return ToHost<int64_t>(inputs_[i]);
}

std::vector<double> OpCall::Numbers(size_t i) const {
  spec(i);
  return ToHost<double>(inputs_[i]);
}

int64_t OpCall::Int(size_t i) const { return OnlyOf(Ints(i), i, spec(i)); }

double OpCall::Scalar(size_t i) const { return OnlyOf(Numbers(i), i, spec(i)); }

int OpCall::Axis(std::string_view name, int64_t fallback, size_t i) const {
  return NormalizeAxis(attributes_.Int(name, fallback), rank(i), std::string(name).c_str());
}

void OpCall::RequireType(size_t i, DTypeSet types) const {
  if (!has(i) || types.Contains(dtype(i))) return;
  throw Error(reason::kDtypeMismatch, fmt::format("input {} is {}, one of {} is expected", i,
                                                  ToString(spec(i)), types.ToString()));
}

void OpCall::RequireSameType(size_t i) const {
  if (dtype(i) == dtype(0)) return;
  throw Error(reason::kDtypeMismatch, fmt::format("input 0 is {}, input {} is {}: types differ",
                                                  ToString(spec(0)), i, ToString(spec(i))));
}

VjpCall::VjpCall(Node& node, const Values& dy, std::vector<bool> flows, std::vector<bool> needs)
    : node_(node),
      widened_(IsWidened(node)),
      dy_(dy),
      flows_(std::move(flows)),
      needs_(std::move(needs)) {
  for (Value& value : dy_) value = Widened(value);
}

Value VjpCall::Widened(const Value& value) const {
  if (!widened_ || !value || !kHalves.Contains(value.dtype())) return value;
  return Call("Cast", {value}, {{"to", int64_t{static_cast<int>(DType::kFloat32)}}});
}

TensorSpec VjpCall::Widened(TensorSpec spec) const {
  if (widened_ && kHalves.Contains(spec.dtype)) spec.dtype = DType::kFloat32;
  return spec;
}

Value VjpCall::input(size_t i) const { return Widened(Saved(node_.inputs()[i], "input", i)); }

Value VjpCall::output(size_t i) const {
  return Widened(Saved(node_.output(static_cast<int>(i)), "output", i));
}

Value VjpCall::Saved(const Value& value, const char* kind, size_t i) const {
  if (!value) return value;
  if (node_.freed() || value.slot()->state == Slot::State::kFreed) {
    throw Error(reason::kGraphFreed,
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                "graph are freed when you call .backward() or autograd.grad(). Specify "
                "retain_graph=True if you need to backward through the graph a second time or if "
                "you need to access saved tensors after calling backward.");
  }
  const bool declared = kind[0] == 'i' ? node_.SavesInput(i) : node_.SavesOutput(i);
  if (!declared) {
    throw Error(reason::kInternal,
                fmt::format("the VJP of {} reads {} {}, which `saves` does not name",
                            node_.op().name, kind, i));
  }
  return value;
}

}  // namespace gradwire
