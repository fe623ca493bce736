#include "rpc/repeat.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <chrono>

#include "core/error.h"
#include "rpc/array_fields.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::Message;

// Nodes may hold weights as attributes; who sends these each time does not mind a trace.
constexpr size_t kMaxKeyBytes = size_t{1} << 16;

// Maps in order of key. REQUIRES: message.ByteSizeLong() was called.
void AppendTo(std::string& bytes, const Message& message) {
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
}

}  // namespace

bool AsksForProfile(const v1::Command& command) {
  return command.forward().profile() || command.backward().profile() ||
         command.gradients().profile() || command.jvp().profile() || command.hvp().profile() ||
         command.step().profile();
}

// The payloads are moved aside: they may be large.
RepeatablePtr RepeatableOf(Message& message) {
  auto repeatable = std::make_shared<Repeatable>();
  repeatable->arrays = ArraysIn(message);
  std::vector<std::string> payloads(repeatable->arrays.size());
  const auto swap_payloads = [&] {
    for (size_t i = 0; i < payloads.size(); ++i) {
      v1::TensorProto& array = *repeatable->arrays[i];
      if (array.has_raw_data()) array.mutable_raw_data()->swap(payloads[i]);
    }
  };
  swap_payloads();
  const size_t bytes = message.ByteSizeLong();
  const bool small = bytes <= kMaxKeyBytes;
  if (small) {
    const std::string& type = message.GetDescriptor()->full_name();
    repeatable->key.reserve(type.size() + bytes);
    repeatable->key = type;
    AppendTo(repeatable->key, message);
  }
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
  if (!session.commands().enabled() || AsksForProfile(command)) return nullptr;
  return RepeatableOf(const_cast<v1::Command&>(command));
}

// A trace says better which command's array is wrong.
std::optional<std::vector<Tensor>> DecodeArrays(const Repeatable& repeatable,
                                                const Payloads& payloads, Stream& stream) try {
  std::vector<Tensor> arrays;
  for (const v1::TensorProto* array : repeatable.arrays) {
    arrays.push_back(Decode(*array, stream, payloads));
  }
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

bool Repeat(Session& session, const Repeatable& repeatable, Payloads& payloads, PhaseClock& clock,
            const std::function<void()>& between_ops, Message* response) {
  const auto began = std::chrono::steady_clock::now();
  const CachedCommandPtr command = session.commands().Find(repeatable.key);
  if (command == nullptr) return false;
  const auto given = DecodeArrays(repeatable, payloads, session.stream());
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
    Encode(name, tensor, session.stream(), payloads, answers[i]);
  }
  clock.Ends(Phase::kEncode);
  session.commands().Took(repeatable.key, std::chrono::steady_clock::now() - began);
  return true;
}

}  // namespace gradwire::rpc
