// Col2Im: overlapping blocks summed into the image that they were cut from.
#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {
namespace {

struct Blocking {
  Dims image, block, dilations, strides, begin;
  Dims padded;     // extents of the image with its padding
  Dims positions;  // of blocks along each axis
};

Blocking ReadBlocking(const OpCall& call) {
  const std::vector<int64_t> image = call.Ints(1);
  const std::vector<int64_t> block = call.Ints(2);
  const size_t rank = image.size();
  const Attributes& attributes = call.attributes();
  const std::vector<int64_t> pads = attributes.Ints("pads", std::vector<int64_t>(2 * rank, 0));
  const std::vector<int64_t> ones(rank, 1);
  const std::vector<int64_t> dilations = attributes.Ints("dilations", ones);
  const std::vector<int64_t> strides = attributes.Ints("strides", ones);
  if (block.size() != rank || pads.size() != 2 * rank || dilations.size() != rank ||
      strides.size() != rank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("image_shape {} and block_shape {}, pads, dilations or strides name "
                            "different numbers of axes",
                            ToString(image), ToString(block)));
  }
  Blocking b;
  for (size_t d = 0; d < rank; ++d) {
    const bool sound = image[d] >= 0 && block[d] >= 1 && dilations[d] >= 1 && strides[d] >= 1 &&
                       pads[d] >= 0 && pads[rank + d] >= 0;
    const int64_t padded = image[d] + pads[d] + pads[rank + d];
    const int64_t room = padded - dilations[d] * (block[d] - 1) - 1;
    if (!sound || room < 0) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("blocks of {} do not fit into {}", ToString(block), ToString(image)));
    }
    b.image.push_back(image[d]);
    b.block.push_back(block[d]);
    b.dilations.push_back(dilations[d]);
    b.strides.push_back(strides[d]);
    b.begin.push_back(pads[d]);
    b.padded.push_back(padded);
    b.positions.push_back(room / strides[d] + 1);
  }
  return b;
}

// Where each element of each block, blocks innermost, lies in the padded image.
std::vector<int64_t> PlacesOf(const Blocking& b) {
  std::vector<int64_t> places{0};
  const auto extend = [&places](int64_t count, int64_t step) {
    std::vector<int64_t> longer;
    for (const int64_t place : places) {
      for (int64_t i = 0; i < count; ++i) longer.push_back(place + i * step);
    }
    places = std::move(longer);
  };
  const Dims strides = Strides(b.padded);
  for (size_t d = 0; d < b.block.size(); ++d) extend(b.block[d], b.dilations[d] * strides[d]);
  for (size_t d = 0; d < b.block.size(); ++d) extend(b.positions[d], b.strides[d] * strides[d]);
  return places;
}

Values DecomposeCol2Im(const OpCall& call) {
  const Blocking b = ReadBlocking(call);
  const int64_t taps = NumElements(b.block);
  const int64_t positions = NumElements(b.positions);
  if (call.rank(0) != 3 || call.dims(0)[1] % taps != 0 || call.dims(0)[2] != positions) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("input is {}, [N, C*{}, {}] is expected for blocks of {} in {}",
                    ToString(call.spec(0)), taps, positions, ToString(b.block), ToString(b.image)));
  }
  const int64_t batch = call.dims(0)[0];
  const int64_t channels = call.dims(0)[1] / taps;
  const std::vector<int64_t> places = PlacesOf(b);
  const Value columns = Reshape(call.input(0), {batch * channels, taps * positions});
  const Value flat =
      Call("gradwire::ScatterAdd", {columns, IntVector(places)},
           {{"axis", int64_t{1}},
            {"shape", std::vector<int64_t>{batch * channels, NumElements(b.padded)}}});
  Dims padded{batch, channels};
  padded.insert(padded.end(), b.padded.begin(), b.padded.end());
  std::vector<int64_t> cut(2 * padded.size(), 0);
  for (size_t d = 0; d < b.image.size(); ++d) {
    cut[d + 2] = -b.begin[d];
    cut[padded.size() + d + 2] = b.begin[d] + b.image[d] - b.padded[d];
  }
  return {Call("gradwire::Pad", {Reshape(flat, padded)}, {{"pads", std::move(cut)}})};
}

GRADWIRE_OP({.name = "Col2Im",
             .since = 18,
             .inputs = 3,
             .types = kNumbers,
             .attributes = {"dilations", "pads", "strides"},
             .decompose = DecomposeCol2Im});

}  // namespace
}  // namespace gradwire
