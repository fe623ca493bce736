// The server's log: a line an event, on standard error. Standard output is for what programs read:
// where the server listens.
#ifndef GRADWIRE_RPC_LOG_H_
#define GRADWIRE_RPC_LOG_H_

#include <nlohmann/json.hpp>
#include <string>

namespace gradwire::rpc {

// kText is for people. In kJson each line is a JSON object: `time` (UTC, RFC 3339), `level`,
// `message`, and the event's own fields beside them.
enum class LogFormat { kText, kJson };

// Sets up what spdlog, gRPC and Protocol Buffers log from now on. Before anything is served.
void OpenLog(LogFormat format);

// Writes an event. `fields` is an object; in kText it follows the message. Thread-safe.
void LogEvent(const std::string& message, nlohmann::json fields);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_LOG_H_
