#include "rpc/array_fields.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

using Table = absl::flat_hash_map<const Descriptor*, ArrayFields>;

// Adds a type and those of its fields. No type that leads to arrays holds itself, but by nodes.
const ArrayFields& Add(const Descriptor* type, Table& table) {
  const auto [entry, is_new] = table.try_emplace(type);
  if (!is_new || type == v1::TensorProto::descriptor()) return entry->second;
  ArrayFields found;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const Descriptor* of = field->message_type();
    if (of == nullptr || field->is_map() || of == v1::NodeProto::descriptor()) continue;
    const bool leads = !Add(of, table).fields.empty();
    if (leads || of == v1::TensorProto::descriptor()) {
      found.fields.push_back(field);
    }
  }
  std::sort(found.fields.begin(), found.fields.end(),
            [](const auto* a, const auto* b) { return a->number() < b->number(); });
  return table[type] = std::move(found);
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

void Collect(Message& message, std::vector<v1::TensorProto*>& arrays) {
  const Descriptor* type = message.GetDescriptor();
  if (type == v1::TensorProto::descriptor()) {
    arrays.push_back(static_cast<v1::TensorProto*>(&message));
    return;
  }
  const Reflection& reflection = *message.GetReflection();
  for (const FieldDescriptor* field : ArrayFields::Of(type).fields) {
    if (!field->is_repeated()) {
      if (reflection.HasField(message, field)) {
        Collect(*reflection.MutableMessage(&message, field), arrays);
      }
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      Collect(*reflection.MutableRepeatedMessage(&message, field, i), arrays);
    }
  }
}

}  // namespace

const ArrayFields& ArrayFields::Of(const Descriptor* type) { return AllTypes().at(type); }

std::vector<v1::TensorProto*> ArraysIn(Message& message) {
  std::vector<v1::TensorProto*> arrays;
  Collect(message, arrays);
  return arrays;
}

}  // namespace gradwire::rpc
