// Which names a command reads and which it binds: how a Pipeline knows what depends on what.
#ifndef GRADWIRE_RPC_COMMAND_NAMES_H_
#define GRADWIRE_RPC_COMMAND_NAMES_H_

#include <set>
#include <string>

#include "gradwire/v1/gradwire.pb.h"
#include "session/session.h"

namespace gradwire::rpc {

// A name ending in '*' stands for all that begin with what is before it.
struct CommandNames {
  std::set<std::string> reads;
  std::set<std::string> writes;
};

// On the session's strand: programs and leaves are looked up.
CommandNames NamesOf(const v1::Command& command, const Session& session);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_COMMAND_NAMES_H_
