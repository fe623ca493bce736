#include "ops/activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "graph/formula.h"

namespace gradwire {
namespace {

// An activation's parameters where the attributes do not give them.
struct Defaults {
  std::string_view name;
  double alpha;
  std::optional<double> beta;  // absent where it has none
};
constexpr Defaults kDefaults[] = {
    {"affine", 1, 0.0},     {"leakyrelu", 0.01, {}},   {"thresholdedrelu", 1, {}},
    {"scaledtanh", 1, 1.0}, {"hardsigmoid", 0.2, 0.5}, {"elu", 1, {}},
};

std::vector<double> Floats(const Attributes& attributes, std::string_view name) {
  return attributes.Has(name) ? attributes.Floats(name) : std::vector<double>();
}

}  // namespace

Value Activation::operator()(const Value& x) const {
  if (name == "sigmoid") return Sigmoid(x);
  if (name == "tanh") return Tanh(x);
  if (name == "relu") return Call("Relu", {x});
  if (name == "affine") return x * alpha + beta;
  if (name == "leakyrelu") return Call("LeakyRelu", {x}, {{"alpha", alpha}});
  if (name == "thresholdedrelu") return Call("ThresholdedRelu", {x}, {{"alpha", alpha}});
  if (name == "scaledtanh") return Tanh(x * beta) * alpha;
  if (name == "hardsigmoid") return Call("HardSigmoid", {x}, {{"alpha", alpha}, {"beta", beta}});
  if (name == "elu") return Call("Elu", {x}, {{"alpha", alpha}});
  if (name == "softsign") return Call("Softsign", {x});
  if (name == "softplus") return Call("Softplus", {x});
  throw Error(reason::kInvalidArgument, fmt::format("activation '{}' is not known", name));
}

std::vector<Activation> Activations(const OpCall& call, const std::vector<std::string>& defaults,
                                    size_t directions) {
  std::vector<std::string> names;
  for (size_t d = 0; d < directions; ++d) {
    names.insert(names.end(), defaults.begin(), defaults.end());
  }
  if (call.attributes().Has("activations")) {
    const size_t wanted = names.size();
    names = call.attributes().Strings("activations");
    if (names.size() < wanted) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("{} activations are given, expected {}", names.size(), wanted));
    }
    names.resize(wanted);
  }
  const std::vector<double> alphas = Floats(call.attributes(), "activation_alpha");
  const std::vector<double> betas = Floats(call.attributes(), "activation_beta");
  size_t alpha = 0;
  size_t beta = 0;
  std::vector<Activation> activations;
  for (std::string& name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    Activation activation{std::move(name)};
    for (const Defaults& known : kDefaults) {
      if (known.name != activation.name) continue;
      activation.alpha = alpha < alphas.size() ? alphas[alpha++] : known.alpha;
      if (known.beta) activation.beta = beta < betas.size() ? betas[beta++] : *known.beta;
    }
    activations.push_back(std::move(activation));
  }
  return activations;
}

}  // namespace gradwire
