#include "rpc/functions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/error.h"
#include "rpc/model_check.h"
#include "rpc/node.h"

namespace gradwire::rpc {
namespace {

// Calls of calls can multiply a small model without end.
constexpr size_t kMaxDepth = 100;
constexpr size_t kMaxBytes = size_t{256} << 20;

Error Invalid(std::string message) { return {reason::kInvalidModel, std::move(message)}; }

using AttributeMap = absl::flat_hash_map<std::string, const v1::AttributeProto*>;

// One call, or a graph within its body: what names and attributes stand for.
struct Frame {
  absl::flat_hash_map<std::string, std::string> names = {};
  AttributeMap attributes = {};
  const Frame* outer = nullptr;  // of a graph; the call's frame has the attributes

  // Null where nothing makes the name.
  const std::string* Find(const std::string& name) const {
    const auto found = names.find(name);
    if (found != names.end()) return &found->second;
    return outer == nullptr ? nullptr : outer->Find(name);
  }
  const std::string& NameOf(const std::string& name) const {
    if (const std::string* found = Find(name)) return *found;
    throw Invalid(fmt::format("nothing makes '{}'", name));
  }
  const AttributeMap& CallAttributes() const {
    return outer == nullptr ? attributes : outer->CallAttributes();
  }
};

class Expander {
 public:
  explicit Expander(const v1::ModelProto& model) {
    for (const auto& function : model.functions()) {
      functions_.emplace(FunctionId(function), &function);
    }
    Take(model.graph());
    ForEachNode(model.graph().node(), [&](const v1::NodeProto& node) {
      for (const auto& [name, graph] : GraphsOf(node)) Take(*graph);
    });
  }

  std::vector<NodeDef> Expand(const v1::ModelProto& model) {
    const OpsetImports imports = DecodeImports(model.opset_import());
    std::vector<NodeDef> nodes;
    for (int i = 0; i < model.graph().node_size(); ++i) {
      Add(model.graph().node(i), {imports, i, model.graph().node(i).name()}, nodes);
    }
    return nodes;
  }

 private:
  void Take(const v1::GraphProto& graph) {
    for (const auto& input : graph.input()) taken_.insert(input.name());
    for (const auto& initializer : graph.initializer()) taken_.insert(initializer.name());
    for (const auto& sparse : graph.sparse_initializer()) taken_.insert(sparse.values().name());
    for (const auto& node : graph.node()) {
      taken_.insert(node.output().begin(), node.output().end());
    }
  }

  void Add(const v1::NodeProto& node, const NodePlace& place, std::vector<NodeDef>& nodes) {
    const auto found = functions_.find(FunctionId(node));
    if (found == functions_.end()) {
      const DecodeInner inner = [this](const v1::NodeProto& in_graph, const NodePlace& at,
                                       std::vector<NodeDef>& to) { AddInner(in_graph, at, to); };
      nodes.push_back(DecodeNode(node, place, inner));
      return;
    }
    try {
      const std::string label = place.label.empty() ? node.op_type() : place.label;
      AddCall(node, *found->second, {place.imports, place.index, label}, nodes);
    } catch (Error& error) {
      if (!error.metadata().contains("node")) {
        Place(error, {.op_type = node.op_type(), .label = place.label, .index = place.index});
      }
      throw;
    }
  }

  // A node of a graph among another's attributes.
  void AddInner(const v1::NodeProto& node, const NodePlace& place, std::vector<NodeDef>& nodes) {
    if (depth_ >= kMaxDepth) {
      throw Invalid(fmt::format("graphs are nested more than {} deep", kMaxDepth));
    }
    ++depth_;
    Add(node, place, nodes);
    --depth_;
  }

  void AddCall(const v1::NodeProto& call, const v1::FunctionProto& function, const NodePlace& place,
               std::vector<NodeDef>& nodes) {
    const std::string& label = place.label;
    CheckDepth(function);
    Frame frame = FrameOf(call, function);
    const OpsetImports imports = DecodeImports(function.opset_import());
    stack_.push_back(&function);
    for (int i = 0; i < function.node_size(); ++i) {
      const v1::NodeProto node = Instantiate(function.node(i), frame, label);
      bytes_ += node.ByteSizeLong() + label.size() + sizeof(NodeDef);
      if (bytes_ > kMaxBytes) {
        throw Invalid(fmt::format("the calls of functions come to more than {} bytes", kMaxBytes));
      }
      const std::string own = node.name().empty() ? std::to_string(i) : node.name();
      Add(node, {imports, place.index, fmt::format("{}/{}", label, own)}, nodes);
    }
    stack_.pop_back();
    PassThrough(call, function, frame, place, nodes);
  }

  void CheckDepth(const v1::FunctionProto& function) const {
    if (stack_.size() >= kMaxDepth) {
      throw Invalid(fmt::format("functions are nested more than {} deep", kMaxDepth));
    }
    const auto first = std::find(stack_.begin(), stack_.end(), &function);
    if (first == stack_.end()) return;
    std::vector<std::string> cycle;
    for (auto it = first; it != stack_.end(); ++it) cycle.push_back(FunctionId(**it));
    cycle.push_back(FunctionId(function));
    throw Invalid(fmt::format("a function may not call itself: {}", fmt::join(cycle, " calls ")));
  }

  static Frame FrameOf(const v1::NodeProto& call, const v1::FunctionProto& function) {
    if (call.input_size() > function.input_size() || call.output_size() > function.output_size()) {
      throw Invalid(fmt::format("function {} has {} inputs and {} outputs, the call {} and {}",
                                FunctionId(function), function.input_size(), function.output_size(),
                                call.input_size(), call.output_size()));
    }
    Frame frame;
    for (int i = 0; i < function.input_size(); ++i) {
      frame.names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
    }
    for (int i = 0; i < call.output_size(); ++i) {
      if (!call.output(i).empty()) frame.names.try_emplace(function.output(i), call.output(i));
    }
    for (const auto& fallback : function.attribute_proto()) {
      frame.attributes[fallback.name()] = &fallback;
    }
    for (const std::string& name : function.attribute()) frame.attributes[name] = nullptr;
    for (const auto& attribute : call.attribute()) {
      const auto declared = frame.attributes.find(attribute.name());
      if (declared == frame.attributes.end()) {
        throw Invalid(fmt::format("function {} has no attribute '{}'", FunctionId(function),
                                  attribute.name()));
      }
      declared->second = &attribute;
    }
    return frame;
  }

  // The body's node with the call's names and attributes.
  v1::NodeProto Instantiate(const v1::NodeProto& body, Frame& frame, const std::string& label) {
    v1::NodeProto node = body;
    for (std::string& name : *node.mutable_input()) {
      if (!name.empty()) name = frame.NameOf(name);
    }
    node.clear_attribute();
    for (const auto& attribute : body.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        v1::AttributeProto& copy = *node.add_attribute();
        copy = attribute;
        if (copy.has_g()) Instantiate(*copy.mutable_g(), frame, label);
      } else if (const v1::AttributeProto* given = Referred(attribute, frame)) {
        v1::AttributeProto& copy = *node.add_attribute();
        copy = *given;
        copy.set_name(attribute.name());
      }
    }
    for (std::string& name : *node.mutable_output()) {
      if (!name.empty()) name = Define(name, frame, label);
    }
    if (node.op_type() == "Gradient" && node.domain() == "ai.onnx.preview.training") {
      RenameValues(frame, node);
    }
    return node;
  }

  // A graph within the body: its own names become new ones, which no name of the caller's can be.
  void Instantiate(v1::GraphProto& graph, const Frame& around, const std::string& label) {
    Frame frame{.outer = &around};
    for (auto& input : *graph.mutable_input()) input.set_name(Define(input.name(), frame, label));
    for (auto& initializer : *graph.mutable_initializer()) {
      initializer.set_name(Define(initializer.name(), frame, label));
    }
    for (auto& node : *graph.mutable_node()) node = Instantiate(node, frame, label);
    for (auto& output : *graph.mutable_output()) output.set_name(frame.NameOf(output.name()));
  }

  // What a name that the frame's nodes make stands for.
  std::string Define(const std::string& name, Frame& frame, const std::string& label) {
    const auto [known, fresh] = frame.names.try_emplace(name);
    if (fresh) known->second = Fresh(fmt::format("{}/{}", label, name));
    return known->second;
  }

  // The attributes xs, zs and y of a Gradient are names of values, too.
  static void RenameValues(const Frame& frame, v1::NodeProto& node) {
    const auto rename = [&](std::string& name) {
      if (const std::string* known = frame.Find(name)) name = *known;
    };
    for (auto& attribute : *node.mutable_attribute()) {
      for (std::string& name : *attribute.mutable_strings()) rename(name);
      if (attribute.has_s()) rename(*attribute.mutable_s());
    }
  }

  static const v1::AttributeProto* Referred(const v1::AttributeProto& attribute,
                                            const Frame& frame) {
    const auto found = frame.CallAttributes().find(attribute.ref_attr_name());
    if (found == frame.CallAttributes().end()) {
      throw Invalid(fmt::format("attribute '{}' refers to '{}', which the function does not have",
                                attribute.name(), attribute.ref_attr_name()));
    }
    const v1::AttributeProto* given = found->second;
    if (given != nullptr && attribute.type() != v1::AttributeProto::UNDEFINED &&
        TypeOf(*given) != attribute.type()) {
      throw Invalid(fmt::format("attribute '{}' is of type {}, the function takes {}",
                                given->name(),
                                v1::AttributeProto::AttributeType_Name(TypeOf(*given)),
                                v1::AttributeProto::AttributeType_Name(attribute.type())));
    }
    return given;
  }

  // An output of the function that is one of its inputs has no node that could make it.
  static void PassThrough(const v1::NodeProto& call, const v1::FunctionProto& function,
                          const Frame& frame, const NodePlace& place, std::vector<NodeDef>& nodes) {
    const OpsetImports newest;
    for (int i = 0; i < call.output_size(); ++i) {
      if (call.output(i).empty()) continue;
      const std::string& made = frame.NameOf(function.output(i));
      if (made == call.output(i)) continue;
      v1::NodeProto identity;
      identity.set_op_type("Identity");
      identity.add_input(made);
      identity.add_output(call.output(i));
      nodes.push_back(DecodeNode(identity, {newest, place.index, place.label}));
    }
  }

  std::string Fresh(std::string name) {
    while (!taken_.insert(name).second) name += "'";
    return name;
  }

  absl::flat_hash_map<std::string, const v1::FunctionProto*> functions_;
  absl::flat_hash_set<std::string> taken_;  // names of values
  std::vector<const v1::FunctionProto*> stack_;
  size_t bytes_ = 0;
  size_t depth_ = 0;  // of graphs within graphs, calls included
};

}  // namespace

std::vector<NodeDef> ExpandNodes(const v1::ModelProto& model) {
  return Expander(model).Expand(model);
}

}  // namespace gradwire::rpc
