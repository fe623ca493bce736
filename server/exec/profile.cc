#include "exec/profile.h"

#include <unistd.h>

#include "graph/flops.h"

namespace gradwire {
namespace {

// A record is an answer in the end. This many arrays' specs take about 30 MB there.
constexpr size_t kMaxSpecs = 1 << 18;
// Of a name that the client gave its node: loops repeat it.
constexpr size_t kMaxLabel = 256;

}  // namespace

void Profile::Begin(const Node& node) {
  specs_ += node.inputs().size() + node.num_outputs();
  is_full_ = is_full_ || specs_ > kMaxSpecs;
  if (is_full_) {
    ++left_out_;
    return;
  }
  ProfiledOp& run = runs_.emplace_back();
  run.op = &node.op();
  run.origin = node.origin();
  if (run.origin.label.size() > kMaxLabel) run.origin.label.resize(kMaxLabel);
  for (const Value& input : node.inputs()) {
    run.inputs.push_back(input ? std::optional(input.spec()) : std::nullopt);
  }
  for (size_t i = 0; i < node.num_outputs(); ++i) {
    run.outputs.push_back(node.output_slot(static_cast<int>(i))->spec);
  }
  if (const Flops flops = FlopsOf(node.op()); flops != nullptr) run.flops = flops(node);
  run.thread = gettid();
  run.began = run.ended = std::chrono::steady_clock::now();
}

void Profile::End() {
  if (!is_full_) runs_.back().ended = std::chrono::steady_clock::now();
}

}  // namespace gradwire
