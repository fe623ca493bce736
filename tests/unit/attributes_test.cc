#include "core/attributes.h"

#include <gtest/gtest.h>

#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

TEST(AttributesTest, ReadsWhatWasSet) {
  Attributes attributes{
      {"axis", int64_t{-1}}, {"alpha", 0.5}, {"perm", std::vector<int64_t>{1, 0}}};
  attributes.Set("mode", "edge");
  attributes.Set("axis", int64_t{2});
  EXPECT_EQ(attributes.Int("axis"), 2);
  EXPECT_EQ(attributes.Float("alpha"), 0.5);
  EXPECT_EQ(attributes.Ints("perm"), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(attributes.String("mode"), "edge");
  EXPECT_EQ(attributes.entries().size(), 4u);
}

TEST(AttributesTest, FallsBackOnlyWhenAbsent) {
  const Attributes attributes{{"axis", int64_t{3}}};
  EXPECT_EQ(attributes.Int("axis", 7), 3);
  EXPECT_EQ(attributes.Int("keepdims", 1), 1);
  EXPECT_EQ(attributes.Float("alpha", 0.25), 0.25);
  EXPECT_EQ(attributes.String("mode", "constant"), "constant");
  EXPECT_EQ(attributes.Ints("axes", {0}), std::vector<int64_t>{0});
}

TEST(AttributesTest, SaysWhatIsMissingOrMistyped) {
  const Attributes attributes{{"axis", 1.0}};
  EXPECT_EQ(ErrorOf([&] { attributes.Int("axis", 0); }),
            "INVALID_ARGUMENT: attribute 'axis' must be of type INT");
  EXPECT_EQ(ErrorOf([&] { attributes.Floats("scales"); }),
            "INVALID_ARGUMENT: attribute 'scales' is required");
}

}  // namespace
}  // namespace gradwire
