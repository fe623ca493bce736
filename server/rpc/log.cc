#include "rpc/log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace gradwire::rpc {
namespace {

using Json = nlohmann::json;

const char* const kName = "gradwire";
// Logs lines as they are; there is one in kJson only.
const char* const kLines = "gradwire-lines";

std::string JsonLine(absl::Time time, spdlog::level::level_enum level, std::string_view message,
                     Json fields) {
  const spdlog::string_view_t name = spdlog::level::to_string_view(level);
  fields["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
  fields["level"] = std::string_view(name.data(), name.size());
  fields["message"] = message;
  return fields.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Of messages without fields of their own.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    const std::string line =
        JsonLine(absl::FromChrono(message.time), message.level, text, Json::object()) + '\n';
    to.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

// What gRPC says below an error is of no use to who runs a server.
void LogOfGrpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) spdlog::warn("gRPC: {}", args->message);
}

}  // namespace

void OpenLog(LogFormat format) {
  spdlog::drop_all();
  spdlog::set_default_logger(spdlog::stderr_logger_mt(kName));
  if (format == LogFormat::kJson) {
    spdlog::set_formatter(std::make_unique<JsonFormatter>());
    spdlog::stderr_logger_mt(kLines)->set_pattern("%v");
  }
  gpr_set_log_function(LogOfGrpc);
  // Of messages that cannot be parsed, whose sender is told: a client must not fill the log.
  google::protobuf::SetLogHandler(nullptr);
}

void LogEvent(const std::string& message, Json fields) {
  if (const auto lines = spdlog::get(kLines)) {
    lines->info(JsonLine(absl::Now(), spdlog::level::info, message, std::move(fields)));
  } else {
    spdlog::info("{} {}", message, fields.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

}  // namespace gradwire::rpc
