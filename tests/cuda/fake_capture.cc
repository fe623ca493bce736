// Graphs of the device that the CPU plays: lists of what was queued.
#include <utility>

#include "core/error.h"
#include "tests/cuda/fake_driver.h"

namespace gradwire::testing {

void FakeDriver::RefuseAmidCapture(FakeQueue& queue, const char* what) {
  if (queue.captured == nullptr) return;
  queue.spoilt = true;
  throw Error(reason::kInternal, std::string(what) + " amid a capture");
}

void FakeDriver::BeginCapture(Queue queue) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  auto* fake = static_cast<FakeQueue*>(queue);
  RefuseAmidCapture(*fake, "another");
  ++captures_;
  fake->captured = std::make_unique<FakeGraph>();
  fake->spoilt = std::exchange(spoil_next_, false);
}

cuda::Driver::Graph FakeDriver::EndCapture(Queue queue) {
  const std::lock_guard lock(mutex_);
  ThrowIfBroken();
  auto* fake = static_cast<FakeQueue*>(queue);
  std::unique_ptr<FakeGraph> graph = std::move(fake->captured);
  if (graph == nullptr || fake->spoilt) throw Error(reason::kInternal, "the capture is spoilt");
  ++graphs_;
  return graph.release();
}

void FakeDriver::LaunchGraph(Queue queue, Graph graph) {
  ++graph_launches_;
  Run(queue, [graph] {
    for (const auto& work : *static_cast<FakeGraph*>(graph)) work();
  });
}

void FakeDriver::DeleteGraph(Queue queue, Graph graph) noexcept {
  const std::lock_guard lock(mutex_);
  if (problem_.empty()) DrainLocked(*static_cast<FakeQueue*>(queue), nullptr);
  --graphs_;
  delete static_cast<FakeGraph*>(graph);
}

}  // namespace gradwire::testing
