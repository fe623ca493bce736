// Programs whose gradient another program computes: the contract of SetVjp in the .proto.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "graph/op_call.h"
#include "graph/trace.h"
#include "session/session.h"
#include "session/trace_nodes.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

// Names that a VJP program may read or give a gradient of.
std::vector<std::string> InputNames(const Program& program) {
  std::vector<std::string> names;
  for (const ValueInfo& input : program.inputs) names.push_back(input.name);
  for (const auto& [name, session_name] : program.parameters) names.push_back(name);
  return names;
}

std::vector<std::string> OutputNames(const Program& program) {
  std::vector<std::string> names;
  for (const ValueInfo& output : program.outputs) names.push_back(output.name);
  return names;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Reads(const Program& vjp, const std::string& name) {
  return std::any_of(vjp.inputs.begin(), vjp.inputs.end(),
                     [&](const ValueInfo& input) { return input.name == name; });
}

// Session names of the parameters of a VJP program, of its own VJP program, and so on.
std::vector<std::string> ParametersOf(const Program* vjp) {
  std::vector<std::string> names;
  for (; vjp != nullptr; vjp = vjp->vjp.get()) {
    for (const auto& [name, session_name] : vjp->parameters) names.push_back(session_name);
  }
  return names;
}

// The node's inputs are the program's outputs, its inputs and parameters, and the VJP programs'
// parameters.
class ProgramVjp final : public Rule {
 public:
  explicit ProgramVjp(const ProgramPtr& program)
      : name_(program->name),
        vjp_(program->vjp),
        outputs_(OutputNames(*program)),
        inputs_(InputNames(*program)),
        parameters_(ParametersOf(vjp_.get())) {}

  Values Vjp(const VjpCall& call) const override {
    Environment environment = Given(call);
    const auto nowhere = [&](const std::string& name) -> Item {
      throw Error(reason::kTensorNotFound, fmt::format("there is no tensor '{}'", name));
    };
    const auto look_in_session = [&](const std::string& name) -> Item {
      const auto at = std::find(parameters_.begin(), parameters_.end(), name);
      if (at == parameters_.end()) return nowhere(name);
      return call.input(outputs_.size() + inputs_.size() +
                        static_cast<size_t>(at - parameters_.begin()));
    };
    const auto look_outside = [&](const std::string& name) -> Item {
      const auto parameter = vjp_->parameters.find(name);
      return parameter == vjp_->parameters.end() ? nowhere(name)
                                                 : look_in_session(parameter->second);
    };
    try {
      TraceProgram(vjp_, environment, look_outside, look_in_session);
      return Gradients(call, environment);
    } catch (Error& error) {
      error.Prefix(fmt::format("program '{}', the VJP of '{}': ", vjp_->name, name_));
      error.With("program", vjp_->name);
      throw;
    }
  }
  bool SavesInput(size_t i) const override {
    if (i < outputs_.size()) return false;
    const size_t k = i - outputs_.size();
    return k >= inputs_.size() || Reads(*vjp_, inputs_[k]);
  }
  bool SavesOutput(size_t i) const override { return Reads(*vjp_, outputs_[i]); }

 private:
  Environment Given(const VjpCall& call) const {
    Environment environment;
    for (size_t k = 0; k < outputs_.size(); ++k) {
      if (SavesOutput(k)) environment[outputs_[k]] = call.output(k);
      if (call.dy(k)) environment[GradName(outputs_[k])] = call.dy(k);
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const size_t at = outputs_.size() + i;
      if (SavesInput(at)) environment[inputs_[i]] = call.input(at);
    }
    return environment;
  }

  Values Gradients(const VjpCall& call, const Environment& environment) const {
    Values gradients(call.num_inputs());
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto found = environment.find(GradName(inputs_[i]));
      if (found == environment.end() || !Contains(OutputNames(*vjp_), found->first)) continue;
      const size_t at = outputs_.size() + i;
      const Value& gradient = TensorOf(found->first, found->second);
      const TensorSpec& got = gradient.spec();
      const TensorSpec& want = call.input_spec(at);
      if (got.dims != want.dims || got.dtype != want.dtype) {
        throw Error(got.dims != want.dims ? reason::kShapeMismatch : reason::kDtypeMismatch,
                    fmt::format("'{}' is {}, '{}' is {}", found->first, ToString(got), inputs_[i],
                                ToString(want)))
            .With("tensor", found->first);
      }
      gradients[at] = gradient;
    }
    return gradients;
  }

  const std::string name_;
  const ProgramPtr vjp_;
  const std::vector<std::string> outputs_;
  const std::vector<std::string> inputs_;
  const std::vector<std::string> parameters_;
};

const ValueInfo* InfoOf(const std::vector<ValueInfo>& infos, const std::string& name) {
  const auto found = std::find_if(infos.begin(), infos.end(),
                                  [&](const ValueInfo& info) { return info.name == name; });
  return found == infos.end() ? nullptr : &*found;
}

std::string Text(const ValueInfo& info) {
  std::string text(Name(info.dtype));
  if (!info.dims.has_value()) return text;
  std::string dims;
  for (const ValueInfo::Dim& dim : *info.dims) {
    if (!dims.empty()) dims += ",";
    dims += dim.extent.has_value() ? std::to_string(*dim.extent)
            : dim.name.empty()     ? "?"
                                   : dim.name;
  }
  return fmt::format("{}[{}]", text, dims);
}

// Whether what is declared of two values can be true of one.
void CheckAgree(const ValueInfo& one, const ValueInfo* other) {
  if (other == nullptr) return;
  const auto refuse = [&](Reason reason) {
    throw Error(reason, fmt::format("'{}' is declared as {}, '{}' as {}", one.name, Text(one),
                                    other->name, Text(*other)))
        .With("tensor", one.name);
  };
  const bool typed = one.dtype != DType::kUndefined && other->dtype != DType::kUndefined;
  if (typed && one.dtype != other->dtype) refuse(reason::kDtypeMismatch);
  if (!one.dims.has_value() || !other->dims.has_value()) return;
  if (one.dims->size() != other->dims->size()) refuse(reason::kShapeMismatch);
  for (size_t i = 0; i < one.dims->size(); ++i) {
    const auto& a = (*one.dims)[i].extent;
    const auto& b = (*other->dims)[i].extent;
    if (a.has_value() && b.has_value() && *a != *b) refuse(reason::kShapeMismatch);
  }
}

// The value of the program that `name` is the gradient of; null where it is no gradient of `infos`.
const ValueInfo* GradientOf(const std::vector<ValueInfo>& infos, const std::string& name) {
  for (const ValueInfo& info : infos) {
    if (GradName(info.name) == name) return &info;
  }
  return nullptr;
}

void CheckVjpInput(const Program& program, const ValueInfo& input) {
  if (const ValueInfo* output = GradientOf(program.outputs, input.name)) {
    return CheckAgree(input, output);
  }
  if (program.parameters.contains(input.name)) return;
  const ValueInfo* of = InfoOf(program.inputs, input.name);
  if (of == nullptr) of = InfoOf(program.outputs, input.name);
  if (of != nullptr) return CheckAgree(input, of);
  throw Error(reason::kInvalidArgument,
              fmt::format("it reads '{}', which is no input, parameter or output of '{}', nor "
                          "'grad/' and an output",
                          input.name, program.name))
      .With("tensor", input.name);
}

void CheckVjpOutput(const Program& program, const ValueInfo& output) {
  if (const ValueInfo* input = GradientOf(program.inputs, output.name)) {
    return CheckAgree(output, input);
  }
  for (const auto& [name, session_name] : program.parameters) {
    if (GradName(name) == output.name) return;
  }
  throw Error(reason::kInvalidArgument,
              fmt::format("it makes '{}', which is not 'grad/' and an input or parameter of '{}'",
                          output.name, program.name))
      .With("tensor", output.name);
}

}  // namespace

void TraceProgram(const ProgramPtr& program, Environment& environment,
                  const LookOutside& look_outside, const LookOutside& look_in_session) {
  if (program->vjp == nullptr || !Trace::Current().recording()) {
    TraceNodes(program->nodes, environment, look_outside);
    return;
  }
  Values inputs;
  for (const std::string& name : InputNames(*program)) {
    inputs.push_back(TensorOf(name, Find(name, environment, look_outside)));
  }
  {
    const RecordingScope off(false);
    TraceNodes(program->nodes, environment, look_outside);
  }
  const bool recorded = std::any_of(inputs.begin(), inputs.end(),
                                    [](const Value& input) { return input.requires_grad(); });
  if (!recorded) return;
  for (const std::string& name : ParametersOf(program->vjp.get())) {
    inputs.push_back(TensorOf(name, look_in_session(name)));
  }
  const std::vector<std::string> names = OutputNames(*program);
  Values outputs;
  for (const std::string& name : names) {
    outputs.push_back(TensorOf(name, Find(name, environment, look_outside)));
  }
  const OriginScope scope;
  Trace::Current().origin().label = program->name;
  const Values results = ApplyFunction(outputs, inputs, std::make_shared<ProgramVjp>(program));
  for (size_t i = 0; i < names.size(); ++i) environment[names[i]] = results[i];
}

void Transaction::RequireNoVjpOf(const std::string& name) const {
  std::map<std::string, ProgramPtr> programs = session_.programs_;
  for (const auto& [changed, program] : programs_) programs[changed] = program;
  for (const auto& [other, program] : programs) {
    if (program == nullptr || program->vjp == nullptr || program->vjp->name != name) continue;
    throw Error(reason::kInvalidArgument,
                fmt::format("program '{}' is the VJP of '{}': take that back first", name, other))
        .With("program", name);
  }
}

ProgramPtr Transaction::SetVjp(const std::string& name, const std::string& vjp_name) {
  Program program = *FindProgram(name);
  RequireNoVjpOf(name);
  program.vjp = nullptr;
  if (!vjp_name.empty()) {
    const ProgramPtr vjp = FindProgram(vjp_name);
    try {
      if (vjp->outputs.empty()) throw Error(reason::kInvalidArgument, "it has no outputs");
      for (const ValueInfo& input : vjp->inputs) CheckVjpInput(program, input);
      for (const ValueInfo& output : vjp->outputs) CheckVjpOutput(program, output);
    } catch (Error& error) {
      error.Prefix(fmt::format("program '{}' cannot be the VJP of '{}': ", vjp_name, name));
      error.With("program", vjp_name);
      throw;
    }
    program.vjp = vjp;
  }
  return programs_[name] = std::make_shared<const Program>(std::move(program));
}

}  // namespace gradwire
