// The laws that hold for every operator at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "graph/op.h"
#include "tests/ops/op_case.h"

namespace gradwire {
namespace {

TEST(RegistryTest, RowsKeepTheLaws) {
  EXPECT_THAT(Registry::Global().Validate(), ::testing::IsEmpty());
}

TEST(RegistryTest, EachOperatorHasATestRow) {
  const std::vector<std::string>& covered = testing::CoveredOps();
  std::set<std::string> missing;
  for (const OpDef* op : Registry::Global().All()) {
    // Sequences and graphs are tested through nodes and models: tests/e2e.
    if (op->structured != nullptr && op->cpu == nullptr && op->decompose == nullptr) continue;
    const std::string prefix = op->domain.empty() ? "" : std::string(op->domain) + "::";
    missing.insert(prefix + std::string(op->name));
  }
  for (const std::string& name : covered) missing.erase(name);
  EXPECT_THAT(missing, ::testing::IsEmpty());
}

}  // namespace
}  // namespace gradwire
