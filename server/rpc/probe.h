// A look from outside at whether a server serves, for health checks of containers.
#ifndef GRADWIRE_RPC_PROBE_H_
#define GRADWIRE_RPC_PROBE_H_

#include <string>

namespace gradwire::rpc {

// Asks the plaintext listener at `target` ("host:port") by grpc.health.v1, for a few seconds at
// most. "" when it serves, else what is wrong.
std::string Probe(const std::string& target);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_PROBE_H_
