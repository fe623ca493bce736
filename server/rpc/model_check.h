// Whether a model is well-formed, before anything is made of it.
#ifndef GRADWIRE_RPC_MODEL_CHECK_H_
#define GRADWIRE_RPC_MODEL_CHECK_H_

#include <string>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {

// A function's identity in messages and tables: "com.example::Block", with ":OVERLOAD" where it has
// one. Of a function, and of the function that a node would call.
std::string FunctionId(const v1::FunctionProto& function);
std::string FunctionId(const v1::NodeProto& node);

// Throws INVALID_MODEL. What a model calls its things comes back in answers, whose strings must be
// UTF-8.
void CheckUtf8(const std::string& name);

// The newest opset version of a domain that models may import; INT64_MAX for domains without any
// limit here.
int64_t NewestOpset(const std::string& domain);

// Throws INVALID_MODEL that names what is wrong and where: a version that is not known here, a
// domain that is not imported, a name that is empty, made twice, or read before it is made, an
// attribute or function given twice. Bodies of functions and graphs among the attributes are held
// to the same.
void CheckModel(const v1::ModelProto& model);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_MODEL_CHECK_H_
