#include "autograd/gradient.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "autograd/backward.h"
#include "core/error.h"
#include "graph/formula.h"

namespace gradwire {
namespace {

void RequireFloating(const Value& value, const char* what) {
  if ((kFloats | kHalves).Contains(value.dtype())) return;
  throw Error(reason::kDtypeMismatch, fmt::format("{} is {}: a floating element type is expected",
                                                  what, ToString(value.spec())));
}

// A place of its own in the graph, for a walk to end at; what is behind x stays behind it only
// where the result is to be differentiated again.
Value StandIn(const Value& x) {
  if (x.requires_grad() && Trace::Current().recording()) return Call("Identity", {x});
  const RecordingScope off(false);
  Value stand_in = Call("gradwire::Detach", {x});
  stand_in.slot()->leaf = std::make_shared<Leaf>();
  return stand_in;
}

// Whether a leaf that is none of `own` is behind y.
bool HasGraphBeside(const Value& y, const std::vector<Value>& own) {
  for (const Value& leaf : LeavesOf(std::array{y})) {
    const bool known = std::any_of(own.begin(), own.end(),
                                   [&](const Value& x) { return x.leaf() == leaf.leaf(); });
    if (!known) return true;
  }
  return false;
}

}  // namespace

Values GradientsOf(const TracedFunction& function, const Values& xs, const Values& zs) {
  std::vector<Value> places;
  Values inputs;
  for (const Value& x : xs) {
    RequireFloating(x, "an input of xs");
    places.push_back(StandIn(x));
    inputs.push_back(places.back());
  }
  inputs.insert(inputs.end(), zs.begin(), zs.end());
  const bool recording = Trace::Current().recording();
  const auto traced = [&] {
    const RecordingScope on(true);
    return function(inputs)[0];
  };
  const Value y = traced();
  RequireFloating(y, "y");
  Values gradients(xs.size());
  if (y.requires_grad()) {
    const bool again = recording && HasGraphBeside(y, places);
    const Value seed = Full(y.dims(), 1.0, y.dtype());
    const BackwardResult walk = Backward(std::array{y}, std::array{seed}, places,
                                         {.retain_graph = true, .create_graph = again});
    std::copy(walk.gradients.begin(), walk.gradients.end(), gradients.begin());
  }
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!gradients[i]) gradients[i] = ZerosLike(xs[i].spec());
  }
  return gradients;
}

}  // namespace gradwire
