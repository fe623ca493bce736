#include "graph/anomaly.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "core/half.h"
#include "graph/trace.h"

namespace gradwire {
namespace {

struct Found {
  bool nan = false;
  bool inf = false;
};

Found LookAt(const Tensor& tensor, Stream& stream) {
  Found found;
  if (!(kFloats | kHalves).Contains(tensor.dtype())) return found;
  const Tensor host = OnHost(tensor, stream);
  Dispatch(TypeList<float, double, Float16, BFloat16>{}, tensor.dtype(), [&]<class T>() {
    const T* data = host.data<T>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const auto x = static_cast<double>(data[i]);
      found.nan |= std::isnan(x);
      found.inf |= std::isinf(x);
    }
  });
  return found;
}

void Check(const Tensor& output, const Watch& watch, Stream& stream) {
  const Found found = LookAt(output, stream);
  if (!found.nan && !found.inf) return;
  Found before;
  for (const Value& input : watch.inputs) {
    if (!input || !input.ready()) continue;
    const Found one = LookAt(input.tensor(), stream);
    before.nan |= one.nan;
    before.inf |= one.inf;
  }
  if (!found.nan && (before.inf || before.nan)) return;
  const std::string_view made_from = before.nan   ? "NaN, which was among its inputs"
                                     : before.inf ? "NaN, its inputs hold Inf"
                                     : found.nan  ? "NaN, its inputs are finite"
                                                  : "Inf, its inputs are finite";
  const Error& error = watch.error;
  Error complete(error.reason(), fmt::format("{} holds {}", error.message(), made_from));
  for (const auto& [key, value] : error.metadata()) complete.With(key, value);
  throw complete;
}

}  // namespace

void WatchFor(const Value& value, const Error& error, const Values& inputs) {
  if (value.ready()) {
    Check(value.tensor(), {error, inputs}, Trace::Current().stream());
    return;
  }
  Node* node = value.node().get();
  if (node == nullptr || node->watch() != nullptr) return;
  const bool passed_on = std::any_of(inputs.begin(), inputs.end(), [&](const Value& input) {
    return input && input.node() != nullptr && input.node()->serial() >= node->serial();
  });
  if (passed_on) return;
  node->set_watch(std::make_unique<Watch>(Watch{error, inputs}));
}

void CheckWatch(const Node& node, const Watch& watch, Stream& stream) {
  for (size_t i = 0; i < node.num_outputs(); ++i) {
    Check(node.output_slot(static_cast<int>(i))->tensor, watch, stream);
  }
}

std::string Signature(std::string_view op, const Values& inputs,
                      std::span<const TensorSpec> outputs) {
  std::vector<std::string> in, out;
  for (const Value& input : inputs) in.push_back(input ? ToString(input.spec()) : "-");
  for (const TensorSpec& spec : outputs) out.push_back(ToString(spec));
  return fmt::format("{}({}) -> {}", op, fmt::join(in, ", "), fmt::join(out, ", "));
}

}  // namespace gradwire
