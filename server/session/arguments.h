// What the verbs of a Transaction take and give.
#ifndef GRADWIRE_SESSION_ARGUMENTS_H_
#define GRADWIRE_SESSION_ARGUMENTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/backward.h"
#include "graph/item.h"
#include "session/optimizer.h"
#include "session/program.h"

namespace gradwire {

using NamedTensor = std::pair<std::string, Tensor>;
// Ready after Commit.
using NamedValue = std::pair<std::string, Value>;
using NamedItem = std::pair<std::string, Item>;

struct TensorInfo {
  std::string name;
  TensorSpec spec;
  bool requires_grad = false;
  bool is_leaf = false;
  std::string grad_fn;
  std::string grad;
  Device device;
  ItemType type = {};
  std::vector<TensorSpec> elements = {};  // of a sequence; `spec` has its element type
};

struct ForwardArgs {
  std::vector<NodeDef> nodes;  // or
  std::string program;
  std::map<std::string, std::string> bindings;
  std::vector<NamedTensor> feeds;
  std::vector<NamedItem> item_feeds;  // sequences and optionals
  std::vector<std::string> outputs;
  std::vector<std::string> fetch;
  bool no_grad = false;
  std::vector<std::string> announce;
  int checkpoint = 0;  // spans of nodes to compute again on the way back
  bool detect_anomaly = false;
};
struct ForwardResult {
  std::vector<TensorInfo> outputs;
  std::vector<NamedItem> fetched;
};

// What is known of a program's inputs: specs by name, and extents of named dimensions.
struct DescribeArgs {
  std::string program;
  std::map<std::string, TensorSpec> inputs;
  std::map<std::string, int64_t> dims;
};
struct ProgramDescription {
  ProgramPtr program;
  // Inputs, parameters and what the nodes make, in this order; without a type where a spec depends
  // on elements of an input, on an input of unknown spec, or on an operator that cannot run here.
  std::vector<ValueInfo> values;
};

// A seed by the root's name, or a vector by the input's: another tensor's name, or the array.
struct SeedArg {
  std::string of;
  std::string tensor;
  std::optional<Tensor> value;
};
struct BackwardArgs {
  std::vector<std::string> roots;
  std::vector<SeedArg> seeds;
  BackwardOptions options;
  std::vector<std::string> inputs;
  std::vector<std::string> retain_grad;
  bool detect_anomaly = false;
};
struct GradientsArgs {
  std::vector<std::string> outputs;
  std::vector<SeedArg> seeds;
  std::vector<std::string> inputs;
  std::vector<std::string> names;
  BackwardOptions options;
  bool allow_unused = false;
  bool detect_anomaly = false;
};
// Jvp and Hvp: products of a Jacobian or Hessian with vectors.
struct ProductArgs {
  std::vector<std::string> outputs;
  std::vector<std::string> inputs;
  std::vector<SeedArg> vectors;  // zeros for inputs that have none
  std::vector<std::string> names;
  BackwardOptions options;
  bool fetch = false;
  bool detect_anomaly = false;
};
struct ProductResult {
  std::vector<TensorInfo> products;
  std::vector<NamedItem> fetched;
};
struct StepArgs {
  std::vector<std::string> parameters;
  Optimizer optimizer;
  double clip_value = 0;
  double clip_norm = 0;
  bool zero_grad = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_ARGUMENTS_H_
