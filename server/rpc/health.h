// grpc.health.v1.Health, beside gRPC's own service of this name, whose threads wait for the network
// too and so take it from those that serve calls (rpc/call.h).
#ifndef GRADWIRE_RPC_HEALTH_H_
#define GRADWIRE_RPC_HEALTH_H_

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "rpc/call.h"

namespace gradwire::rpc {

// Check and Watch, of services that have been set, and of the server as a whole (""). Thread-safe.
class Health final : public CallService {
 public:
  Health();
  void Set(const std::string& service, bool serves);
  // Of all that have been set.
  void SetAll(bool serves);

 private:
  class CheckCall;
  class WatchCall;

  // Locked. Nothing for a service that has not been set.
  std::optional<bool> Serves(const std::string& service) const;

  std::mutex mutex_;  // guards what follows
  std::map<std::string, bool> serves_{{"", true}};
  std::set<WatchCall*> watching_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_HEALTH_H_
