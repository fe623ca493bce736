#include "graph/structured.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "graph/op_call.h"
#include "graph/trace.h"

namespace gradwire {
namespace {

// Says which input an error of Item is about.
template <class F>
decltype(auto) OfInput(size_t i, F&& f) {
  try {
    return f();
  } catch (Error& error) {
    error.Prefix(fmt::format("input {}: ", i));
    throw;
  }
}

template <class Map>
void CheckNames(const OpDef& op, const Map& map) {
  for (const auto& [name, value] : map) CheckAttribute(op, name);
}

}  // namespace

StructuredCall::StructuredCall(const OpDef& op, Items inputs, Attributes attributes,
                               int num_outputs, Bodies bodies, Types types)
    : op_(op),
      inputs_(std::move(inputs)),
      attributes_(std::move(attributes)),
      num_outputs_(num_outputs),
      bodies_(std::move(bodies)),
      types_(std::move(types)) {
  CheckNames(op, bodies_);
  CheckNames(op, types_);
}

const Item& StructuredCall::input(size_t i) const {
  if (has(i)) return inputs_[i];
  throw Error(reason::kInvalidArgument, fmt::format("input {} is missing", i));
}

const Value& StructuredCall::tensor(size_t i) const {
  return OfInput(i, [&]() -> const Value& { return input(i).tensor(); });
}

SequenceView StructuredCall::sequence(size_t i) const {
  return OfInput(i, [&] { return input(i).sequence(); });
}

int64_t StructuredCall::Int(size_t i) const {
  Values values(i + 1);
  values[i] = tensor(i);
  return OpCall(op_, values, attributes_, 1).Int(i);
}

const Body* StructuredCall::FindBody(std::string_view name) const {
  const auto found = bodies_.find(name);
  return found == bodies_.end() ? nullptr : found->second.get();
}

const ItemType* StructuredCall::FindType(std::string_view name) const {
  const auto found = types_.find(name);
  return found == types_.end() ? nullptr : &found->second;
}

const Body& StructuredCall::GetBody(std::string_view name, size_t inputs,
                                    size_t min_outputs) const {
  const Body* body = FindBody(name);
  if (body == nullptr) {
    throw Error(reason::kInvalidArgument, fmt::format("the graph '{}' is required", name));
  }
  if (body->num_inputs() != inputs || body->num_outputs() < min_outputs) {
    throw Error(reason::kInvalidArgument,
                fmt::format("the graph '{}' has {} inputs and {} outputs, the call wants {} and at "
                            "least {}",
                            name, body->num_inputs(), body->num_outputs(), inputs, min_outputs));
  }
  return *body;
}

bool IsStructured(const OpDef& op, const Items& inputs) {
  if (op.structured == nullptr) return false;
  const bool computes = op.cpu != nullptr || op.decompose != nullptr || op.alias;
  return !computes || std::any_of(inputs.begin(), inputs.end(),
                                  [](const Item& item) { return !item.is_tensor(); });
}

Items ApplyStructured(const StructuredCall& call) {
  const OpDef& op = call.op();
  std::vector<bool> given;
  for (const Item& item : call.inputs()) given.push_back(static_cast<bool>(item));
  CheckCall(op, given, call.attributes(), call.num_outputs());
  if (call.has(0) && call.input(0).is_tensor() && !op.types.Contains(call.tensor(0).dtype())) {
    RefuseType(op, call.tensor(0).dtype());
  }
  Items results = op.structured(call);
  if (results.size() >= static_cast<size_t>(call.num_outputs())) return results;
  throw Error(reason::kInvalidArgument, fmt::format("makes {} outputs, {} are asked for",
                                                    results.size(), call.num_outputs()));
}

}  // namespace gradwire
