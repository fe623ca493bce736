#include "rpc/node.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "core/error.h"
#include "rpc/value_info.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

using Attribute = v1::AttributeProto;

template <class To, class Field>
std::vector<To> Vector(const Field& field) {
  return {field.begin(), field.end()};
}

AttributeValue DecodeAttribute(const Attribute& proto) {
  const Attribute::AttributeType type = TypeOf(proto);
  switch (type) {
    case Attribute::FLOAT:
      return static_cast<double>(proto.f());
    case Attribute::INT:
      return int64_t{proto.i()};
    case Attribute::STRING:
      return proto.s();
    case Attribute::TENSOR:
      return DecodeHost(proto.t());
    case Attribute::FLOATS:
      return Vector<double>(proto.floats());
    case Attribute::INTS:
      return Vector<int64_t>(proto.ints());
    case Attribute::STRINGS:
      return Vector<std::string>(proto.strings());
    default:
      throw Error(reason::kOpUnsupported,
                  fmt::format("type {} is not supported", Attribute::AttributeType_Name(type)));
  }
}

// The graph `name` among the attributes of the node at `place`.
GraphPtr DecodeGraph(const v1::GraphProto& proto, const std::string& name, const NodePlace& place,
                     const DecodeInner& inner) {
  if (proto.sparse_initializer_size() > 0) {
    throw Error(reason::kOpUnsupported, "a sparse initializer is not supported: make it dense");
  }
  auto graph = std::make_shared<GraphDef>();
  graph->name = proto.name();
  graph->inputs = DecodeValueInfos(proto.input(), "input");
  graph->outputs = DecodeValueInfos(proto.output(), "output");
  for (const auto& initializer : proto.initializer()) {
    graph->constants.emplace_back(initializer.name(), DecodeHost(initializer));
  }
  for (int i = 0; i < proto.node_size(); ++i) {
    const v1::NodeProto& node = proto.node(i);
    const std::string own = node.name().empty() ? std::to_string(i) : node.name();
    inner(node, {place.imports, place.index, fmt::format("{}/{}/{}", place.label, name, own)},
          graph->nodes);
  }
  return graph;
}

void AddAttribute(const Attribute& proto, const NodePlace& place, const DecodeInner& inner,
                  NodeDef& node) {
  switch (TypeOf(proto)) {
    case Attribute::GRAPH:
      node.graphs[proto.name()] = DecodeGraph(proto.g(), proto.name(), place, inner);
      return;
    case Attribute::TYPE_PROTO:
      node.types[proto.name()] = DecodeType(proto.tp());
      return;
    default:
      node.attributes.Set(proto.name(), DecodeAttribute(proto));
  }
}

void AddCaptured(const v1::GraphProto& graph, std::set<std::string>& captured) {
  std::set<std::string> made{""};
  for (const auto& input : graph.input()) made.insert(input.name());
  for (const auto& initializer : graph.initializer()) made.insert(initializer.name());
  const auto read = [&](const std::string& name) {
    if (!made.contains(name)) captured.insert(name);
  };
  for (const auto& node : graph.node()) {
    for (const std::string& name : node.input()) read(name);
    for (const std::string& name : CapturedNames(node)) read(name);
    made.insert(node.output().begin(), node.output().end());
  }
  for (const auto& output : graph.output()) read(output.name());
}

}  // namespace

OpsetImports DecodeImports(const OpsetProtos& protos) {
  OpsetImports imports;
  for (const auto& proto : protos) {
    imports[proto.domain() == "ai.onnx" ? "" : proto.domain()] = proto.version();
  }
  return imports;
}

Attribute::AttributeType TypeOf(const Attribute& proto) {
  if (proto.type() != Attribute::UNDEFINED) return proto.type();
  // The one field that is set says it.
  if (proto.has_f()) return Attribute::FLOAT;
  if (proto.has_i()) return Attribute::INT;
  if (proto.has_s()) return Attribute::STRING;
  if (proto.has_t()) return Attribute::TENSOR;
  if (proto.has_g()) return Attribute::GRAPH;
  if (proto.has_tp()) return Attribute::TYPE_PROTO;
  if (proto.floats_size() > 0) return Attribute::FLOATS;
  if (proto.strings_size() > 0) return Attribute::STRINGS;
  return Attribute::INTS;
}

std::vector<std::pair<std::string, const v1::GraphProto*>> GraphsOf(const v1::NodeProto& node) {
  std::vector<std::pair<std::string, const v1::GraphProto*>> graphs;
  for (const Attribute& attribute : node.attribute()) {
    if (TypeOf(attribute) == Attribute::GRAPH)
      graphs.emplace_back(attribute.name(), &attribute.g());
  }
  return graphs;
}

std::set<std::string> CapturedNames(const v1::NodeProto& node) {
  std::set<std::string> captured;
  for (const auto& [name, graph] : GraphsOf(node)) AddCaptured(*graph, captured);
  return captured;
}

void ForEachNode(const NodeProtos& nodes, const std::function<void(const v1::NodeProto&)>& visit) {
  for (const v1::NodeProto& node : nodes) {
    visit(node);
    for (const auto& [name, graph] : GraphsOf(node)) ForEachNode(graph->node(), visit);
  }
}

NodeDef DecodeNode(const v1::NodeProto& proto, const NodePlace& place, const DecodeInner& inner) {
  const std::set<std::string> captures = CapturedNames(proto);
  NodeDef node{.op_type = proto.op_type(),
               .label = place.label,
               .inputs = Strings(proto.input()),
               .outputs = Strings(proto.output()),
               .index = place.index,
               .captures = {captures.begin(), captures.end()}};
  ResolveOp(node, proto.domain(), place.imports);
  const std::string path = place.label.empty() ? proto.op_type() : place.label;
  for (const Attribute& attribute : proto.attribute()) {
    try {
      AddAttribute(attribute, {place.imports, place.index, path}, inner, node);
    } catch (Error& error) {
      // A node of a graph has said where it is.
      if (error.metadata().contains("node")) throw;
      error.Prefix(fmt::format("attribute '{}': ", attribute.name()));
      if (error.code() != Code::kUnimplemented) {
        Place(error, node);
        throw;
      }
      if (!node.refusal.has_value()) node.refusal = error;
    }
  }
  return node;
}

NodeDef DecodeNode(const v1::NodeProto& proto, const NodePlace& place) {
  const DecodeInner plain = [&](const v1::NodeProto& node, const NodePlace& at,
                                std::vector<NodeDef>& nodes) {
    nodes.push_back(DecodeNode(node, at));
  };
  return DecodeNode(proto, place, plain);
}

}  // namespace gradwire::rpc
