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
#include "rpc/model.h"
#include "rpc/model_check.h"

namespace gradwire::rpc {
namespace {

// Calls of calls can multiply a small model without end.
constexpr size_t kMaxDepth = 100;
constexpr size_t kMaxBytes = size_t{256} << 20;

Error Invalid(std::string message) { return {reason::kInvalidModel, std::move(message)}; }

// One call: what the names and attributes of the body stand for.
struct Frame {
  absl::flat_hash_map<std::string, std::string> names;
  absl::flat_hash_map<std::string, const v1::AttributeProto*> attributes;
};

class Expander {
 public:
  explicit Expander(const v1::ModelProto& model) {
    const v1::GraphProto& graph = model.graph();
    for (const auto& function : model.functions()) {
      functions_.emplace(FunctionId(function), &function);
    }
    for (const auto& input : graph.input()) taken_.insert(input.name());
    for (const auto& initializer : graph.initializer()) taken_.insert(initializer.name());
    for (const auto& sparse : graph.sparse_initializer()) taken_.insert(sparse.values().name());
    for (const auto& node : graph.node()) {
      taken_.insert(node.output().begin(), node.output().end());
    }
  }

  std::vector<NodeDef> Expand(const v1::ModelProto& model) {
    const OpsetImports imports = DecodeImports(model.opset_import());
    for (index_ = 0; index_ < model.graph().node_size(); ++index_) {
      Add(model.graph().node(index_), imports, model.graph().node(index_).name());
    }
    return std::move(nodes_);
  }

 private:
  void Add(const v1::NodeProto& node, const OpsetImports& imports, const std::string& label) {
    const auto found = functions_.find(FunctionId(node));
    if (found == functions_.end()) {
      nodes_.push_back(DecodeNode(node, imports, index_, label));
      return;
    }
    try {
      AddCall(node, *found->second, label.empty() ? node.op_type() : label);
    } catch (Error& error) {
      if (!error.metadata().contains("node")) {
        Place(error, {.op_type = node.op_type(), .label = label, .index = index_});
      }
      throw;
    }
  }

  void AddCall(const v1::NodeProto& call, const v1::FunctionProto& function,
               const std::string& label) {
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
      Add(node, imports,
          fmt::format("{}/{}", label, node.name().empty() ? std::to_string(i) : node.name()));
    }
    stack_.pop_back();
    PassThrough(call, function, frame, label);
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
      if (!name.empty()) name = frame.names.at(name);
    }
    for (std::string& name : *node.mutable_output()) {
      if (name.empty()) continue;
      const auto [known, fresh] = frame.names.try_emplace(name);
      if (fresh) known->second = Fresh(fmt::format("{}/{}", label, name));
      name = known->second;
    }
    node.clear_attribute();
    for (const auto& attribute : body.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        *node.add_attribute() = attribute;
      } else if (const v1::AttributeProto* given = Referred(attribute, frame)) {
        v1::AttributeProto& copy = *node.add_attribute();
        copy = *given;
        copy.set_name(attribute.name());
      }
    }
    if (node.op_type() == "Gradient" && node.domain() == "ai.onnx.preview.training") {
      RenameValues(frame, node);
    }
    return node;
  }

  // The attributes xs, zs and y of a Gradient are names of values, too.
  static void RenameValues(const Frame& frame, v1::NodeProto& node) {
    const auto rename = [&](std::string& name) {
      const auto known = frame.names.find(name);
      if (known != frame.names.end()) name = known->second;
    };
    for (auto& attribute : *node.mutable_attribute()) {
      for (std::string& name : *attribute.mutable_strings()) rename(name);
      if (attribute.has_s()) rename(*attribute.mutable_s());
    }
  }

  static const v1::AttributeProto* Referred(const v1::AttributeProto& attribute,
                                            const Frame& frame) {
    const auto found = frame.attributes.find(attribute.ref_attr_name());
    if (found == frame.attributes.end()) {
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
  void PassThrough(const v1::NodeProto& call, const v1::FunctionProto& function, const Frame& frame,
                   const std::string& label) {
    for (int i = 0; i < call.output_size(); ++i) {
      if (call.output(i).empty()) continue;
      const std::string& made = frame.names.at(function.output(i));
      if (made == call.output(i)) continue;
      v1::NodeProto identity;
      identity.set_op_type("Identity");
      identity.add_input(made);
      identity.add_output(call.output(i));
      nodes_.push_back(DecodeNode(identity, {}, index_, label));
    }
  }

  std::string Fresh(std::string name) {
    while (!taken_.insert(name).second) name += "'";
    return name;
  }

  absl::flat_hash_map<std::string, const v1::FunctionProto*> functions_;
  absl::flat_hash_set<std::string> taken_;  // names of values
  std::vector<const v1::FunctionProto*> stack_;
  std::vector<NodeDef> nodes_;
  size_t bytes_ = 0;
  int index_ = 0;  // of the graph's node that is being expanded
};

}  // namespace

std::vector<NodeDef> ExpandNodes(const v1::ModelProto& model) {
  return Expander(model).Expand(model);
}

}  // namespace gradwire::rpc
