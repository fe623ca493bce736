// NonMaxSuppression: how many boxes are left decides the shape, so its inputs are read during the
// trace.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "graph/formula.h"
#include "graph/on_host.h"

namespace gradwire {
namespace {

struct BoxCorners {
  double y1, x1, y2, x2;  // y1 <= y2, x1 <= x2

  double area() const { return (y2 - y1) * (x2 - x1); }
};

// One box from its four numbers: two opposite corners (y, x, y, x), or centre and size (x, y, w,
// h).
template <class T>
BoxCorners ReadBox(const T* box, bool centered) {
  const double a = box[0], b = box[1], c = box[2], d = box[3];
  if (centered) return {b - d / 2, a - c / 2, b + d / 2, a + c / 2};
  return {std::min(a, c), std::min(b, d), std::max(a, c), std::max(b, d)};
}

// The area that both cover, divided by what one of them covers.
double IntersectionOverUnion(const BoxCorners& a, const BoxCorners& b) {
  const double height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return 0;
  const double common = height * width;
  return common / (a.area() + b.area() - common);
}

struct Limits {
  int64_t boxes = 0;  // of each class
  double overlap = 0;
  std::optional<double> score;
  bool centered = false;
};

// The boxes of one class that are kept, best first; of equal scores the first box is better.
template <class T>
std::vector<int64_t> Select(const T* boxes, const T* scores, int64_t count, const Limits& limits) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < count; ++i) {
    if (!limits.score || scores[i] > *limits.score) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  std::vector<int64_t> kept;
  std::vector<BoxCorners> corners;
  for (const int64_t i : order) {
    if (std::ssize(kept) >= limits.boxes) break;
    const BoxCorners box = ReadBox(boxes + i * 4, limits.centered);
    const bool covered = std::any_of(corners.begin(), corners.end(), [&](const BoxCorners& other) {
      return IntersectionOverUnion(box, other) > limits.overlap;
    });
    if (covered) continue;
    kept.push_back(i);
    corners.push_back(box);
  }
  return kept;
}

void CheckShapes(const OpCall& call) {
  call.RequireSameType(1);
  const bool ranks = call.rank(0) == 3 && call.rank(1) == 3;
  if (ranks && call.dims(0)[2] == 4 && call.dims(0)[0] == call.dims(1)[0] &&
      call.dims(0)[1] == call.dims(1)[2]) {
    return;
  }
  throw Error(reason::kShapeMismatch,
              fmt::format("boxes are {}, scores are {}: [batch,boxes,4] and [batch,classes,boxes] "
                          "are expected",
                          ToString(call.spec(0)), ToString(call.spec(1))));
}

Limits ReadLimits(const OpCall& call) {
  const auto given = [&](size_t i) { return call.has(i) && call.spec(i).numel() > 0; };
  Limits limits{.centered = call.attributes().Int("center_point_box", 0) != 0};
  if (given(2)) limits.boxes = static_cast<int64_t>(call.Scalar(2));
  if (given(3)) limits.overlap = call.Scalar(3);
  if (given(4)) limits.score = call.Scalar(4);
  return limits;
}

// int64[kept, 3]: batch, class and box.
Values DecomposeNonMaxSuppression(const OpCall& call) {
  CheckShapes(call);
  const Limits limits = ReadLimits(call);
  const Tensor boxes = OnHost(call.input(0));
  const Tensor scores = OnHost(call.input(1));
  const int64_t classes = scores.dims()[1];
  const int64_t count = scores.dims()[2];
  std::vector<int64_t> rows;
  Dispatch(FloatTypes{}, boxes.dtype(), [&]<class T>() {
    for (int64_t i = 0; i < boxes.dims()[0] * classes; ++i) {
      const T* batch = boxes.data<T>() + i / classes * count * 4;
      for (const int64_t box : Select(batch, scores.data<T>() + i * count, count, limits)) {
        rows.insert(rows.end(), {i / classes, i % classes, box});
      }
    }
  });
  return {Reshape(IntVector(rows), {std::ssize(rows) / 3, 3})};
}

GRADWIRE_OP({.name = "NonMaxSuppression",
             .since = 10,
             .inputs = {2, 5},
             .attributes = {"center_point_box"},
             .decompose = DecomposeNonMaxSuppression,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
