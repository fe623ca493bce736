// Sequences of tensors and optionals: rules of the trace. Positions are read while tracing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "graph/formula.h"
#include "graph/structured.h"

namespace gradwire {
namespace {

// The position in a sequence that input i names, negative ones from the end; `last`, which is also
// the highest, where the input is left out.
size_t Position(const StructuredCall& call, size_t i, size_t elements, int64_t last) {
  const auto count = static_cast<int64_t>(elements);
  const int64_t position = call.has(i) ? call.Int(i) : last;
  if (position < -count || position > last || last < 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("position {} of a sequence of {}", position, count));
  }
  return static_cast<size_t>(position < 0 ? position + count : position);
}

// Of an element.
size_t Position(const StructuredCall& call, size_t i, const SequenceView& sequence) {
  return Position(call, i, sequence.size(), static_cast<int64_t>(sequence.size()) - 1);
}

std::ptrdiff_t Offset(size_t position) { return static_cast<std::ptrdiff_t>(position); }

Items SequenceEmpty(const StructuredCall& call) {
  const int64_t code = call.attributes().Int("dtype", static_cast<int64_t>(DType::kFloat32));
  return {Sequence{DTypeFromCode(static_cast<int>(code)), {}}};
}

Items SequenceConstruct(const StructuredCall& call) {
  Sequence made;
  for (size_t i = 0; i < call.num_inputs(); ++i) made.elements.push_back(call.tensor(i));
  return {std::move(made)};
}

Items SequenceAt(const StructuredCall& call) {
  return {call.sequence(0).elements[Position(call, 1, call.sequence(0))]};
}

Items SequenceInsert(const StructuredCall& call) {
  const size_t elements = call.sequence(0).size();
  const size_t position = Position(call, 2, elements, static_cast<int64_t>(elements));
  if (position == elements) return {call.input(0).Append(call.tensor(1))};
  Sequence changed = call.sequence(0).Copy();
  changed.elements.insert(changed.elements.begin() + Offset(position), call.tensor(1));
  return {std::move(changed)};
}

Items SequenceErase(const StructuredCall& call) {
  const size_t position = Position(call, 1, call.sequence(0));
  Sequence changed = call.sequence(0).Copy();
  changed.elements.erase(changed.elements.begin() + Offset(position));
  return {std::move(changed)};
}

Items SequenceLength(const StructuredCall& call) {
  return {Scalar(static_cast<double>(call.sequence(0).size()), DType::kInt64)};
}

Items ConcatFromSequence(const StructuredCall& call) {
  const auto elements = call.sequence(0).elements;
  if (elements.empty()) throw Error(reason::kInvalidArgument, "the sequence is empty");
  const bool stacks = call.attributes().Int("new_axis", 0) != 0;
  const int rank = elements[0].rank() + (stacks ? 1 : 0);
  const int axis = NormalizeAxis(call.attributes().Int("axis"), rank, "axis");
  Values parts;
  for (const Value& element : elements) {
    parts.push_back(stacks ? Unsqueeze(element, {axis}) : element);
  }
  return {Concat(parts, axis)};
}

// Lengths of the parts that SplitToSequence makes of an extent.
std::vector<int64_t> PartLengths(const StructuredCall& call, int64_t extent) {
  if (call.has(1) && call.tensor(1).rank() != 0) {
    const Values inputs = {call.tensor(1)};
    return OpCall(call.op(), inputs, call.attributes(), 1).Ints(0);
  }
  const int64_t length = call.has(1) ? call.Int(1) : 1;
  if (length < 1) {
    throw Error(reason::kInvalidArgument, fmt::format("parts have a length of {}", length));
  }
  const int64_t parts = extent / length + (extent % length != 0 ? 1 : 0);
  if (parts > kMaxSequence) {
    throw Error(reason::kQuotaExceeded,
                fmt::format("a sequence has at most {} elements, got {}", kMaxSequence, parts));
  }
  std::vector<int64_t> lengths(static_cast<size_t>(parts), length);
  if (extent % length != 0) lengths.back() = extent % length;
  return lengths;
}

Items SplitToSequence(const StructuredCall& call) {
  const Value& x = call.tensor(0);
  const int axis = NormalizeAxis(call.attributes().Int("axis", 0), x.rank(), "axis");
  std::vector<int64_t> lengths = PartLengths(call, x.dims()[size_t(axis)]);
  const auto parts = static_cast<int>(lengths.size());
  Sequence made{x.dtype(), {}};
  if (parts == 0) return {std::move(made)};
  const bool squeezes = !call.has(1) && call.attributes().Int("keepdims", 1) == 0;
  const Values split = ApplyAll("gradwire::Split", {x},
                                {{"axis", int64_t{axis}}, {"split", std::move(lengths)}}, parts);
  for (const Value& part : split) {
    Dims dims = part.dims();
    if (squeezes) dims.erase(dims.begin() + axis);
    made.elements.push_back(squeezes ? Reshape(part, dims) : part);
  }
  return {std::move(made)};
}

OpDef Row(std::string_view name, Arity inputs, std::vector<std::string_view> attributes,
          Structured rule) {
  return {.name = name,
          .since = 11,
          .inputs = inputs,
          .types = kAnyType,
          .attributes = std::move(attributes),
          .structured = rule};
}

OpDef Constant(OpDef row) {
  row.differentiable = false;
  row.stops_gradient = true;
  return row;
}

GRADWIRE_OP(Constant(Row("SequenceEmpty", 0, {"dtype"}, SequenceEmpty)));
GRADWIRE_OP(Row("SequenceConstruct", {1, kVariadic}, {}, SequenceConstruct));
GRADWIRE_OP(Row("SequenceAt", 2, {}, SequenceAt));
GRADWIRE_OP(Row("SequenceInsert", {2, 3}, {}, SequenceInsert));
GRADWIRE_OP(Row("SequenceErase", {1, 2}, {}, SequenceErase));
GRADWIRE_OP(Constant(Row("SequenceLength", 1, {}, SequenceLength)));
GRADWIRE_OP(Row("ConcatFromSequence", 1, {"axis", "new_axis"}, ConcatFromSequence));
GRADWIRE_OP(Row("SplitToSequence", {1, 2}, {"axis", "keepdims"}, SplitToSequence));

// ---------------------------------------------------------------- optionals

Items Optional(const StructuredCall& call) {
  if (call.has(0)) return {call.input(0)};
  const ItemType* type = call.FindType("type");
  if (type != nullptr) return {Item::Empty(*type)};
  throw Error(reason::kInvalidArgument, "takes an input or the attribute 'type'");
}

Items OptionalHasElement(const StructuredCall& call) {
  const bool has = call.has(0) && !call.input(0).is_empty();
  return {Scalar(has ? 1 : 0, DType::kBool)};
}

Items OptionalGetElement(const StructuredCall& call) {
  if (!call.input(0).is_empty()) return {call.input(0)};
  throw Error(reason::kInvalidArgument, fmt::format("input 0 is {}", ToString(call.input(0))));
}

GRADWIRE_OP({.name = "Optional",
             .since = 15,
             .inputs = {0, 1},
             .types = kAnyType,
             .attributes = {"type"},
             .structured = Optional});
GRADWIRE_OP({.name = "OptionalHasElement",
             .since = 15,
             .inputs = {0, 1},
             .types = kAnyType,
             .structured = OptionalHasElement,
             .differentiable = false,
             .stops_gradient = true});
GRADWIRE_OP({.name = "OptionalGetElement",
             .since = 15,
             .types = kAnyType,
             .structured = OptionalGetElement});

}  // namespace
}  // namespace gradwire
