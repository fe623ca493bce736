// Profiles in the Trace Event Format, which Perfetto and Chrome's tracing page open (source: the
// document "Trace Event Format" of Chromium's catapult project). gradwire.proto, ForwardRequest,
// says what an event holds.
#ifndef GRADWIRE_RPC_CHROME_TRACE_H_
#define GRADWIRE_RPC_CHROME_TRACE_H_

#include <string>

#include "exec/profile.h"

namespace gradwire::rpc {

// JSON of what one command of a Run ran, or of all where `command` is -1.
std::string ChromeTrace(const Profile& profile, int command);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_CHROME_TRACE_H_
