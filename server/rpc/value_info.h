// What models declare of values: messages to our words and back.
#ifndef GRADWIRE_RPC_VALUE_INFO_H_
#define GRADWIRE_RPC_VALUE_INFO_H_

#include <set>
#include <string>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"
#include "session/program.h"

namespace gradwire::rpc {

// A type without extents; kUndefined where it says nothing that is known here. Throws
// OP_UNSUPPORTED for a sequence or optional of what cannot be in one.
ItemType DecodeType(const v1::TypeProto& proto);

// Throws INVALID_ARGUMENT or DTYPE_MISMATCH for an element type or extent that cannot be.
ValueInfo DecodeValueInfo(const v1::ValueInfoProto& proto);
void EncodeValueInfo(const ValueInfo& info, v1::ValueInfoProto* proto);

// Of a graph's inputs or outputs (`kind`, for errors), but those to leave out.
std::vector<ValueInfo> DecodeValueInfos(
    const google::protobuf::RepeatedPtrField<v1::ValueInfoProto>& protos, const char* kind,
    const std::set<std::string>& leave_out = {});

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_VALUE_INFO_H_
