// Calls operators at once: for tests that a row of op_case.h does not cover.
#ifndef GRADWIRE_TESTS_OPS_EAGER_H_
#define GRADWIRE_TESTS_OPS_EAGER_H_

#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "exec/executor.h"
#include "graph/formula.h"
#include "graph/trace.h"

namespace gradwire::testing {

// A device, a trace and an executor; the trace is current while it lives.
class Eager {
 public:
  Eager() : stream_(backend_.NewStream(std::make_shared<Quota>(0))) {}

  Value Make(const Dims& dims, const std::vector<double>& elements) {
    Tensor tensor = AllocateTensor(*stream_, {DType::kFloat64, dims});
    std::copy(elements.begin(), elements.end(), tensor.mutable_data<double>());
    return Value(std::move(tensor));
  }
  std::vector<double> Read(const Value& value) {
    const Value wide = Cast(value, DType::kFloat64);
    executor_.Evaluate(std::vector{wide});
    const double* data = wide.tensor().data<double>();
    return {data, data + wide.numel()};
  }

 private:
  CpuBackend backend_;
  std::unique_ptr<Stream> stream_;
  uint64_t random_state_ = 1;
  Executor executor_{*stream_, [] {}};
  Trace trace_{*stream_, executor_, random_state_};
  TraceScope scope_{trace_};
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_EAGER_H_
