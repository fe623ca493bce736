#include "rpc/call_ids.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_join.h"

namespace gradwire::rpc {
namespace {

const std::string kTrace = "0af7651916cd43dd8448eb211c80319c";
const std::string kSpan = "b7ad6b7169203331";

std::string TraceOf(const std::string& value) {
  CallIds ids;
  ReadTraceparent(value, ids);
  EXPECT_EQ(ids.trace.empty(), ids.span.empty());
  return ids.trace;
}

// The fields of a traceparent.
std::string Joined(const std::vector<std::string>& fields) { return absl::StrJoin(fields, "-"); }

TEST(CallIds, TakesTraceAndSpan) {
  CallIds ids;
  ReadTraceparent(Joined({"00", kTrace, kSpan, "01"}), ids);
  EXPECT_EQ(ids.trace, kTrace);
  EXPECT_EQ(ids.span, kSpan);
  EXPECT_EQ(TraceOf(Joined({"01", kTrace, kSpan, "01-of-a-later-version"})), kTrace);
}

TEST(CallIds, LeavesOutWhatIsNoTraceparent) {
  const std::string zeros(32, '0');
  for (const std::string& value :
       {std::string(), Joined({"00", kTrace, kSpan}), Joined({"ff", kTrace, kSpan, "01"}),
        Joined({"00", zeros, kSpan, "01"}), Joined({"00", kTrace, zeros.substr(16), "01"}),
        Joined({"00", kTrace, kSpan, "01-more"}), Joined({"00", kTrace, kSpan, "0x"}),
        Joined({"zz", kTrace, kSpan, "01"}), Joined({"00", kTrace.substr(1) + "-", kSpan, "01"}),
        Joined({"00", "0AF7651916CD43DD8448EB211C80319C", kSpan, "01"})}) {
    EXPECT_EQ(TraceOf(value), "") << value;
  }
}

}  // namespace
}  // namespace gradwire::rpc
