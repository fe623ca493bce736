// The autograd graph as ONNX and as DOT.

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "autograd/backward.h"
#include "core/error.h"
#include "rpc/model.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

void EncodeAttribute(const Attributes::Entry& entry, v1::AttributeProto* proto) {
  proto->set_name(entry.first);
  struct Encoder {
    v1::AttributeProto* proto;
    void operator()(int64_t i) const {
      proto->set_type(v1::AttributeProto::INT);
      proto->set_i(i);
    }
    void operator()(double f) const {
      proto->set_type(v1::AttributeProto::FLOAT);
      proto->set_f(static_cast<float>(f));
    }
    void operator()(const std::string& s) const {
      proto->set_type(v1::AttributeProto::STRING);
      proto->set_s(s);
    }
    void operator()(const std::vector<int64_t>& ints) const {
      proto->set_type(v1::AttributeProto::INTS);
      proto->mutable_ints()->Assign(ints.begin(), ints.end());
    }
    void operator()(const std::vector<double>& floats) const {
      proto->set_type(v1::AttributeProto::FLOATS);
      proto->mutable_floats()->Assign(floats.begin(), floats.end());
    }
    void operator()(const std::vector<std::string>& strings) const {
      proto->set_type(v1::AttributeProto::STRINGS);
      for (const std::string& s : strings) proto->add_strings(s);
    }
    void operator()(const Tensor& tensor) const {
      proto->set_type(v1::AttributeProto::TENSOR);
      EncodeHost(tensor, proto->mutable_t());
    }
  };
  std::visit(Encoder{proto}, entry.second);
}

void EncodeValue(const std::string& name, const TensorSpec& spec, v1::ValueInfoProto* proto) {
  proto->set_name(name);
  v1::TypeProto::Tensor& tensor = *proto->mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(static_cast<int>(spec.dtype));
  tensor.mutable_shape();
  for (const int64_t extent : spec.dims) tensor.mutable_shape()->add_dim()->set_dim_value(extent);
}

// Gives every array of the graph a name: leaves their own, results "OP_N", and constants "c_N".
class GraphEncoder {
 public:
  GraphEncoder(v1::GraphProto& graph, const std::string& name, const Value& root)
      : graph_(graph), root_(EdgeOf(root)), root_name_(name) {}

  void Add(Node& node) {
    v1::NodeProto& proto = *graph_.add_node();
    proto.set_op_type(std::string(node.op().name));
    proto.set_domain(std::string(node.op().domain));
    proto.set_name(node.origin().label);
    for (const Value& input : node.inputs()) proto.add_input(input ? NameOf(input) : "");
    for (size_t i = 0; i < node.num_outputs(); ++i) {
      const Edge edge{&node, static_cast<int>(i)};
      std::string name =
          edge == root_ ? root_name_ : fmt::format("{}_{}", node.op().name, results_.size());
      proto.add_output(name);
      results_[{edge.owner, edge.index}] = std::move(name);
    }
    for (const auto& entry : node.attributes().entries()) {
      EncodeAttribute(entry, proto.add_attribute());
    }
  }

 private:
  std::string NameOf(const Value& value) {
    if (const NodePtr node = value.grad_fn()) return results_.at({node.get(), value.index()});
    const bool leaf = value.leaf() != nullptr;
    const void* owner = leaf ? static_cast<const void*>(value.leaf().get()) : value.slot().get();
    const auto [found, fresh] = results_.try_emplace({owner, 0});
    if (fresh) {
      found->second = leaf ? value.leaf()->name : fmt::format("c_{}", results_.size());
      while (!input_names_.insert(found->second).second) found->second += "'";
      EncodeValue(found->second, value.spec(), graph_.add_input());
    }
    return found->second;
  }

  v1::GraphProto& graph_;
  const Edge root_;
  const std::string root_name_;
  std::map<std::pair<const void*, int>, std::string> results_;
  std::set<std::string> input_names_;
};

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

v1::ModelProto EncodeGraph(const std::string& name, const Value& value) {
  if (!value.grad_fn()) {
    throw Error(reason::kNoGraph, fmt::format("tensor '{}' has no graph", name))
        .With("tensor", name);
  }
  v1::ModelProto model;
  model.set_ir_version(8);
  model.set_producer_name("gradwire");
  auto& onnx = *model.add_opset_import();
  onnx.set_domain("");
  onnx.set_version(21);
  v1::GraphProto& graph = *model.mutable_graph();
  graph.set_name(name);
  GraphEncoder encoder(graph, name, value);
  std::set<std::string> domains{""};
  for (const NodePtr& node : GraphBehind(std::vector{value})) {
    encoder.Add(*node);
    if (!domains.insert(std::string(node->op().domain)).second) continue;
    auto& import = *model.add_opset_import();
    import.set_domain(std::string(node->op().domain));
    import.set_version(1);
  }
  EncodeValue(name, value.spec(), graph.add_output());
  return model;
}

std::string ToDot(const v1::GraphProto& graph) {
  std::string dot = fmt::format("digraph {} {{\n  rankdir=TB;\n", Quoted(graph.name()));
  std::map<std::string, std::string> makers;
  for (const auto& input : graph.input()) {
    makers[input.name()] = Quoted(input.name());
    dot += fmt::format("  {} [shape=ellipse];\n", Quoted(input.name()));
  }
  for (int i = 0; i < graph.node_size(); ++i) {
    const v1::NodeProto& node = graph.node(i);
    const std::string id = fmt::format("node{}", i);
    dot += fmt::format(
        "  {} [shape=box, label={}];\n", id,
        Quoted(node.name().empty() ? node.op_type() : node.op_type() + "\n" + node.name()));
    for (const std::string& name : node.input()) {
      if (!name.empty()) dot += fmt::format("  {} -> {};\n", makers[name], id);
    }
    for (const std::string& name : node.output()) makers[name] = id;
  }
  for (const auto& output : graph.output()) {
    dot +=
        fmt::format("  {} [shape=ellipse, style=bold];\n  {} -> {};\n", Quoted(output.name() + " "),
                    makers[output.name()], Quoted(output.name() + " "));
  }
  return dot + "}\n";
}

}  // namespace gradwire::rpc
