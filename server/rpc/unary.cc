// The commands in a session that take one message and give one.

#include "rpc/commands.h"
#include "rpc/execute.h"
#include "rpc/service.h"

namespace gradwire::rpc {

#define GRADWIRE_UNARY(Verb)                                                    \
  grpc::ServerUnaryReactor* Service::Verb(grpc::CallbackServerContext* context, \
                                          const v1::Verb##Request* request,     \
                                          v1::Verb##Response* response) {       \
    return Execute(access_, context, request, response, rpc::Verb);             \
  }
GRADWIRE_UNARY_VERBS(GRADWIRE_UNARY)
#undef GRADWIRE_UNARY

}  // namespace gradwire::rpc
