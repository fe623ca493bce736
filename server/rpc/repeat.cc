#include "rpc/repeat.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <chrono>

#include "core/error.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Nodes may hold weights as attributes; who sends these each time does not mind a trace.
constexpr size_t kMaxKeyBytes = size_t{1} << 16;

// False where a profile is asked for, which a trace makes.
bool Collect(Message& message, std::vector<v1::TensorProto*>& arrays) {
  if (message.GetDescriptor() == v1::TensorProto::descriptor()) {
    arrays.push_back(static_cast<v1::TensorProto*>(&message));
    return true;
  }
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  bool repeatable = true;
  for (const FieldDescriptor* field : fields) {
    if (field->name() == "profile") repeatable = false;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (field->message_type() == v1::NodeProto::descriptor()) continue;
    if (!field->is_repeated()) {
      repeatable &= Collect(*reflection.MutableMessage(&message, field), arrays);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      repeatable &= Collect(*reflection.MutableRepeatedMessage(&message, field, i), arrays);
    }
  }
  return repeatable;
}

std::string Serialized(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);  // maps in order of key
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

std::vector<v1::TensorProto*> ArraysIn(Message& message) {
  std::vector<v1::TensorProto*> arrays;
  Collect(message, arrays);
  return arrays;
}

// The payloads are moved aside: they may be large.
RepeatablePtr RepeatableOf(Message& message) {
  auto repeatable = std::make_shared<Repeatable>();
  if (!Collect(message, repeatable->arrays)) return nullptr;
  std::vector<std::string> payloads(repeatable->arrays.size());
  const auto swap_payloads = [&] {
    for (size_t i = 0; i < payloads.size(); ++i) {
      v1::TensorProto& array = *repeatable->arrays[i];
      if (array.has_raw_data()) array.mutable_raw_data()->swap(payloads[i]);
    }
  };
  swap_payloads();
  const bool small = message.ByteSizeLong() <= kMaxKeyBytes;
  if (small) repeatable->key = message.GetTypeName() + Serialized(message);
  swap_payloads();
  return small ? repeatable : nullptr;
}

RepeatablePtr RepeatableOf(const v1::Command& command, Session& session) {
  switch (command.command_case()) {
    case v1::Command::kForward:
    case v1::Command::kBackward:
    case v1::Command::kGradients:
    case v1::Command::kJvp:
    case v1::Command::kHvp:
    case v1::Command::kStep:
      break;
    default:
      return nullptr;
  }
  if (!session.commands().enabled()) return nullptr;
  return RepeatableOf(const_cast<v1::Command&>(command));
}

// A trace says better which command's array is wrong.
std::optional<std::vector<Tensor>> DecodeArrays(const Repeatable& repeatable, Stream& stream) try {
  std::vector<Tensor> arrays;
  for (const v1::TensorProto* array : repeatable.arrays) arrays.push_back(Decode(*array, stream));
  return arrays;
} catch (const Error&) {
  return std::nullopt;
}

bool IsQuick(Session& session, const RepeatablePtr& repeatable) {
  if (repeatable == nullptr) return false;
  constexpr auto kQuick = std::chrono::microseconds(100);
  const auto time = session.commands().TimeOf(repeatable->key);
  if (!time.has_value() || *time > kQuick) return false;
  const CachedCommandPtr command = session.commands().Find(repeatable->key);
  return command != nullptr && Transaction(session, [] {}).Match(*command).has_value();
}

bool Repeat(Session& session, const Repeatable& repeatable, PhaseClock& clock,
            const std::function<void()>& between_ops, Message* response) {
  const auto began = std::chrono::steady_clock::now();
  const CachedCommandPtr command = session.commands().Find(repeatable.key);
  if (command == nullptr) return false;
  const auto given = DecodeArrays(repeatable, session.stream());
  if (!given.has_value()) return false;
  clock.Ends(Phase::kDecode);
  Transaction transaction(session, between_ops);
  const auto fetched = transaction.Repeat(*command, *given);
  if (!fetched.has_value()) return false;
  clock.Ends(Phase::kCompute);
  response->ParseFromString(command->answer);
  const std::vector<v1::TensorProto*> answers = ArraysIn(*response);
  for (size_t i = 0; i < fetched->size(); ++i) {
    const auto& [name, tensor] = (*fetched)[i];
    Encode(name, tensor, session.stream(), answers[i]);
  }
  clock.Ends(Phase::kEncode);
  session.commands().Took(repeatable.key, std::chrono::steady_clock::now() - began);
  return true;
}

}  // namespace gradwire::rpc
