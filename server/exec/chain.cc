#include "exec/chain.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/parallel.h"

namespace gradwire {
namespace {

// What a thread keeps between links: about what its first-level cache holds.
constexpr int64_t kScratchBytes = int64_t{1} << 15;
constexpr int64_t kMostInTile = 2048;
constexpr int64_t kAlignment = 64;  // elements

// Where an array of the chain lies: that of `first` is at `data`.
struct Place {
  std::byte* data = nullptr;
  int64_t first = 0;
};

int64_t TileOf(const Chain& chain) {
  int64_t bytes = 0;
  for (size_t i = chain.inputs + chain.outputs; i < chain.widths.size(); ++i) {
    bytes += chain.widths[i];
  }
  if (bytes == 0) return kMostInTile;
  return std::min(kMostInTile, kScratchBytes / bytes / kAlignment * kAlignment);
}

void RunLink(const Chain& chain, const Chain::Link& link, std::span<const Place> places,
             int64_t begin, int64_t end) {
  const auto at_element = [&](int number, int64_t element) {
    const Place& place = places[static_cast<size_t>(number)];
    return place.data + (element - place.first) * chain.widths[static_cast<size_t>(number)];
  };
  link.walk.Run(begin, end, [&](const LoopWalk::Offsets& at, int64_t out, int64_t count) {
    LoopCall call{.steps = link.walk.steps(),
                  .output = at_element(link.result, out),
                  .count = count,
                  .attributes = link.attributes};
    for (size_t k = 0; k < link.operands.size(); ++k) {
      if (link.operands[k] >= 0) call.inputs[k] = at_element(link.operands[k], at[k]);
    }
    link.loop.run(call);
  });
}

// What one element costs, in the terms of Loop::grain.
int64_t GrainOf(const Chain& chain) {
  double cost = 0;
  for (const Chain::Link& link : chain.links) cost += 1.0 / static_cast<double>(link.loop.grain);
  return std::max(kAlignment, static_cast<int64_t>(1 / cost));
}

}  // namespace

void RunChain(const Chain& chain, std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const size_t scratch_begin = chain.inputs + chain.outputs;
  absl::InlinedVector<Place, 16> arrays(chain.widths.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    arrays[i].data = static_cast<std::byte*>(inputs[i].buffer()->data());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    arrays[chain.inputs + i].data = outputs[i].mutable_data<std::byte>();
  }
  const int64_t tile = TileOf(chain);
  ParallelFor(chain.numel, GrainOf(chain), [&](int64_t begin, int64_t end) {
    alignas(64) std::array<std::byte, kScratchBytes> scratch;
    absl::InlinedVector<Place, 16> places = arrays;
    std::byte* next = scratch.data();
    for (size_t i = scratch_begin; i < places.size(); ++i) {
      places[i].data = next;
      next += tile * chain.widths[i];
    }
    for (; begin < end; begin += tile) {
      for (size_t i = scratch_begin; i < places.size(); ++i) places[i].first = begin;
      const int64_t tile_end = std::min(end, begin + tile);
      for (const Chain::Link& link : chain.links) RunLink(chain, link, places, begin, tile_end);
    }
  });
}

}  // namespace gradwire
