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
GRADWIRE_UNARY(DescribeSession)
GRADWIRE_UNARY(Put)
GRADWIRE_UNARY(Fetch)
GRADWIRE_UNARY(Forward)
GRADWIRE_UNARY(Backward)
GRADWIRE_UNARY(Gradients)
GRADWIRE_UNARY(Jvp)
GRADWIRE_UNARY(Hvp)
GRADWIRE_UNARY(Detach)
GRADWIRE_UNARY(Copy)
GRADWIRE_UNARY(Delete)
GRADWIRE_UNARY(ListTensors)
GRADWIRE_UNARY(DescribeTensor)
GRADWIRE_UNARY(Step)
GRADWIRE_UNARY(ZeroGrad)
GRADWIRE_UNARY(ListPrograms)
GRADWIRE_UNARY(DescribeProgram)
GRADWIRE_UNARY(UnloadProgram)
GRADWIRE_UNARY(SetVjp)
GRADWIRE_UNARY(Run)
GRADWIRE_UNARY(GetGraph)
#undef GRADWIRE_UNARY

}  // namespace gradwire::rpc
