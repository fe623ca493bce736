// A device, a trace and an executor, as a session has them; for tests.
#ifndef GRADWIRE_TESTS_OPS_BENCH_H_
#define GRADWIRE_TESTS_OPS_BENCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/on_host.h"
#include "backend/quota.h"
#include "exec/executor.h"
#include "graph/trace.h"

namespace gradwire::testing {

class Bench {
 public:
  explicit Bench(
      std::function<void()> between_ops = [] {}, Backend& backend = Cpu())
      : stream_(backend.NewStream(std::make_shared<Quota>(0))),
        executor_(*stream_, std::move(between_ops)) {}

  Trace& trace() { return trace_; }
  Stream& stream() { return *stream_; }
  // Bytes that this bench's arrays hold.
  int64_t used() const { return stream_->quota()->used(); }

  // A ready array; a leaf that requires grad when `leaf`.
  Value Make(const Dims& dims, const std::vector<double>& elements, DType dtype = DType::kFloat64,
             bool leaf = false) {
    Tensor host = AllocateTensor(stream_->host(), {dtype, dims});
    Dispatch(DenseTypes{}, dtype, [&]<class T>() {
      T* data = host.mutable_data<T>();
      for (size_t i = 0; i < elements.size(); ++i) data[i] = static_cast<T>(elements[i]);
    });
    Value value{FromHost(std::move(host), *stream_)};
    if (leaf) value.slot()->leaf = std::make_shared<Leaf>();
    return value;
  }

  // Makes the values that are given ready.
  void Run(const Values& values) {
    std::vector<Value> targets;
    for (const Value& value : values) {
      if (value) targets.push_back(value);
    }
    executor_.Evaluate(targets);
  }
  std::vector<double> Read(const Value& value) {
    Run({value});
    const Tensor host = OnHost(value.tensor(), *stream_);
    std::vector<double> elements(static_cast<size_t>(value.numel()));
    Dispatch(DenseTypes{}, value.dtype(), [&]<class T>() {
      const T* data = host.data<T>();
      for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<double>(data[i]);
    });
    return elements;
  }

 private:
  static Backend& Cpu() {
    static CpuBackend cpu;
    return cpu;
  }

  std::unique_ptr<Stream> stream_;
  uint64_t random_state_ = 1;
  Executor executor_;
  Trace trace_{*stream_, executor_, random_state_};
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_BENCH_H_
