// TfIdfVectorizer: counts the n-grams of a pool in sequences of integers or strings.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/parallel.h"
#include "core/strings.h"
#include "graph/kernel.h"
#include "graph/op_call.h"

namespace gradwire {
namespace {

using Gram = std::vector<int64_t>;

struct Vectorizer {
  explicit Vectorizer(const Attributes& attributes);

  int64_t shortest, longest, skips;
  int64_t width;  // of a row of the result
  // The pool's strings by number, where it holds strings: n-grams are of these numbers.
  std::unordered_map<std::string_view, int64_t> words;
  std::map<Gram, int64_t> columns;
};

// The number of a string; -1, which no n-gram holds, where the pool does not have it.
int64_t NumberOf(std::string_view word, const Vectorizer& vectorizer) {
  const auto found = vectorizer.words.find(word);
  return found == vectorizer.words.end() ? -1 : found->second;
}

// The pool holds the 1-grams, then the 2-grams and so on; `ngram_counts` says where each length
// begins, and `ngram_indexes` which column each n-gram is counted in.
Vectorizer::Vectorizer(const Attributes& attributes)
    : shortest(attributes.Int("min_gram_length")),
      longest(attributes.Int("max_gram_length")),
      skips(attributes.Int("max_skip_count")) {
  if (attributes.Has("pool_int64s") == attributes.Has("pool_strings")) {
    throw Error(reason::kInvalidArgument, "takes either pool_int64s or pool_strings");
  }
  std::vector<int64_t> pool = attributes.Ints("pool_int64s", {});
  if (attributes.Has("pool_strings")) {
    for (const std::string& word : attributes.Strings("pool_strings")) {
      pool.push_back(words.try_emplace(word, std::ssize(words)).first->second);
    }
  }
  const std::vector<int64_t>& starts = attributes.Ints("ngram_counts");
  const std::vector<int64_t>& indices = attributes.Ints("ngram_indexes");
  const auto refuse = [](const char* why) { throw Error(reason::kInvalidArgument, why); };
  if (shortest < 1 || longest < shortest || skips < 0) {
    refuse("1 <= min_gram_length <= max_gram_length and 0 <= max_skip_count are expected");
  }
  size_t gram = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t end = i + 1 < starts.size() ? starts[i + 1] : std::ssize(pool);
    const auto length = static_cast<int64_t>(i) + 1;
    if (starts[i] < 0 || end < starts[i] || end > std::ssize(pool)) {
      refuse("ngram_counts must ascend within the pool");
    }
    for (int64_t at = starts[i]; at + length <= end; at += length, ++gram) {
      if (gram >= indices.size()) refuse("ngram_indexes is shorter than the pool");
      if (length < shortest || length > longest) continue;
      columns[Gram(pool.begin() + at, pool.begin() + at + length)] = indices[gram];
    }
  }
  if (indices.empty() || *std::min_element(indices.begin(), indices.end()) < 0) {
    refuse("ngram_indexes must hold columns from 0 on");
  }
  width = *std::max_element(indices.begin(), indices.end()) + 1;
}

// Adds up in `counts` the n-grams of a row, whose items may lie up to `skips` others apart; a
// 1-gram counts once.
template <class T>
void CountRow(const Vectorizer& v, const T* row, int64_t length, float* counts) {
  Gram gram;
  const int64_t farthest = std::min(v.skips, length) + 1;  // only 1-grams reach beyond the row
  for (int64_t distance = 1; distance <= farthest; ++distance) {
    const int64_t shortest = distance == 1 ? v.shortest : std::max<int64_t>(v.shortest, 2);
    for (int64_t start = 0; start < length; ++start) {
      gram.clear();
      for (int64_t at = start; at < length && std::ssize(gram) < v.longest; at += distance) {
        gram.push_back(row[at]);
        if (std::ssize(gram) < shortest) continue;
        const auto found = v.columns.find(gram);
        if (found != v.columns.end()) counts[found->second] += 1;
      }
    }
  }
}

Specs InferTfIdf(const OpCall& call) {
  if (call.rank(0) > 2) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("X is {}, [length] or [batch,length] is expected", ToString(call.spec(0))));
  }
  const std::string& mode = call.attributes().String("mode");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") {
    throw Error(reason::kInvalidArgument,
                fmt::format("mode '{}' is not one of TF, IDF, TFIDF", mode));
  }
  if ((call.dtype(0) == DType::kString) != call.attributes().Has("pool_strings")) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("X is {}, the pool holds {}", ToString(call.spec(0)),
                            call.dtype(0) == DType::kString ? "integers" : "strings"));
  }
  const int64_t width = Vectorizer(call.attributes()).width;
  if (call.attributes().Has("weights") && std::ssize(call.attributes().Floats("weights")) < width) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} weights are given, expected {}",
                            call.attributes().Floats("weights").size(), width));
  }
  const bool batched = call.rank(0) == 2;
  return {{DType::kFloat32, batched ? Dims{call.dims(0)[0], width} : Dims{width}}};
}

void TfIdfCpu(KernelContext& context) {
  const Tensor& x = context.input(0);
  const Vectorizer vectorizer(context.attributes());
  const bool batched = x.rank() == 2;
  const int64_t rows = batched ? x.dims()[0] : 1;
  const int64_t length = batched ? x.dims()[1] : x.numel();
  const std::string& mode = context.attributes().String("mode");
  const bool weighted = mode != "TF" && context.attributes().Has("weights");
  float* y = context.out<float>(0);
  std::fill_n(y, rows * vectorizer.width, 0.0f);
  const auto count = [&](const auto* items) {
    for (int64_t r = 0; r < rows; ++r) {
      CountRow(vectorizer, items + r * length, length, y + r * vectorizer.width);
    }
  };
  if (x.dtype() == DType::kString) {
    std::vector<int64_t> numbers;
    for (const std::string_view word : Texts(x)) numbers.push_back(NumberOf(word, vectorizer));
    count(numbers.data());
  } else {
    Dispatch(TypeList<int32_t, int64_t>{}, x.dtype(), [&]<class T>() { count(context.in<T>(0)); });
  }
  for (int64_t i = 0; i < rows * vectorizer.width; ++i) {
    if (mode == "IDF") y[i] = y[i] > 0 ? 1.0f : 0.0f;
    if (!weighted) continue;
    const auto column = static_cast<size_t>(i % vectorizer.width);
    y[i] *= static_cast<float>(context.attributes().Floats("weights")[column]);
  }
}

GRADWIRE_OP({.name = "TfIdfVectorizer",
             .since = 9,
             .types = DTypeSet(DType::kInt32) | DType::kInt64 | DType::kString,
             .attributes = {"max_gram_length", "max_skip_count", "min_gram_length", "mode",
                            "ngram_counts", "ngram_indexes", "pool_int64s", "pool_strings",
                            "weights"},
             .infer = InferTfIdf,
             .cpu = TfIdfCpu,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
