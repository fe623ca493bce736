// Where the arrays of a message are.
#ifndef GRADWIRE_RPC_ARRAY_FIELDS_H_
#define GRADWIRE_RPC_ARRAY_FIELDS_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <vector>

#include "gradwire/v1/onnx.pb.h"

namespace gradwire::rpc {

// Of one message type of the API.
struct ArrayFields {
  struct Field {
    const google::protobuf::FieldDescriptor* field;
    const ArrayFields* in;  // its messages; null where they are arrays
  };

  // Those whose messages are arrays or may hold some, those in nodes left out, by number. A
  // TensorProto itself has none.
  std::vector<Field> fields;
  // The one that they are the alternatives of; null where there is none.
  const google::protobuf::OneofDescriptor* oneof = nullptr;

  // Looked up once for all types.
  static const ArrayFields& Of(const google::protobuf::Descriptor* type);
};

// Calls f(part) for each message in one of the fields of `message`, whose reflection is given.
template <class F>
void ForEachIn(const google::protobuf::Reflection& reflection, google::protobuf::Message& message,
               const google::protobuf::FieldDescriptor* field, const F& f) {
  if (!field->is_repeated()) {
    if (reflection.HasField(message, field)) f(*reflection.MutableMessage(&message, field));
    return;
  }
  const int size = reflection.FieldSize(message, field);
  for (int i = 0; i < size; ++i) f(*reflection.MutableRepeatedMessage(&message, field, i));
}

// The arrays that travel in a message, those in the attributes of nodes left out, in the order of
// its fields.
std::vector<v1::TensorProto*> ArraysIn(google::protobuf::Message& message);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_ARRAY_FIELDS_H_
