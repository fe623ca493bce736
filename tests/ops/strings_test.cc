#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

// What the operators do to strings is for tests/e2e/strings_test.py; numbers are not theirs.
OP_CASES(StringConcat,
         {.op = "StringConcat", .inputs = {Normal({2}), Normal({2})}, .error = "OP_UNSUPPORTED"});
OP_CASES(StringSplit, {.op = "StringSplit", .inputs = {Normal({2})}, .error = "OP_UNSUPPORTED"});
OP_CASES(StringNormalizer,
         {.op = "StringNormalizer", .inputs = {Normal({2})}, .error = "OP_UNSUPPORTED"});
OP_CASES(RegexFullMatch, {.op = "RegexFullMatch",
                          .inputs = {Normal({2})},
                          .attributes = {{"pattern", std::string("a")}},
                          .error = "OP_UNSUPPORTED"});

OP_CASES(LabelEncoder, {.op = "ai.onnx.ml::LabelEncoder",
                        .inputs = {Ints({2, 2}, {3, 5, 4, 3})},
                        .attributes = {{"keys_int64s", std::vector<int64_t>{3, 5}},
                                       {"values_floats", std::vector<double>{10, 20}},
                                       {"default_float", -1.0}},
                        .expect = std::vector<double>{10, 20, -1, 10}});
// The place of the last key that is equal; one past the end where none is.
OP_CASES(KeyIndex, {.op = "gradwire::KeyIndex",
                    .inputs = {Ints({4}, {7, 9, 8, 7}), Ints({3}, {7, 8, 7})},
                    .expect = std::vector<double>{2, 3, 1, 2}});

}  // namespace
}  // namespace gradwire::testing
