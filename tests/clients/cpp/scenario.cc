// Runs scenario.json with the C++ client. Usage: scenario HOST:PORT SCENARIO

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "gradwire/client.h"

namespace gradwire::client {
namespace {

using nlohmann::json;

// Memory of an array that is put, as long as the call needs it.
struct Source {
  std::string name;
  DataType type;
  Dims dims;
  std::vector<char> bytes;
};

std::vector<char> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

Source ReadSource(const json& spec, const std::filesystem::path& folder) {
  Source source{spec["name"], v1::TensorProto_DataType_UNDEFINED, spec["dims"], {}};
  if (!v1::TensorProto_DataType_Parse(spec["dtype"].get<std::string>(), &source.type)) {
    throw std::runtime_error("no such dtype");
  }
  if (spec.contains("file")) {
    source.bytes = ReadFile(folder / spec["file"].get<std::string>());
    return source;
  }
  const json& fill = spec["fill"];
  const int64_t multiplier = fill["multiplier"];
  const int64_t modulus = fill["modulus"];
  const int64_t shift = fill["shift"];
  const auto divisor = fill["divisor"].get<float>();
  source.bytes.resize(ByteSize(source.type, source.dims));
  for (size_t i = 0; i < source.bytes.size() / sizeof(float); ++i) {
    const auto value =
        static_cast<float>(static_cast<int64_t>(i) * multiplier % modulus - shift) / divisor;
    std::memcpy(source.bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  return source;
}

void PutArrays(Session& session, const json& step, const std::filesystem::path& folder) {
  std::vector<Source> sources;
  for (const json& spec : step["put"]) sources.push_back(ReadSource(spec, folder));
  std::vector<ArrayView> views;
  for (const Source& source : sources) {
    views.push_back(
        {source.name, source.type, source.dims, std::as_bytes(std::span(source.bytes))});
  }
  session.Put(views, step.value("requires_grad", false));
}

v1::RunRequest ToRun(const json& message) {
  v1::RunRequest request;
  const auto status = google::protobuf::util::JsonStringToMessage(message.dump(), &request);
  if (!status.ok()) throw std::runtime_error("not a RunRequest: " + status.ToString());
  return request;
}

void MustFail(Session& session, const json& message) {
  try {
    session.Run(ToRun(message));
  } catch (const Error& error) {
    std::printf("%d %s", static_cast<int>(error.code()), error.reason_name().c_str());
    for (const auto& [key, value] : error.metadata()) {
      std::printf(" %s=%s", key.c_str(), value.c_str());
    }
    std::printf(" | %s\n", error.what());
    return;
  }
  throw std::runtime_error("a request that must fail did not");
}

void PrintArrays(Session& session, const std::vector<std::string>& names) {
  for (const Array& array : session.FetchMany(names)) {
    size_t i = 0;
    for (const float value : array.values<float>()) {
      std::printf("%s[%zu] %.8e\n", array.name().c_str(), i++, static_cast<double>(value));
    }
  }
}

void PrintSum(Session& session, const std::string& name) {
  const Array array = session.Fetch(name);
  uint64_t sum = 0;
  for (size_t i = 0; i < array.bytes().size(); i += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, array.bytes().data() + i, sizeof(word));
    sum += word;
  }
  std::printf("sum %s %llu\n", name.c_str(), static_cast<unsigned long long>(sum));
}

void PrintNames(Session& session, const std::string& prefix) {
  std::printf("names %s*:", prefix.c_str());
  for (const v1::TensorInfo& info : session.ListTensors(prefix)) {
    std::printf(" %s", info.name().c_str());
  }
  std::printf("\n");
}

void Execute(Session& session, const json& step, const std::filesystem::path& folder) {
  if (step.contains("put")) {
    PutArrays(session, step, folder);
  } else if (step.contains("run")) {
    for (int i = 0; i < step.value("times", 1); ++i) session.Run(ToRun(step["run"]));
  } else if (step.contains("print")) {
    PrintArrays(session, step["print"]);
  } else if (step.contains("fails")) {
    MustFail(session, step["fails"]);
  } else if (step.contains("names")) {
    PrintNames(session, step["names"]);
  } else if (step.contains("sum")) {
    PrintSum(session, step["sum"]);
  } else {
    throw std::runtime_error("no such step: " + step.dump());
  }
}

int Main(const std::string& target, const std::filesystem::path& path) {
  const json scenario = json::parse(ReadFile(path));
  SessionOptions options;
  options.seed = scenario["seed"].get<int64_t>();
  Client client(target);
  Session session = client.OpenSession(options);
  for (const json& step : scenario["steps"]) Execute(session, step, path.parent_path());
  session.Close();
  return 0;
}

}  // namespace
}  // namespace gradwire::client

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: scenario HOST:PORT SCENARIO\n");
    return 2;
  }
  try {
    return gradwire::client::Main(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
