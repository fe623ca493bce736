#include "rpc/array_fields.h"

#include <algorithm>
#include <unordered_map>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

using Table = std::unordered_map<const Descriptor*, ArrayFields>;  // which stay where they are

// Adds a type and those of its fields. No type that leads to arrays holds itself, but by nodes.
const ArrayFields& Add(const Descriptor* type, Table& table) {
  const auto [entry, is_new] = table.try_emplace(type);
  auto& [fields, oneof] = entry->second;
  if (!is_new || type == v1::TensorProto::descriptor()) return entry->second;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const Descriptor* of = field->message_type();
    if (of == nullptr || field->is_map() || of == v1::NodeProto::descriptor()) continue;
    const ArrayFields& in = Add(of, table);
    if (of == v1::TensorProto::descriptor()) {
      fields.push_back({field, nullptr});
    } else if (!in.fields.empty()) {
      fields.push_back({field, &in});
    }
  }
  if (fields.empty()) return entry->second;
  std::sort(fields.begin(), fields.end(),
            [](const auto& a, const auto& b) { return a.field->number() < b.field->number(); });
  const auto* first = fields.front().field->containing_oneof();
  const bool alternatives = std::all_of(fields.begin(), fields.end(), [&](const auto& one) {
    return one.field->containing_oneof() == first;
  });
  if (alternatives) oneof = first;
  return entry->second;
}

const Table& AllTypes() {
  static const Table& table = *[] {
    auto* made = new Table;
    const auto* file = v1::RunRequest::descriptor()->file();
    for (int i = 0; i < file->message_type_count(); ++i) Add(file->message_type(i), *made);
    return made;
  }();
  return table;
}

// Reflection is slow, and this is for each call: of alternatives, only the one that is there is
// looked at.
void Collect(Message& message, const ArrayFields& type, std::vector<v1::TensorProto*>& arrays) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor* set =
      type.oneof == nullptr ? nullptr : reflection.GetOneofFieldDescriptor(message, type.oneof);
  for (const auto& [field, in] : type.fields) {
    if (type.oneof != nullptr && field != set) continue;
    ForEachIn(reflection, message, field, [&, in = in](Message& part) {
      if (in != nullptr) return Collect(part, *in, arrays);
      arrays.push_back(static_cast<v1::TensorProto*>(&part));
    });
  }
}

}  // namespace

const ArrayFields& ArrayFields::Of(const Descriptor* type) { return AllTypes().at(type); }

std::vector<v1::TensorProto*> ArraysIn(Message& message) {
  std::vector<v1::TensorProto*> arrays;
  Collect(message, ArrayFields::Of(message.GetDescriptor()), arrays);
  return arrays;
}

}  // namespace gradwire::rpc
