// Blocks of pixels to channels and back.
#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {
namespace {

int64_t BlockSize(const OpCall& call) {
  const int64_t block = call.attributes().Int("blocksize");
  if (call.rank(0) != 4) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}: rank 4 (NCHW) expected", ToString(call.spec(0))));
  }
  constexpr int64_t kMaxBlock = int64_t{1} << 14;  // times any extent it does not overflow
  if (block < 1 || block > kMaxBlock) {
    throw Error(reason::kInvalidArgument,
                fmt::format("blocksize is {}, must be in [1, {}]", block, kMaxBlock));
  }
  return block;
}

Values DecomposeDepthToSpace(const OpCall& call) {
  const int64_t b = BlockSize(call);
  const Dims& dims = call.dims(0);
  if (dims[1] % (b * b) != 0) {
    throw Error(reason::kShapeMismatch, fmt::format("{} has {} channels: no multiple of {} squared",
                                                    ToString(call.spec(0)), dims[1], b));
  }
  const int64_t depth = dims[1] / (b * b);
  const std::string mode = call.attributes().String("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") {
    throw Error(reason::kInvalidArgument, fmt::format("mode '{}' is neither DCR nor CRD", mode));
  }
  const Dims out = {dims[0], depth, dims[2] * b, dims[3] * b};
  if (mode == "DCR") {
    const Value apart = Reshape(call.input(0), {dims[0], b, b, depth, dims[2], dims[3]});
    return {Reshape(Transpose(apart, {0, 3, 4, 1, 5, 2}), out)};
  }
  const Value apart = Reshape(call.input(0), {dims[0], depth, b, b, dims[2], dims[3]});
  return {Reshape(Transpose(apart, {0, 1, 4, 2, 5, 3}), out)};
}

GRADWIRE_OP({.name = "DepthToSpace",
             .types = kMoved,
             .attributes = {"blocksize"},
             .decompose = DecomposeDepthToSpace});
GRADWIRE_OP({.name = "DepthToSpace",
             .since = 11,
             .types = kMoved,
             .attributes = {"blocksize", "mode"},
             .decompose = DecomposeDepthToSpace});

Values DecomposeSpaceToDepth(const OpCall& call) {
  const int64_t b = BlockSize(call);
  const Dims& dims = call.dims(0);
  if (dims[2] % b != 0 || dims[3] % b != 0) {
    throw Error(reason::kShapeMismatch, fmt::format("{} does not divide into blocks of {} by {}",
                                                    ToString(call.spec(0)), b, b));
  }
  const int64_t height = dims[2] / b;
  const int64_t width = dims[3] / b;
  const Value apart = Reshape(call.input(0), {dims[0], dims[1], height, b, width, b});
  return {Reshape(Transpose(apart, {0, 3, 5, 1, 2, 4}), {dims[0], dims[1] * b * b, height, width})};
}

GRADWIRE_OP({.name = "SpaceToDepth",
             .types = kMoved,
             .attributes = {"blocksize"},
             .decompose = DecomposeSpaceToDepth});

}  // namespace
}  // namespace gradwire
