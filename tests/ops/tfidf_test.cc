#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using Integers = std::vector<int64_t>;

// Four 1-grams and three 2-grams.
Attributes Pool(const std::string& mode, int64_t shortest, int64_t longest, int64_t skips) {
  return {{"mode", mode},
          {"min_gram_length", shortest},
          {"max_gram_length", longest},
          {"max_skip_count", skips},
          {"ngram_counts", Integers{0, 4}},
          {"ngram_indexes", Integers{0, 1, 2, 3, 4, 5, 6}},
          {"pool_int64s", Integers{2, 3, 5, 4, 5, 6, 7, 8, 6, 7}}};
}
Attributes Weighted(Attributes attributes, int64_t count) {
  attributes.Set("weights", std::vector<double>(static_cast<size_t>(count), 0.5));
  return attributes;
}
Input Sequence() { return Ints({12}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8}); }

OP_CASES(TfIdfVectorizer,
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Pool("TF", 2, 2, 0),
          .expect = std::vector<double>{0, 0, 0, 0, 1, 1, 1},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Pool("TF", 1, 2, 5),
          .expect = std::vector<double>{0, 3, 1, 0, 1, 3, 1},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Ints({2, 6}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8}, DType::kInt32)},
          .attributes = Pool("TF", 2, 2, 5),
          .expect = std::vector<double>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Pool("IDF", 1, 1, 0),
          .expect = std::vector<double>{0, 1, 1, 0, 0, 0, 0},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Weighted(Pool("TFIDF", 1, 1, 0), 7),
          .expect = std::vector<double>{0, 1.5, 0.5, 0, 0, 0, 0},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Ints({2, 3}, {1, 5, 6, 5, 7, 6})},
          .attributes = Pool("TF", 2, 2, int64_t{1} << 40),
          .expect = std::vector<double>{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0},
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Ints({2, 0}, {})},
          .attributes = Pool("TF", 1, 2, 1),
          .expect = std::vector<double>(14, 0.0),
          .order = 0},
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Weighted(Pool("IDF", 1, 2, 0), 3),
          .error = "INVALID_ARGUMENT"},
         {.op = "TfIdfVectorizer",
          .inputs = {Sequence()},
          .attributes = Pool("BM25", 1, 2, 0),
          .error = "INVALID_ARGUMENT"},
         {.op = "TfIdfVectorizer",
          .inputs = {Ints({1, 1, 1}, {1})},
          .attributes = Pool("TF", 1, 2, 0),
          .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
