#include "rpc/chrome_trace.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/utf8.h"
#include "graph/op.h"

namespace gradwire::rpc {
namespace {

using Json = nlohmann::json;

double Microseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

std::string FullName(const OpDef& op) {
  return op.domain.empty() ? std::string(op.name) : fmt::format("{}::{}", op.domain, op.name);
}

Json Arguments(const ProfiledOp& run) {
  Json inputs = Json::array();
  Json outputs = Json::array();
  int64_t bytes = 0;
  for (const auto& spec : run.inputs) {
    inputs.push_back(spec.has_value() ? Json(ToString(*spec)) : Json());
    if (spec.has_value()) bytes += spec->bytes();
  }
  for (const TensorSpec& spec : run.outputs) {
    outputs.push_back(ToString(spec));
    bytes += spec.bytes();
  }
  Json arguments = {{"op", FullName(*run.op)},
                    {"inputs", std::move(inputs)},
                    {"outputs", std::move(outputs)},
                    {"bytes", run.op->alias ? 0 : bytes}};
  if (run.flops.has_value()) arguments["flops"] = *run.flops;
  const Origin& origin = run.origin;
  if (origin.op != nullptr) arguments["for"] = FullName(*origin.op);
  if (origin.command >= 0) arguments["command"] = origin.command;
  if (origin.node >= 0) arguments["node"] = origin.node;
  if (!origin.label.empty()) arguments["label"] = ToUtf8(origin.label);
  return arguments;
}

}  // namespace

std::string ChromeTrace(const Profile& profile, int command) {
  const int pid = getpid();
  Json events = Json::array();
  events.push_back({{"name", "process_name"},
                    {"ph", "M"},
                    {"pid", pid},
                    {"args", {{"name", "gradwire-server"}}}});
  for (const ProfiledOp& run : profile.runs()) {
    if (command >= 0 && run.origin.command != command) continue;
    events.push_back({{"name", run.op->name},
                      {"cat", "operator"},
                      {"ph", "X"},
                      {"ts", Microseconds(run.began.time_since_epoch())},
                      {"dur", Microseconds(run.ended - run.began)},
                      {"pid", pid},
                      {"tid", run.thread},
                      {"args", Arguments(run)}});
  }
  Json trace = {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ns"}};
  if (profile.left_out() > 0) trace["otherData"] = {{"left_out", profile.left_out()}};
  return trace.dump();
}

}  // namespace gradwire::rpc
