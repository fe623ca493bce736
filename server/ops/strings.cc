// StringConcat, StringSplit, RegexFullMatch, StringNormalizer.
#include "core/strings.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <vector>

#include "core/parallel.h"
#include "core/utf8.h"
#include "graph/formula.h"
#include "graph/on_host.h"
#include "ops/characters.h"
#include "ops/elementwise.h"

namespace gradwire {
namespace {

constexpr DTypeSet kStrings = DType::kString;

// ---- StringConcat

// Calls f(i, text of a, text of b) for each element i of the output, in order.
template <class F>
void ForEachPair(const KernelContext& k, const Tensor& y, F&& f) {
  const BroadcastLoop<2> loop(y.dims(), {k.input(0).dims(), k.input(1).dims()});
  const std::array<int64_t, 2> step = loop.inner();
  loop.Run(0, loop.total(), [&](const std::array<int64_t, 2>& at, int64_t out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      f(out + i, k.in<std::string_view>(0)[at[0] + i * step[0]],
        k.in<std::string_view>(1)[at[1] + i * step[1]]);
    }
  });
}

void StringConcatCpu(KernelContext& k) {
  Tensor& y = k.output(0);
  size_t bytes = 0;
  ForEachPair(
      k, y, [&](int64_t, std::string_view a, std::string_view b) { bytes += a.size() + b.size(); });
  const BufferPtr pool = k.Scratch(bytes);
  char* end = static_cast<char*>(pool->data());
  auto* elements = k.out<std::string_view>(0);
  ForEachPair(k, y, [&](int64_t i, std::string_view a, std::string_view b) {
    const char* begin = end;
    end = std::copy(b.begin(), b.end(), std::copy(a.begin(), a.end(), end));
    elements[i] = {begin, a.size() + b.size()};
  });
  y.buffer()->Hold(pool);
}

GRADWIRE_OP({.name = "StringConcat",
             .since = 20,
             .inputs = 2,
             .types = kStrings,
             .infer = BroadcastOfInputs,
             .cpu = StringConcatCpu,
             .differentiable = false});

// ---- StringSplit: how many parts there are decides the shape, so the input is read while tracing

// Takes words off a text at white space, or parts at a delimiter.
class Splitter {
 public:
  explicit Splitter(const Attributes& attributes)
      : delimiter_(attributes.String("delimiter", "")),
        most_(attributes.Int("maxsplit", std::numeric_limits<int64_t>::max())) {
    if (most_ < 0) most_ = std::numeric_limits<int64_t>::max();
  }

  // Calls f(part) for each part of the text, and says how many there were.
  template <class F>
  int64_t Split(std::string_view text, F&& f) const {
    int64_t parts = 0;
    if (delimiter_.empty()) text = SkipSpace(text);
    while (!delimiter_.empty() || !text.empty()) {
      const size_t end = parts == most_ ? std::string_view::npos : End(text);
      f(text.substr(0, end));
      ++parts;
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + delimiter_.size());
      if (delimiter_.empty()) text = SkipSpace(text);
    }
    return parts;
  }

 private:
  static std::string_view SkipSpace(std::string_view text) {
    while (!text.empty()) {
      const Character first = FirstCharacter(text);
      if (!IsSpace(first.code)) break;
      text.remove_prefix(first.bytes);
    }
    return text;
  }

  // Where the first part of a text ends; npos where it is all of it.
  size_t End(std::string_view text) const {
    if (!delimiter_.empty()) return text.find(delimiter_);
    for (size_t at = 0; at < text.size();) {
      const Character character = FirstCharacter(text.substr(at));
      if (IsSpace(character.code)) return at;
      at += character.bytes;
    }
    return std::string_view::npos;
  }

  const std::string delimiter_;
  int64_t most_;
};

Values DecomposeStringSplit(const OpCall& call) {
  const Splitter splitter(call.attributes());
  const Tensor x = OnHost(call.input(0));
  Stream& stream = Trace::Current().stream();
  Tensor counts = AllocateTensor(stream, {DType::kInt64, x.dims()});
  int64_t* count = counts.mutable_data<int64_t>();
  int64_t most = 0;
  for (const std::string_view text : Texts(x)) {
    most = std::max(most, *count++ = splitter.Split(text, [](std::string_view) {}));
  }
  TensorSpec spec{DType::kString, x.dims()};
  spec.dims.push_back(most);
  CheckSpec(spec);
  Tensor parts = AllocateTensor(stream, spec);
  auto* row = parts.mutable_data<std::string_view>();
  for (const std::string_view text : Texts(x)) {
    auto* element = row;
    splitter.Split(text, [&](std::string_view part) { *element++ = part; });
    std::fill(element, row += most, std::string_view());
  }
  HoldPools(x, parts);
  return {Value(std::move(parts)), Value(std::move(counts))};
}

GRADWIRE_OP({.name = "StringSplit",
             .since = 20,
             .outputs = {1, 2},
             .types = kStrings,
             .attributes = {"delimiter", "maxsplit"},
             .decompose = DecomposeStringSplit,
             .differentiable = false});

// ---- RegexFullMatch

RE2::Options QuietOptions() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

Specs InferRegex(const OpCall& call) {
  const std::string& pattern = call.attributes().String("pattern");
  const RE2 regex(pattern, QuietOptions());
  if (!regex.ok()) {
    throw Error(reason::kInvalidArgument, fmt::format("pattern '{}' is not RE2's syntax: {}",
                                                      ToUtf8(pattern), ToUtf8(regex.error())));
  }
  return BoolLikeInput(call);
}

void RegexCpu(KernelContext& k) {
  const RE2 regex(k.attributes().String("pattern"), QuietOptions());
  const std::string_view* x = k.in<std::string_view>(0);
  bool* y = k.out<bool>(0);
  ParallelFor(k.input(0).numel(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      y[i] = RE2::FullMatch({x[i].data(), x[i].size()}, regex);
    }
  });
}

GRADWIRE_OP({.name = "RegexFullMatch",
             .since = 20,
             .types = kStrings,
             .attributes = {"pattern"},
             .infer = InferRegex,
             .cpu = RegexCpu,
             .differentiable = false});

// ---- StringNormalizer: stop words decide the shape, so the input is read while tracing

using CaseMap = std::string (*)(std::string_view);

std::string Unchanged(std::string_view text) { return std::string(text); }

CaseMap CaseMapOf(const Attributes& attributes) {
  const std::string action = attributes.String("case_change_action", "NONE");
  if (action == "LOWER") return ToLower;
  if (action == "UPPER") return ToUpper;
  if (action == "NONE") return Unchanged;
  throw Error(
      reason::kInvalidArgument,
      fmt::format("case_change_action is '{}': LOWER, UPPER or NONE is expected", ToUtf8(action)));
}

void RequireKnownCase(const std::string& locale) {
  for (const std::string_view language : {"tr", "az", "lt"}) {
    if (!locale.starts_with(language)) continue;
    if (locale.size() > 2 && locale[2] != '_' && locale[2] != '-' && locale[2] != '.') continue;
    throw Error(reason::kOpUnsupported,
                fmt::format("locale '{}': the case rules of Turkish, Azerbaijani and Lithuanian "
                            "are not known here",
                            ToUtf8(locale)));
  }
}

Values DecomposeStringNormalizer(const OpCall& call) {
  const Dims& dims = call.dims(0);
  if (dims.size() != 1 && (dims.size() != 2 || dims[0] != 1)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, [C] or [1,C] is expected", ToString(call.spec(0))));
  }
  const Attributes& attributes = call.attributes();
  RequireKnownCase(attributes.String("locale", ""));
  const CaseMap change = CaseMapOf(attributes);
  const CaseMap compared = attributes.Int("is_case_sensitive", 0) != 0 ? Unchanged : ToLower;
  std::unordered_set<std::string> stops;
  if (attributes.Has("stopwords")) {
    for (const std::string& word : attributes.Strings("stopwords")) {
      RequireUtf8(word, "a stop word");
      stops.insert(compared(word));
    }
  }
  const Tensor x = OnHost(call.input(0));
  Stream& stream = Trace::Current().stream();
  // Many elements may share one text: what is written here is of the size of all of them.
  size_t bytes = 0;
  for (const std::string_view text : Texts(x)) bytes += text.size();
  const BufferPtr booked = stream.Allocate(bytes);
  std::vector<std::string> kept;
  for (const std::string_view text : Texts(x)) {
    if (!stops.contains(compared(text))) kept.push_back(change(text));
  }
  if (kept.empty()) kept.emplace_back();
  Dims result = dims;
  result.back() = std::ssize(kept);
  return {Strings(result, std::vector<std::string_view>(kept.begin(), kept.end()))};
}

GRADWIRE_OP({.name = "StringNormalizer",
             .since = 10,
             .types = kStrings,
             .attributes = {"case_change_action", "is_case_sensitive", "locale", "stopwords"},
             .decompose = DecomposeStringNormalizer,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
