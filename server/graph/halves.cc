#include "graph/halves.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "graph/trace.h"

namespace gradwire {
namespace {

constexpr bool HasBit(uint32_t bits, size_t i) {
  return ((bits >> std::min<size_t>(i, 31)) & 1u) != 0;
}

// The node that makes the value, where it has yet to run.
const Node* PendingNode(const Value& x) {
  const Node* const node = x.node().get();
  return node == nullptr || node->has_run() ? nullptr : node;
}

bool IsCast(const Node& node) {
  static const OpDef& cast = Registry::Global().Latest("Cast");
  return &node.op() == &cast;
}
// Whether the node moves the elements of its one input, whatever their type: before a cast or after
// one is the same.
bool IsMove(const Node& node) {
  static const auto moves = [] {
    const Registry& registry = Registry::Global();
    return std::array{&registry.Latest("Reshape", "gradwire"),
                      &registry.Latest("Expand", "gradwire"), &registry.Latest("Transpose")};
  }();
  return std::find(moves.begin(), moves.end(), &node.op()) != moves.end();
}

// Moves between a cast and what is computed that are looked through.
constexpr int kMostMoves = 4;

class Narrowing {
 public:
  explicit Narrowing(DType half) : half_(half) {}

  Value Of(const Value& x, int moves = kMostMoves) {
    if (Value source = SourceOf(x, kMostMoves, /*flows=*/true)) return source;
    const Node* const node = PendingNode(x);
    if (node != nullptr && IsMove(*node) && moves > 0) {
      return MoveLike(*node, Of(node->inputs()[0], moves - 1));
    }
    Value y = node == nullptr ? x : Made(*node, x.index(), x);
    if (y.dtype() == half_) return y;
    return Call("Cast", {y}, {{"to", int64_t{static_cast<int>(half_)}}});
  }

  // The same result of the call without casts, where there is one by now.
  Value Other(const Value& x) const {
    const auto found = calls_.find(x.node().get());
    if (found == calls_.end() || found->second.empty()) return x;
    const Value& y = found->second[static_cast<size_t>(x.index())];
    return y.dtype() == x.dtype() ? y : x;
  }

 private:
  // What was cast to make x; absent where x is nothing but that. Where something flows through x,
  // it must through all of this, too: a cast may have been traced so that nothing does.
  Value SourceOf(const Value& x, int moves, bool flows) const {
    const Node* const node = PendingNode(x);
    if (node == nullptr || x.dtype() != DType::kFloat32) return {};
    Value source;
    if (IsCast(*node) && node->inputs()[0].dtype() == half_) {
      source = node->inputs()[0];
    } else if (IsMove(*node) && moves > 0) {
      source = SourceOf(node->inputs()[0], moves - 1, flows && node->recorded());
      if (source) source = MoveLike(*node, source);
    }
    const bool differs = source && source.requires_grad() != x.requires_grad();
    return flows && differs ? Value() : source;
  }

  static Value MoveLike(const Node& node, const Value& x) {
    const RecordingScope as_before(node.recorded());
    return ApplyRow(node.op(), {x}, node.attributes(), 1)[0];
  }

  Value Made(const Node& node, int index, const Value& otherwise) {
    const auto [call, is_new] = calls_.try_emplace(&node);
    if (is_new) call->second = WithoutCasts(node);
    return call->second.empty() ? otherwise : call->second[static_cast<size_t>(index)];
  }

  // The node's call without casts; nothing where it has to have them.
  Values WithoutCasts(const Node& node) const {
    const uint32_t halves = node.op().cuda_traits.halves;
    if (halves == 0) return {};
    Values inputs = node.inputs();
    bool casts = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i] || !HasBit(halves, i) || inputs[i].dtype() != DType::kFloat32) continue;
      inputs[i] = SourceOf(inputs[i], kMostMoves, node.recorded());
      if (!inputs[i]) return {};
      casts = true;
    }
    const RecordingScope as_before(node.recorded());
    if (!casts || !TakesHalves(node.op(), inputs)) return {};
    return ApplyRow(node.op(), std::move(inputs), node.attributes(),
                    static_cast<int>(node.num_outputs()));
  }

  const DType half_;
  absl::flat_hash_map<const Node*, Values> calls_;  // nothing: as it was
};

}  // namespace

bool TakesHalves(const OpDef& op, const Values& inputs) {
  const Trace& trace = Trace::Current();
  const uint32_t halves = op.cuda_traits.halves;
  if (halves == 0 || trace.device().type != DeviceType::kCuda) return false;
  DType half = DType::kUndefined;
  bool requires_grad = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    const DType dtype = inputs[i].dtype();
    if (kHalves.Contains(dtype)) {
      if (!HasBit(halves, i) || (half != DType::kUndefined && dtype != half)) return false;
      half = dtype;
    } else if (HasBit(halves, i) && kFloats.Contains(dtype)) {
      return false;
    }
    requires_grad = requires_grad || inputs[i].requires_grad();
  }
  const bool decomposes =
      trace.recording() && op.differentiable && op.vjp == nullptr && requires_grad;
  return half != DType::kUndefined && !decomposes;
}

Values Narrow(Values results, DType half, uint32_t which) {
  Narrowing narrowing(half);
  const Values before = results;  // whose nodes are known by their addresses
  std::vector<bool> done(results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    done[i] = results[i] && HasBit(which, i) && results[i].dtype() == DType::kFloat32;
    if (done[i]) results[i] = narrowing.Of(results[i]);
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i] && !done[i]) results[i] = narrowing.Other(results[i]);
  }
  return results;
}

}  // namespace gradwire
