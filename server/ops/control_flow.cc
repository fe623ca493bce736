// If, Loop, Scan and SequenceMap: rules of the trace. Conditions and numbers of trips are computed
// while tracing, and the graphs traced inline, so that what is left is a graph without branches.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/host_tensor.h"
#include "graph/formula.h"
#include "graph/structured.h"

namespace gradwire {
namespace {

// The one element of a bool, which is computed now if it was not.
bool IsTrue(const OpDef& op, const Item& item) {
  const Values inputs = {item.tensor()};
  if (inputs[0].dtype() != DType::kBool) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("the condition is {}, must be a bool", ToString(inputs[0].spec())));
  }
  return OpCall(op, inputs, {}, 1).Int(0) != 0;
}

// Zeros of any element type; of strings, empty ones.
Value Zeros(const TensorSpec& spec) {
  return Expand(Constant(HostTensor({spec.dtype, {}})), spec.dims);
}

// One array of a scan output's elements along a new axis. Without elements it has the extents that
// the body declares, or would make: `probe` traces it once more than is asked for.
template <class Probe>
Value Stack(const Values& elements, int64_t axis, const Body& body, size_t output, Probe probe) {
  if (elements.empty()) {
    std::optional<TensorSpec> spec = body.OutputSpec(output);
    if (!spec.has_value()) spec = probe()[output].tensor().spec();
    const int at = NormalizeAxis(axis, spec->rank() + 1, "scan_output_axes");
    spec->dims.insert(spec->dims.begin() + at, 0);
    return Zeros(*spec);
  }
  const int at = NormalizeAxis(axis, elements[0].rank() + 1, "scan_output_axes");
  Values parts;
  for (const Value& element : elements) parts.push_back(Unsqueeze(element, {at}));
  return Concat(parts, at);
}

// ---------------------------------------------------------------- If

Items If(const StructuredCall& call) {
  const bool taken = IsTrue(call.op(), call.tensor(0));
  const auto outputs = static_cast<size_t>(call.num_outputs());
  const Body& then_branch = call.GetBody("then_branch", 0, outputs);
  const Body& else_branch = call.GetBody("else_branch", 0, outputs);
  Trace::Current().CountTrips(1);
  return (taken ? then_branch : else_branch)({});
}

GRADWIRE_OP({.name = "If",
             .outputs = {0, kVariadic},
             .types = kBool,
             .attributes = {"then_branch", "else_branch"},
             .structured = If});

// ---------------------------------------------------------------- Loop

// As ONNX defines it, a condition that the body makes counts only where the call was given one.
Items Loop(const StructuredCall& call) {
  const size_t carried = call.num_inputs() > 2 ? call.num_inputs() - 2 : 0;
  const Body& body = call.GetBody("body", carried + 2, carried + 1);
  const size_t scanned = body.num_outputs() - carried - 1;
  const int64_t trips = call.has(0) ? call.Int(0) : std::numeric_limits<int64_t>::max();
  const Value yes = Scalar(1, DType::kBool);
  Item condition = call.has(1) ? call.input(1) : yes;
  Items state(call.inputs().begin() + static_cast<std::ptrdiff_t>(call.num_inputs() - carried),
              call.inputs().end());
  const auto trace = [&](int64_t trip) {
    Trace::Current().CountTrips(1);
    Items inputs = {Scalar(static_cast<double>(trip), DType::kInt64), condition};
    inputs.insert(inputs.end(), state.begin(), state.end());
    return body(inputs);
  };
  std::vector<Values> elements(scanned);
  for (int64_t trip = 0; trip < trips; ++trip) {
    if (call.has(1) && !IsTrue(call.op(), condition)) break;
    Items made = trace(trip);
    if (call.has(1)) condition = made[0];
    for (size_t i = 0; i < carried; ++i) state[i] = std::move(made[i + 1]);
    for (size_t k = 0; k < scanned; ++k) elements[k].push_back(made[carried + 1 + k].tensor());
  }
  for (size_t k = 0; k < scanned; ++k) {
    state.emplace_back(Stack(elements[k], 0, body, carried + 1 + k, [&] { return trace(0); }));
  }
  return state;
}

GRADWIRE_OP({.name = "Loop",
             .inputs = {0, kVariadic},
             .outputs = {0, kVariadic},
             .types = DType::kInt64,
             .attributes = {"body"},
             .structured = Loop});

// ---------------------------------------------------------------- Scan

struct Scanned {
  int64_t axis = 0;
  bool reversed = false;
};

// Entries of a list attribute that speaks of `count` scan inputs or outputs; zeros where absent.
std::vector<int64_t> Listed(const StructuredCall& call, std::string_view name, size_t count) {
  const std::vector<int64_t> zeros(count, 0);
  std::vector<int64_t> list = call.attributes().Ints(name, zeros);
  if (list.size() == count) return list;
  throw Error(reason::kInvalidArgument,
              fmt::format("{} has {} entries, there are {}", name, list.size(), count));
}

std::vector<Scanned> Scans(const StructuredCall& call, std::string_view axes,
                           std::string_view directions, size_t count) {
  const std::vector<int64_t> axis = Listed(call, axes, count);
  const std::vector<int64_t> reversed = Listed(call, directions, count);
  std::vector<Scanned> scans;
  for (size_t i = 0; i < count; ++i) scans.push_back({axis[i], reversed[i] != 0});
  return scans;
}

// The parts of x, each of extent 1, along an axis, without it.
Values Slices(const Value& x, int64_t axis) {
  const int at = NormalizeAxis(axis, x.rank(), "scan_input_axes");
  const int64_t extent = x.dims()[size_t(at)];
  Trace::Current().CountTrips(extent);
  if (extent == 0) return {};
  Values slices =
      ApplyAll("gradwire::Split", {x},
               {{"axis", int64_t{at}}, {"split", std::vector<int64_t>(size_t(extent), 1)}},
               static_cast<int>(extent));
  Dims dims = x.dims();
  dims.erase(dims.begin() + at);
  for (Value& slice : slices) slice = Reshape(slice, dims);
  return slices;
}

// One scan: state in, elements of each input in the order of the axis; state and stacked outputs
// out.
struct ScanPlan {
  const Body& body;
  std::vector<Scanned> inputs;
  std::vector<Scanned> outputs;

  // `length` trips, of which `extent` slices there are. `shapes`: of the scan inputs.
  Items Run(Items state, const std::vector<Values>& slices, const std::vector<TensorSpec>& shapes,
            size_t length) const {
    const size_t carried = state.size();
    const auto trace = [&](const auto& element) {
      Items given = state;
      for (size_t m = 0; m < inputs.size(); ++m) given.emplace_back(element(m));
      return body(given);
    };
    std::vector<Values> elements(outputs.size());
    for (size_t trip = 0; trip < length; ++trip) {
      Trace::Current().CountTrips(1);
      Items made =
          trace([&](size_t m) { return slices[m][inputs[m].reversed ? length - 1 - trip : trip]; });
      for (size_t k = 0; k < outputs.size(); ++k) {
        elements[k].push_back(made[carried + k].tensor());
      }
      made.resize(carried);
      state = std::move(made);
    }
    Items results = state;
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (outputs[k].reversed) std::reverse(elements[k].begin(), elements[k].end());
      results.emplace_back(Stack(elements[k], outputs[k].axis, body, carried + k, [&] {
        return trace([&](size_t m) { return Zeros(shapes[m]); });
      }));
    }
    return results;
  }
};

// How many scan inputs there are, and how many states before them.
size_t CountScanned(const StructuredCall& call, size_t first) {
  const int64_t count = call.attributes().Int("num_scan_inputs");
  const auto inputs = static_cast<int64_t>(call.num_inputs()) - static_cast<int64_t>(first);
  if (count >= 1 && count <= inputs) return static_cast<size_t>(count);
  throw Error(reason::kInvalidArgument,
              fmt::format("num_scan_inputs is {}, must be in [1, {}]", count, inputs));
}

// Slices of all scan inputs, of which there are equally many.
struct ScanInputs {
  std::vector<Values> slices;
  std::vector<TensorSpec> shapes;  // of one slice

  void Add(const Value& x, int64_t axis) {
    const int at = NormalizeAxis(axis, x.rank(), "scan_input_axes");
    slices.push_back(Slices(x, axis));
    shapes.push_back(x.spec());
    shapes.back().dims.erase(shapes.back().dims.begin() + at);
    if (slices.back().size() == slices[0].size()) return;
    throw Error(reason::kShapeMismatch,
                fmt::format("scan input {} has {} elements, scan input 0 has {}", slices.size() - 1,
                            slices.back().size(), slices[0].size()));
  }
};

Items Scan9(const StructuredCall& call) {
  const size_t scanned = CountScanned(call, 0);
  const size_t carried = call.num_inputs() - scanned;
  const Body& body = call.GetBody("body", call.num_inputs(), carried);
  const ScanPlan plan{
      body, Scans(call, "scan_input_axes", "scan_input_directions", scanned),
      Scans(call, "scan_output_axes", "scan_output_directions", body.num_outputs() - carried)};
  ScanInputs inputs;
  for (size_t m = 0; m < scanned; ++m) {
    inputs.Add(call.tensor(carried + m), plan.inputs[m].axis);
  }
  Items state;
  for (size_t i = 0; i < carried; ++i) state.push_back(call.input(i));
  return plan.Run(std::move(state), inputs.slices, inputs.shapes, inputs.slices[0].size());
}

// Zeros behind the elements of a shorter sequence.
Value PadTo(const Value& x, int64_t extent) {
  TensorSpec rest = x.spec();
  rest.dims[0] = extent - rest.dims[0];
  return rest.dims[0] == 0 ? x : Concat({x, Zeros(rest)}, 0);
}

// Of each input but the lengths, the parts of its batch: equally many, and not none.
std::vector<Values> Batches(const StructuredCall& call) {
  std::vector<Values> batches;
  for (size_t i = 1; i < call.num_inputs(); ++i) {
    batches.push_back(Slices(call.tensor(i), 0));
    if (batches.back().size() == batches[0].size() && !batches[0].empty()) continue;
    throw Error(reason::kShapeMismatch, fmt::format("input 1 has a batch of {}, input {} of {}",
                                                    batches[0].size(), i, batches.back().size()));
  }
  return batches;
}

// Empty where they are not given.
std::vector<int64_t> Lengths(const StructuredCall& call, size_t batch) {
  if (!call.has(0)) return {};
  const Values given = {call.tensor(0)};
  std::vector<int64_t> lengths = OpCall(call.op(), given, {}, 1).Ints(0);
  if (lengths.size() == batch) return lengths;
  throw Error(reason::kShapeMismatch,
              fmt::format("sequence_lens is {}, the batch {}", ToString(given[0].spec()), batch));
}

// Opset 8: the first axis of all is a batch, each of whose sequences has a length.
Items Scan8(const StructuredCall& call) {
  const size_t scanned = CountScanned(call, 1);
  const size_t carried = call.num_inputs() - 1 - scanned;
  const Body& body = call.GetBody("body", carried + scanned, carried);
  ScanPlan plan{body, std::vector<Scanned>(scanned),
                std::vector<Scanned>(body.num_outputs() - carried)};
  const std::vector<int64_t> directions = Listed(call, "directions", scanned);
  for (size_t m = 0; m < scanned; ++m) plan.inputs[m].reversed = directions[m] != 0;
  const std::vector<Values> batches = Batches(call);
  const std::vector<int64_t> lengths = Lengths(call, batches[0].size());
  std::vector<Values> results(body.num_outputs());
  for (size_t b = 0; b < batches[0].size(); ++b) {
    Items state;
    for (size_t i = 0; i < carried; ++i) state.emplace_back(batches[i][b]);
    ScanInputs inputs;
    for (size_t m = 0; m < scanned; ++m) inputs.Add(batches[carried + m][b], 0);
    const auto extent = static_cast<int64_t>(inputs.slices[0].size());
    const int64_t length = lengths.empty() ? extent : lengths[b];
    if (length < 0 || length > extent) {
      throw Error(reason::kInvalidArgument, fmt::format("sequence_lens[{}] is {}, must be in "
                                                        "[0, {}]",
                                                        b, length, extent));
    }
    const Items made =
        plan.Run(std::move(state), inputs.slices, inputs.shapes, static_cast<size_t>(length));
    for (size_t k = 0; k < made.size(); ++k) {
      results[k].push_back(k < carried ? made[k].tensor() : PadTo(made[k].tensor(), extent));
    }
  }
  Items stacked;
  for (const Values& result : results) {
    Values parts;
    for (const Value& part : result) parts.push_back(Unsqueeze(part, {0}));
    stacked.emplace_back(Concat(parts, 0));
  }
  return stacked;
}

GRADWIRE_OP({.name = "Scan",
             .since = 8,
             .inputs = {0, kVariadic},
             .outputs = {1, kVariadic},
             .types = DType::kInt64,
             .attributes = {"body", "num_scan_inputs", "directions"},
             .structured = Scan8});
GRADWIRE_OP({.name = "Scan",
             .since = 9,
             .inputs = {1, kVariadic},
             .outputs = {1, kVariadic},
             .types = kAnyType,
             .attributes = {"body", "num_scan_inputs", "scan_input_axes", "scan_input_directions",
                            "scan_output_axes", "scan_output_directions"},
             .structured = Scan9});

// ---------------------------------------------------------------- SequenceMap

Items SequenceMap(const StructuredCall& call) {
  const Body& body = call.GetBody("body", call.num_inputs(), 1);
  const size_t length = call.sequence(0).size();
  std::vector<Sequence> made(body.num_outputs());
  for (size_t k = 0; k < made.size(); ++k) made[k].dtype = body.OutputType(k);
  for (size_t i = 0; i < call.num_inputs(); ++i) {
    const bool fits = !call.input(i).is_sequence() || call.sequence(i).size() == length;
    if (fits) continue;
    throw Error(reason::kInvalidArgument,
                fmt::format("input 0 is {}, input {} is {}", ToString(call.input(0)), i,
                            ToString(call.input(i))));
  }
  for (size_t at = 0; at < length; ++at) {
    Trace::Current().CountTrips(1);
    Items inputs;
    for (const Item& item : call.inputs()) {
      inputs.push_back(item.is_sequence() ? Item(item.sequence().elements[at]) : item);
    }
    const Items results = body(inputs);
    for (size_t k = 0; k < made.size(); ++k) made[k].elements.push_back(results[k].tensor());
  }
  return {made.begin(), made.end()};
}

GRADWIRE_OP({.name = "SequenceMap",
             .since = 17,
             .inputs = {1, kVariadic},
             .outputs = {1, kVariadic},
             .types = kAnyType,
             .attributes = {"body"},
             .structured = SequenceMap});

}  // namespace
}  // namespace gradwire
