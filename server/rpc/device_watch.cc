#include "rpc/device_watch.h"

#include <spdlog/spdlog.h>

#include <string>

namespace gradwire::rpc {

DeviceWatch::DeviceWatch(const SessionStore& store, Health& health)
    : store_(store), health_(health) {
  for (const auto& backend : store.backends()) SetHealth(*backend, true);
}

void DeviceWatch::Look() {
  for (const auto& backend : store_.backends()) {
    const std::string problem = backend->problem();
    if (problem.empty() || !broken_.insert(backend.get()).second) continue;
    spdlog::error("{} broke down: {}", backend->device().name(), problem);
    SetHealth(*backend, false);
  }
}

void DeviceWatch::SetHealth(const Backend& backend, bool serves) {
  if (backend.device().type == DeviceType::kCpu) return;
  health_.Set(backend.device().name(), serves);
}

}  // namespace gradwire::rpc
