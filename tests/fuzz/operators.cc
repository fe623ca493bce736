// Any bytes as a Run of operators that makes sense more often than not: arrays, nodes of any
// operator on them, a loss, its gradient, a step.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"
#include "tests/fuzz/commands.h"
#include "tests/fuzz/target.h"

namespace gradwire::fuzz {
namespace {

// Decisions drawn from bytes; zeros once they have run out.
class Draw {
 public:
  explicit Draw(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }
  // In [0, n), n up to 2^16.
  size_t Below(size_t n) {
    const size_t low = Byte();
    return (n > 256 ? low | static_cast<size_t>(Byte()) << 8 : low) % n;
  }
  bool OneIn(size_t n) { return Below(n) == n - 1; }
  template <class List>
  const auto& From(const List& list) {
    return list[Below(list.size())];
  }

 private:
  std::string_view bytes_;
};

const std::vector<int64_t> kNumbers = {0,         1,         2,   3,  -1, -2,  4,
                                       5,         7,         8,   11, 16, 100, -3,
                                       1 << 20,   6,         10,  13, 32, 255, int64_t{1} << 40,
                                       INT64_MAX, INT64_MIN, -100};
const std::vector<float> kFloats = {0, 1, -1, 0.5f, 2, 1e-30f, 1e30f, 3e38f, -0.0f, 1e-5f, 100, 3};
const std::vector<std::string> kWords = {"linear",        "nearest",
                                         "cubic",         "constant",
                                         "reflect",       "edge",
                                         "wrap",          "floor",
                                         "NOTSET",        "SAME_UPPER",
                                         "VALID",         "max",
                                         "min",           "add",
                                         "mul",           "bilinear",
                                         "zeros",         "border",
                                         "sum",           "mean",
                                         "none",          "DCR",
                                         "CRD",           "align_corners",
                                         "forward",       "reverse",
                                         "bidirectional", "tanh",
                                         "asymmetric",    "half_pixel",
                                         "ij,jk->ik",     "ii->i",
                                         "...i,i",        "round_prefer_ceil",
                                         "stretch",       "TFIDF",
                                         "HALF_PIXEL"};
const std::vector<int> kTypes = {1,  1,  1,  11, 11, 7, 7,  6,  9,  2,  3,
                                 10, 16, 12, 13, 4,  5, 14, 15, 17, 21, 22};

template <class Element>
void AppendElement(std::string& raw, Element element) {
  raw.append(reinterpret_cast<const char*>(&element), sizeof(element));
}

int64_t Extent(Draw& draw) {
  return draw.OneIn(64) ? draw.From(kNumbers) : static_cast<int64_t>(draw.Below(6));
}

void DrawArray(Draw& draw, v1::TensorProto& proto) {
  constexpr int64_t kMostElements = 4096;
  proto.set_data_type(draw.From(kTypes));
  int64_t count = 1;
  for (size_t rank = draw.Below(6); rank > 0; --rank) {
    const int64_t extent = Extent(draw);
    proto.add_dims(extent);
    count = extent < 0 || extent > kMostElements ? kMostElements
                                                 : std::min(count * extent, kMostElements);
  }
  std::string raw;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t number =
        draw.OneIn(8) ? draw.From(kNumbers) : static_cast<int64_t>(draw.Byte() % 8);
    const float real = draw.OneIn(8) ? draw.From(kFloats) : static_cast<float>(number);
    switch (proto.data_type()) {
      case 1:
      case 14:
        AppendElement(raw, real);
        break;
      case 11:
      case 15:
        AppendElement(raw, static_cast<double>(real));
        break;
      case 7:
      case 13:
        AppendElement(raw, number);
        break;
      case 6:
      case 12:
        AppendElement(raw, static_cast<int32_t>(number));
        break;
      default:
        raw.push_back(static_cast<char>(number));
    }
  }
  const std::vector<std::pair<int, size_t>> widths = {{4, 2},  {5, 2},  {10, 2},
                                                      {16, 2}, {14, 2}, {15, 2}};
  for (const auto& [type, width] : widths) {
    if (type == proto.data_type()) raw.resize(raw.size() * width, '\x3c');
  }
  if (proto.data_type() == 21 || proto.data_type() == 22) raw.resize((raw.size() + 1) / 2);
  proto.set_raw_data(raw);
}

void DrawAttribute(Draw& draw, std::string_view name, v1::AttributeProto& attribute) {
  using Proto = v1::AttributeProto;
  attribute.set_name(std::string(name));
  switch (draw.Below(8)) {
    case 0:
      attribute.set_type(Proto::FLOAT);
      attribute.set_f(draw.From(kFloats));
      break;
    case 1:
      attribute.set_type(Proto::STRING);
      attribute.set_s(draw.From(kWords));
      break;
    case 2:
      attribute.set_type(Proto::FLOATS);
      for (size_t n = draw.Below(5); n > 0; --n) attribute.add_floats(draw.From(kFloats));
      break;
    case 3:
      attribute.set_type(Proto::STRINGS);
      for (size_t n = draw.Below(4); n > 0; --n) attribute.add_strings(draw.From(kWords));
      break;
    case 4:
      attribute.set_type(Proto::TENSOR);
      DrawArray(draw, *attribute.mutable_t());
      break;
    case 5:
    case 6:
      attribute.set_type(Proto::INTS);
      for (size_t n = draw.Below(7); n > 0; --n) attribute.add_ints(draw.From(kNumbers));
      break;
    default:
      attribute.set_type(Proto::INT);
      attribute.set_i(draw.From(kNumbers));
  }
}

// A call of any operator on names that are there; its first output is the next name.
void DrawNode(Draw& draw, std::vector<std::string>& names, v1::ForwardRequest& forward) {
  static const std::vector<const OpDef*> all = Registry::Global().All();
  const OpDef& op = *draw.From(all);
  v1::NodeProto& node = *forward.add_nodes();
  node.set_op_type(std::string(op.name));
  node.set_domain(std::string(op.domain));
  if (!draw.OneIn(4)) {
    v1::OperatorSetIdProto& import = *forward.add_opset_import();
    import.set_domain(std::string(op.domain));
    import.set_version(op.since);
  }
  const size_t most = static_cast<size_t>(std::min(op.inputs.max, 6));
  const size_t least = std::min<size_t>(static_cast<size_t>(op.inputs.min), most);
  for (size_t n = least + draw.Below(most - least + 1); n > 0; --n) {
    node.add_input(draw.OneIn(16) ? "" : draw.From(names));
  }
  for (const std::string_view attribute : op.attributes) {
    if (draw.OneIn(2)) DrawAttribute(draw, attribute, *node.add_attribute());
  }
  const size_t outputs = 1 + draw.Below(static_cast<size_t>(std::clamp(op.outputs.max, 1, 4)));
  for (size_t i = 0; i < outputs; ++i) {
    node.add_output(fmt::format("n{}.{}", forward.nodes_size(), i));
    names.push_back(node.output(static_cast<int>(i)));
  }
}

// The sum of the squares of what the last node made, and its gradients.
void DrawGradient(Draw& draw, const std::string& last, v1::RunRequest& request,
                  v1::ForwardRequest& forward) {
  v1::NodeProto& square = *forward.add_nodes();
  square.set_op_type("Mul");
  square.add_input(last);
  square.add_input(last);
  square.add_output("square");
  v1::NodeProto& sum = *forward.add_nodes();
  sum.set_op_type("ReduceSum");
  sum.add_input("square");
  sum.add_output("loss");
  v1::AttributeProto& keepdims = *sum.add_attribute();
  keepdims.set_name("keepdims");
  keepdims.set_type(v1::AttributeProto::INT);
  v1::BackwardRequest& backward = *request.add_commands()->mutable_backward();
  backward.add_roots("loss");
  backward.set_create_graph(draw.OneIn(4));
  backward.set_detect_anomaly(draw.OneIn(8));
  if (draw.OneIn(4)) {
    v1::StepRequest& step = *request.add_commands()->mutable_step();
    step.mutable_adam()->set_lr(draw.From(kFloats));
    step.set_clip_norm(draw.From(kFloats));
  }
}

void Operators(std::string_view bytes) {
  Draw draw(bytes);
  v1::RunRequest request;
  std::vector<std::string> names = {"kept"};
  const bool trained = draw.OneIn(2);
  for (size_t n = 1 + draw.Below(4); n > 0; --n) {
    v1::PutRequest& put = *request.add_commands()->mutable_put();
    v1::TensorProto& tensor = *put.add_tensors();
    DrawArray(draw, tensor);
    tensor.set_name(fmt::format("x{}", n));
    names.push_back(tensor.name());
    put.set_requires_grad(trained && (tensor.data_type() == 1 || tensor.data_type() == 11));
  }
  v1::Command& command = *request.add_commands();
  v1::ForwardRequest& forward = *command.mutable_forward();
  for (size_t n = 1 + draw.Below(3); n > 0; --n) DrawNode(draw, names, forward);
  forward.set_no_grad(draw.OneIn(16));
  forward.set_checkpoint(draw.OneIn(16) ? 2 : 0);
  forward.set_profile(draw.OneIn(16));
  if (trained) DrawGradient(draw, names.back(), request, forward);
  RunInSession(request);
}

const bool added = AddTarget("operators", Operators);

}  // namespace
}  // namespace gradwire::fuzz
