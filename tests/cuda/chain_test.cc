// Chains of elementwise operators as generated kernels: how they are made, and that NVRTC takes
// them. What they compute is tested on every device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "backend/cuda/nvrtc.h"
#include "tests/cuda/fake_device.h"
#include "tests/device/chain_bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ChainBench;
using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FakeGpu;
using ::testing::HasSubstr;
using testing::kChainTypes;
using ::testing::StartsWith;

struct GpuOwner {
  FakeGpu gpu;
};

class CudaChainTest : public GpuOwner, public ChainBench, public ::testing::Test {
 protected:
  CudaChainTest() : ChainBench(gpu.backend()) {}

  // The sources of all chains of a plan.
  static std::vector<std::string> SourcesOf(const Plan& plan) {
    std::vector<std::string> sources;
    for (const PlanStep& step : plan.steps) {
      if (step.chain != nullptr) sources.push_back(SourceOf(*step.chain));
    }
    return sources;
  }
};

// What the CPU fuses, a GPU does.
TEST_F(CudaChainTest, EveryOperatorWithALoopHasAFunctor) {
  for (const OpDef* op : Registry::Global().All()) {
    if (op->cuda == nullptr) continue;
    EXPECT_EQ(op->loop != nullptr, !op->functor.type.empty()) << op->name;
  }
}

TEST_F(CudaChainTest, AttributesAreNotPartOfTheSource) {
  const Value x = Normal({100});
  const auto steep = [&](double alpha) {
    return Fused({Call("LeakyRelu", {x}, {{"alpha", alpha}}) * 2.0});
  };
  EXPECT_EQ(SourcesOf(steep(0.5)), SourcesOf(steep(0.25)));
  EXPECT_THAT(SourcesOf(steep(0.5)), ElementsAre(HasSubstr("fn::LeakyRelu f0;")));
}

TEST_F(CudaChainTest, AResultTakesTheMemoryOfAnInputThatNobodyElseReads) {
  constexpr int64_t kLength = 1 << 16;
  const Traced traced = TraceOf({Tanh(Normal({kLength})) + 1.0});
  const Plan fused = Fuse(traced.plan, bench().stream());
  const std::vector<std::string> expected = BytesOf(ChainBench::Run(traced, traced.plan));
  std::vector<Tensor> arrays(fused.specs.size());
  const void* memory = nullptr;
  for (const auto& [slot, number] : traced.given) {
    Tensor& array = arrays[static_cast<size_t>(number)];
    array = FromHost(OnHost(slot->tensor, bench().stream()), bench().stream());
    if (array.numel() == kLength) memory = array.buffer()->data();
  }
  Executor(bench().stream(), [] {}).Run(fused, arrays);
  const Tensor& result = arrays[static_cast<size_t>(traced.results[0])];
  EXPECT_EQ(result.buffer()->data(), memory);
  const Tensor host = OnHost(result, bench().stream());
  EXPECT_EQ(std::string(host.data<char>(), host.bytes()), expected[0]);
}

TEST_F(CudaChainTest, WithoutACompilerStepsRunAloneAndTheDeviceSaysSo) {
  gpu.driver().DoNotCompile();
  const Value x = Normal({3, 5});
  EXPECT_THAT(LinksOf({Tanh(x * x + x) - x}), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(gpu.backend().Describe().library,
              HasSubstr("no generated kernels: there is no compiler"));
}

// Without a GPU: this is for where CUDA's toolkit is, and says so where it is not.
TEST_F(CudaChainTest, NvrtcCompilesThem) {
  if (std::getenv("GRADWIRE_TEST_NVRTC") == nullptr) {
    GTEST_SKIP() << "tests/cuda/library_test.py asks for it where there is nvcc";
  }
  ASSERT_THAT(cuda::NvrtcVersion(), StartsWith("NVRTC "));
  std::vector<std::string> sources;
  const auto note = [&](const std::vector<Value>& results) {
    const Plan fused = Fuse(TraceOf(results).plan, bench().stream());
    for (const std::string& source : SourcesOf(fused)) sources.push_back(source);
  };
  for (const DType dtype : kChainTypes) note(EachOperatorOf(dtype));
  note({Tanh(Normal({3, 2, 5, 8}) * Normal({2, 1, 8}) + Normal({3, 1, 5, 1}))});
  EXPECT_GT(sources.size(), std::size(kChainTypes));
  for (const std::string& source : sources) {
    std::string cubin;
    EXPECT_EQ(ErrorOf([&] { cubin = cuda::CompileToCubin(source, "9.0"); }), "no error") << source;
    EXPECT_THAT(cubin, StartsWith("\x7f"
                                  "ELF"));
  }
  EXPECT_THAT(ErrorOf([] { cuda::CompileToCubin("nonsense", "9.0"); }),
              StartsWith("OP_UNSUPPORTED: NVRTC: chain.cu(1)"));
}

}  // namespace
}  // namespace gradwire
