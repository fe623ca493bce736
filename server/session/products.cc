// Transaction::Jvp and Hvp: names in, names or arrays out, around autograd/forward_mode.h.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "autograd/forward_mode.h"
#include "core/error.h"
#include "graph/formula.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

void CheckVector(const Value& vector, const Value& input, const std::string& name) {
  if (vector.dims() == input.dims() && vector.dtype() == input.dtype()) return;
  const bool shapes = vector.dims() != input.dims();
  throw Error(shapes ? reason::kShapeMismatch : reason::kDtypeMismatch,
              fmt::format("the vector for '{}' is {}, '{}' is {}", name, ToString(vector.spec()),
                          name, ToString(input.spec())))
      .With("tensor", name);
}

// Where the products go: names that were asked for, or with a prefix, or nowhere when they are only
// fetched.
std::vector<std::string> NamesOf(const ProductArgs& args, const std::vector<std::string>& of,
                                 const std::string& prefix) {
  if (!args.names.empty() && args.names.size() != of.size()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} names are given for {} products", args.names.size(), of.size()));
  }
  std::vector<std::string> names = args.names;
  if (!names.empty() || args.fetch) return names;
  for (const std::string& name : of) names.push_back(prefix + name);
  return names;
}

}  // namespace

std::vector<Value> Transaction::Vectors(const ProductArgs& args,
                                        const std::vector<Value>& inputs) const {
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    const auto rest = args.inputs.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    if (std::find(rest, args.inputs.end(), args.inputs[i]) == args.inputs.end()) continue;
    throw Error(reason::kInvalidArgument,
                fmt::format("the input '{}' is given twice", args.inputs[i]));
  }
  std::vector<Value> vectors;
  for (const Value& input : inputs) vectors.push_back(ZerosLike(input.spec()));
  for (const SeedArg& vector : args.vectors) {
    const auto input = std::find(args.inputs.begin(), args.inputs.end(), vector.of);
    if (input == args.inputs.end()) {
      throw Error(
          reason::kInvalidArgument,
          fmt::format("a vector is given for '{}', which is not among the inputs", vector.of));
    }
    const auto at = static_cast<size_t>(input - args.inputs.begin());
    vectors[at] = vector.value.has_value() ? Value(*vector.value) : Look(vector.tensor);
    CheckVector(vectors[at], inputs[at], vector.of);
  }
  return vectors;
}

ProductResult Transaction::Products(const ProductArgs& args, const std::vector<std::string>& names,
                                    BackwardResult walk) {
  for (NodePtr& node : walk.freed) freed_.push_back(std::move(node));
  ProductResult result;
  for (size_t i = 0; i < walk.gradients.size(); ++i) {
    const std::string name = names.empty() ? "" : names[i];
    if (!name.empty()) {
      Bind(name, walk.gradients[i]);
      result.products.push_back(Info(name, walk.gradients[i]));
    }
    if (!args.fetch) continue;
    Target(walk.gradients[i]);
    result.fetched.emplace_back(name, walk.gradients[i]);
  }
  return result;
}

ProductResult Transaction::Jvp(const ProductArgs& args) {
  if (args.outputs.empty()) throw Error(reason::kInvalidArgument, "'outputs' cannot be empty");
  if (args.vectors.empty()) throw Error(reason::kInvalidArgument, "'tangents' cannot be empty");
  trace_.set_detects_anomalies(args.detect_anomaly);
  const std::vector<std::string> names = NamesOf(args, args.outputs, "jvp/");
  const std::vector<Value> inputs = Inputs(args.inputs);
  return Products(args, names,
                  gradwire::Jvp(Roots(args.outputs), inputs, Vectors(args, inputs), args.options));
}

ProductResult Transaction::Hvp(const ProductArgs& args) {
  if (args.vectors.empty()) throw Error(reason::kInvalidArgument, "'vectors' cannot be empty");
  trace_.set_detects_anomalies(args.detect_anomaly);
  const std::vector<std::string> names = NamesOf(args, args.inputs, "hvp/");
  const std::vector<Value> inputs = Inputs(args.inputs);
  return Products(
      args, names,
      gradwire::Hvp(Roots(args.outputs)[0], inputs, Vectors(args, inputs), args.options));
}

}  // namespace gradwire
