#include "scenario.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "gradwire/client/array.h"
#include "gradwire/client/commands.h"

namespace gradwire::bench {
namespace {

// Of one message, with room for what surrounds the arrays.
constexpr size_t kMaxRequestBytes = size_t{60} << 20;

using Words = std::vector<std::string>;

// A pseudo-random number from 0 to 2^24 - 1 for each element of each array of each variant.
uint32_t Noise(uint64_t variant, const std::string& name, uint64_t index) {
  uint64_t x = variant * 0x9E3779B97F4A7C15 + index;
  for (const char c : name) x = x * 31 + static_cast<unsigned char>(c);
  x ^= x >> 31;
  x *= 0xBF58476D1CE4E5B9;
  x ^= x >> 29;
  return static_cast<uint32_t>(x >> 40);
}

class Parser {
 public:
  explicit Parser(int variants) : variants_(variants) {}

  std::vector<Scenario> Parse(const std::string& text) {
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      ++line_;
      const absl::string_view statement = line.substr(0, line.find('#'));
      const Words words = absl::StrSplit(statement, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
      if (!words.empty()) Statement(words);
    }
    EndScenario();
    if (scenarios_.empty()) Fail("no scenario");
    return std::move(scenarios_);
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    throw ScenarioError(absl::StrCat("line ", line_, ": ", what));
  }

  void Statement(const Words& words) {
    if (words[0] == "scenario") {
      BeginScenario(words);
      return;
    }
    if (scenarios_.empty()) Fail("a file begins with `scenario NAME`");
    if (words[0] == "loop") {
      Take(words, 2);
      scenarios_.back().loops = Positive(words[1]);
      if (in_loop_) Fail("a scenario has one loop");
      in_loop_ = true;
      call_ = nullptr;
      return;
    }
    if (words[0] == "think") {
      Think(words);
      return;
    }
    if (words[0] == "call") {
      Take(words, 2);
      auto& calls = in_loop_ ? scenarios_.back().loop : scenarios_.back().setup;
      calls.push_back({words[1], think_, exponential_, std::vector<v1::RunRequest>(variants_)});
      think_ = {};
      call_ = &calls.back();
      return;
    }
    if (call_ == nullptr) Fail(absl::StrCat("`", words[0], "` stands in no call"));
    Command(words);
  }

  void BeginScenario(const Words& words) {
    EndScenario();
    Scenario& scenario = scenarios_.emplace_back();
    if (words.size() != 2 && (words.size() != 4 || words[2] != "weight")) {
      Fail("`scenario NAME [weight N]` is expected");
    }
    scenario.name = words[1];
    if (words.size() == 4) scenario.weight = Positive(words[3]);
    in_loop_ = false;
    call_ = nullptr;
  }

  void EndScenario() const {
    if (scenarios_.empty()) return;
    const Scenario& scenario = scenarios_.back();
    if (scenario.loop.empty())
      Fail(absl::StrCat("scenario ", scenario.name, " loops over no call"));
    for (const auto* calls : {&scenario.setup, &scenario.loop}) {
      for (const Call& call : *calls) {
        if (call.requests[0].commands().empty())
          Fail(absl::StrCat("call ", call.name, " is empty"));
        if (call.requests[0].ByteSizeLong() > kMaxRequestBytes) {
          Fail(absl::StrCat("call ", call.name, " puts more than ", kMaxRequestBytes, " bytes"));
        }
      }
    }
  }

  void Think(const Words& words) {
    Take(words, 3);
    absl::Duration pause;
    if (!absl::ParseDuration(words[2], &pause) || pause < absl::ZeroDuration()) {
      Fail(absl::StrCat("'", words[2], "' is no duration"));
    }
    if (words[1] != "fixed" && words[1] != "exponential") Fail("think fixed|exponential TIME");
    think_ = absl::ToChronoNanoseconds(pause);
    exponential_ = words[1] == "exponential";
  }

  void Command(const Words& words) {
    const Words names(words.begin() + 1, words.end());
    if (words.size() > 2 && words[1] == "=") {
      Node(words);
    } else if (words[0] == "put") {
      Put(words);
    } else if (names.empty()) {
      Fail(absl::StrCat("`", words[0], "` needs names"));
    } else if (words[0] == "backward") {
      Add(client::ToCommand(client::Backward(names)));
    } else if (words[0] == "fetch") {
      Add(client::ToCommand(client::Fetch(names)));
    } else if (words[0] == "delete") {
      v1::DeleteRequest request;
      request.mutable_names()->Add(names.begin(), names.end());
      Add(client::ToCommand(request));
    } else if (words[0] == "step") {
      Take(words, 3);
      v1::StepRequest request = client::SgdStep(Number(words[2]));
      if (words[1] == "adam") {
        request.mutable_adam()->set_lr(Number(words[2]));
      } else if (words[1] != "sgd") {
        Fail("step sgd|adam RATE");
      }
      Add(client::ToCommand(request));
    } else {
      Fail(absl::StrCat("no such statement: ", words[0]));
    }
  }

  // The same for all variants.
  void Add(const v1::Command& command) {
    for (v1::RunRequest& request : call_->requests) *request.add_commands() = command;
  }

  // Nodes one after another are one Forward, which binds what the last of them makes and what
  // later calls may read: all outputs.
  void Node(const Words& words) {
    std::vector<std::string> inputs;
    std::vector<v1::AttributeProto> attributes;
    for (size_t i = 3; i < words.size(); ++i) {
      const std::vector<std::string> parts = absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      if (parts.size() == 1) {
        inputs.push_back(words[i]);
      } else {
        attributes.push_back(Attribute(parts[0], parts[1]));
      }
    }
    const v1::NodeProto node = client::Node(words[2], inputs, {words[0]}, attributes);
    for (v1::RunRequest& request : call_->requests) {
      const int last = request.commands_size() - 1;
      if (last < 0 || !request.commands(last).has_forward()) {
        request.add_commands()->mutable_forward();
      }
      auto& forward = *request.mutable_commands(request.commands_size() - 1)->mutable_forward();
      *forward.add_nodes() = node;
    }
  }

  v1::AttributeProto Attribute(const std::string& name, const std::string& value) const {
    int64_t integer = 0;
    if (absl::SimpleAtoi(value, &integer)) return client::IntAttribute(name, integer);
    if (!absl::StrContains(value, ',')) {
      return client::FloatAttribute(name, static_cast<float>(Number(value)));
    }
    std::vector<int64_t> integers;
    for (const auto part : absl::StrSplit(value, ',')) {
      if (!absl::SimpleAtoi(part, &integers.emplace_back())) Fail("a list of integers is expected");
    }
    return client::IntsAttribute(name, integers);
  }

  void Put(const Words& words) {
    if (words.size() < 4) Fail("put NAME TYPE[DIMS] FILL [grad]");
    const bool grad = words.back() == "grad";
    const Words fill(words.begin() + 3, words.end() - (grad ? 1 : 0));
    const size_t bracket = words[2].find('[');
    if (bracket == std::string::npos || words[2].back() != ']') Fail("TYPE[DIMS] is expected");
    const std::string type = words[2].substr(0, bracket);
    client::Dims dims;
    for (const auto part : absl::StrSplit(
             words[2].substr(bracket + 1, words[2].size() - bracket - 2), ',', absl::SkipEmpty())) {
      dims.push_back(Positive(std::string(part)));
    }
    for (int variant = 0; variant < variants_; ++variant) {
      v1::RunRequest& request = call_->requests[variant];
      *request.add_commands() =
          client::ToCommand(client::Put({Array(words[1], type, dims, fill, variant)}, grad));
    }
  }

  v1::TensorProto Array(const std::string& name, const std::string& type, const client::Dims& dims,
                        const Words& fill, int variant) const {
    if (type == "int64" && fill.size() == 2 && fill[0] == "classes") {
      std::vector<int64_t> values(Count(dims, sizeof(int64_t)));
      const int classes = Positive(fill[1]);
      for (size_t i = 0; i < values.size(); ++i) values[i] = Noise(variant, name, i) % classes;
      return client::ToProto<int64_t>(name, dims, values);
    }
    if (type != "float32") Fail("float32, or int64 with classes, is expected");
    std::vector<float> values(Count(dims, sizeof(float)));
    if (fill == Words{"ones"}) {
      std::fill(values.begin(), values.end(), 1.0F);
    } else if (fill.size() == 2 && fill[0] == "random") {
      const double scale = Number(fill[1]) / (1 << 23);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] =
            static_cast<float>((static_cast<double>(Noise(variant, name, i)) - (1 << 23)) * scale);
      }
    } else if (fill != Words{"zeros"}) {
      Fail(absl::StrCat("'", absl::StrJoin(fill, " "), "' is no fill"));
    }
    return client::ToProto<float>(name, dims, values);
  }

  size_t Count(const client::Dims& dims, size_t width) const {
    size_t count = 1;
    for (const int64_t dim : dims) {
      count *= static_cast<size_t>(dim);
      if (count > kMaxRequestBytes / width) Fail("the array does not fit a message");
    }
    return count;
  }

  void Take(const Words& words, size_t count) const {
    if (words.size() != count) Fail(absl::StrCat("`", words[0], "` takes ", count - 1, " words"));
  }
  int Positive(const std::string& word) const {
    int value = 0;
    if (!absl::SimpleAtoi(word, &value) || value < 1)
      Fail(absl::StrCat("'", word, "' is no count"));
    return value;
  }
  double Number(const std::string& word) const {
    double value = 0;
    if (!absl::SimpleAtod(word, &value)) Fail(absl::StrCat("'", word, "' is no number"));
    return value;
  }

  const int variants_;
  std::vector<Scenario> scenarios_;
  int line_ = 0;
  bool in_loop_ = false;
  std::chrono::nanoseconds think_{0};
  bool exponential_ = false;
  Call* call_ = nullptr;
};

}  // namespace

std::vector<Scenario> ParseScenarios(const std::string& text, int variants) {
  return Parser(variants).Parse(text);
}

}  // namespace gradwire::bench
