// Tells of devices that break down.
#ifndef GRADWIRE_RPC_DEVICE_WATCH_H_
#define GRADWIRE_RPC_DEVICE_WATCH_H_

#include <set>

#include "rpc/health.h"
#include "session/session_store.h"

namespace gradwire::rpc {

// The health of each GPU is that of a service by its name, "cuda:0". One that breaks down is told
// of once. Not thread-safe.
class DeviceWatch {
 public:
  DeviceWatch(const SessionStore& store, Health& health);
  // To be called now and then.
  void Look();

 private:
  void SetHealth(const Backend& backend, bool serves);

  const SessionStore& store_;
  Health& health_;
  std::set<const Backend*> broken_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_DEVICE_WATCH_H_
