#include "rpc/array_fields.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

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
  const bool alternatives =
      !found.fields.empty() &&
      std::all_of(found.fields.begin(), found.fields.end(), [&](const auto* field) {
        return field->containing_oneof() == found.fields.front()->containing_oneof();
      });
  if (alternatives) found.oneof = found.fields.front()->containing_oneof();
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

// Reflection is slow, and this is for each call: of alternatives, only the one that is there is
// looked at.
void Collect(Message& message, std::vector<v1::TensorProto*>& arrays) {
  const Descriptor* type = message.GetDescriptor();
  if (type == v1::TensorProto::descriptor()) {
    arrays.push_back(static_cast<v1::TensorProto*>(&message));
    return;
  }
  const auto collect = [&](Message& part) { Collect(part, arrays); };
  const auto& [fields, oneof] = ArrayFields::Of(type);
  if (oneof == nullptr) {
    for (const FieldDescriptor* field : fields) ForEachIn(message, field, collect);
    return;
  }
  const FieldDescriptor* set = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
  if (std::find(fields.begin(), fields.end(), set) != fields.end())
    ForEachIn(message, set, collect);
}

}  // namespace

const ArrayFields& ArrayFields::Of(const Descriptor* type) { return AllTypes().at(type); }

std::vector<v1::TensorProto*> ArraysIn(Message& message) {
  std::vector<v1::TensorProto*> arrays;
  Collect(message, arrays);
  return arrays;
}

}  // namespace gradwire::rpc
