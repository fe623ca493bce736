// Tracing: operators are recorded as nodes with known specs, and run later.
#ifndef GRADWIRE_GRAPH_TRACE_H_
#define GRADWIRE_GRAPH_TRACE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "graph/op.h"

namespace gradwire {

// Computes values that the trace itself needs (exec/ implements it).
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // Makes each value ready(); those that are may be among them.
  virtual void Evaluate(std::span<const Value> values) = 0;
  // Throws CANCELLED or DEADLINE_EXCEEDED where the work is to stop.
  virtual void Poll() = 0;
};

// How many nodes a trace may make and trips it may count, where a graph's loops decide.
inline constexpr int64_t kMaxUnrolled = 1'000'000;

// What operators traced by this thread belong to. One is current while a TraceScope lives.
class Trace {
 public:
  Trace(Stream& stream, Evaluator& evaluator, uint64_t& random_state)
      : stream_(stream), evaluator_(evaluator), random_state_(random_state) {}

  // REQUIRES: a TraceScope is alive on this thread.
  static Trace& Current();

  Stream& stream() { return stream_; }
  Device device() const { return stream_.device(); }
  Evaluator& evaluator() { return evaluator_; }
  // A fresh seed for a random operator, drawn from the session's state.
  uint64_t NextSeed();
  // Those drawn so far.
  const std::vector<uint64_t>& seeds() const { return seeds_; }
  // The state, to draw the same seeds again.
  uint64_t& random_state() { return random_state_; }
  bool recording() const { return recording_; }
  // Called before something is traced once more: a loop's body, an element of a sequence. Throws
  // QUOTA_EXCEEDED when with the nodes made so far that is more than kMaxUnrolled, and what
  // Evaluator::Poll throws.
  void CountTrips(int64_t trips);
  void CountNode() { ++unrolled_; }
  // What nodes that are traced from now on say of their origin.
  Origin& origin() { return origin_; }
  // Whether results and gradients are looked at for NaN and Inf (graph/anomaly.h).
  bool detects_anomalies() const { return detects_anomalies_; }
  void set_detects_anomalies(bool on) { detects_anomalies_ = on; }

 private:
  friend class TraceScope;
  friend class RecordingScope;
  Stream& stream_;
  Evaluator& evaluator_;
  uint64_t& random_state_;
  std::vector<uint64_t> seeds_;
  int64_t unrolled_ = 0;
  bool recording_ = true;
  bool detects_anomalies_ = false;
  Origin origin_;
};

class TraceScope {
 public:
  explicit TraceScope(Trace& trace);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* previous_;
};

// Turns the recording of autograd graphs on or off while it lives.
class RecordingScope {
 public:
  explicit RecordingScope(bool recording);
  ~RecordingScope();
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

 private:
  bool previous_;
};

// Traces one call and returns its outputs, of which at least one and at most `num_outputs` are
// asked for. Checks arity, attributes and element types; then decomposes, or infers and makes a
// node, recorded when an input requires grad. 16-bit floats are computed in float32 and rounded
// back where the row does not list them. Where the row is not differentiable, floating results of
// an input that requires grad have a graph that refuses to be walked. Throws what `infer` throws,
// OP_UNSUPPORTED for an element type that the row lacks.
Values Apply(const OpDef& op, Values inputs, Attributes attributes, int num_outputs = 1);

// The call as a node, recorded when an input requires grad, or decomposed: Apply without its checks
// of the call, and without casts.
Values ApplyRow(const OpDef& op, Values inputs, Attributes attributes, int num_outputs);

// Parts of Apply's checks, of a call whose inputs are `given` or left out.
void CheckCall(const OpDef& op, const std::vector<bool>& given, const Attributes& attributes,
               int num_outputs);
void CheckAttribute(const OpDef& op, std::string_view name);
[[noreturn]] void RefuseType(const OpDef& op, DType dtype);

// The same arrays as results of one recorded node, gradwire::Function, whose derivative is `rule`.
// The node's inputs are `results` and then `inputs`; gradients flow to the latter.
Values ApplyFunction(const Values& results, const Values& inputs, RulePtr rule);

// Apply of the newest version by name; `name` may carry a domain: "gradwire::Slice".
Values ApplyAll(std::string_view name, Values inputs, Attributes attributes, int num_outputs);
// The same for one output: the way formulas call operators that formula.h does not spell.
Value Call(std::string_view name, Values inputs, Attributes attributes = {});

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_TRACE_H_
