// Arrays and their descriptions: messages to values and back.
#ifndef GRADWIRE_RPC_WIRE_H_
#define GRADWIRE_RPC_WIRE_H_

#include <functional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/attributes.h"
#include "gradwire/v1/gradwire.pb.h"
#include "session/transaction.h"

namespace gradwire::rpc {

// Throws INVALID_ARGUMENT or DTYPE_MISMATCH, before anything is allocated, for an unknown element
// type, a negative or absurd extent, a payload of another size, or strings that are not UTF-8.
TensorSpec DecodeSpec(const v1::TensorProto& proto);
TensorSpec DecodeSpec(const v1::TensorSpec& proto);
// On the host.
Tensor DecodeHost(const v1::TensorProto& proto);
// On the session's device.
Tensor Decode(const v1::TensorProto& proto, Stream& stream);
// A sequence or an optional, whose arrays `decode` decodes. Throw OP_UNSUPPORTED for elements that
// are no tensors.
using DecodeArray = std::function<Tensor(const v1::TensorProto&)>;
Item DecodeItem(const v1::SequenceProto& proto, const DecodeArray& decode);
Item DecodeItem(const v1::OptionalProto& proto, const DecodeArray& decode);
template <class Protos>
std::vector<NamedTensor> DecodeAll(const Protos& protos, Stream& stream) {
  std::vector<NamedTensor> tensors;
  for (const v1::TensorProto& proto : protos) {
    tensors.emplace_back(proto.name(), Decode(proto, stream));
  }
  return tensors;
}

void EncodeSpec(const TensorSpec& spec, v1::TensorSpec* proto);
// Waits for the device; payload in raw_data, or string_data.
void Encode(const std::string& name, const Tensor& tensor, Stream& stream, v1::TensorProto* proto);
void EncodeInfo(const TensorInfo& info, v1::TensorInfo* proto);
// The same of a tensor on the host, without a name.
void EncodeHost(const Tensor& tensor, v1::TensorProto* proto);
// A copy of a host tensor on the session's device.
Tensor OnDevice(const Tensor& host, Stream& stream);

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& strings);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_WIRE_H_
