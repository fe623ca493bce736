// Chains of elementwise operators as generated kernels: what they compute, and that NVRTC takes
// them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "backend/cuda/nvrtc.h"
#include "tests/cuda/fake_device.h"
#include "tests/unit/error_of.h"
#include "tests/unit/fusion_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FakeGpu;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr DType kAll[] = {DType::kFloat32, DType::kFloat64, DType::kInt8,  DType::kInt16,
                          DType::kInt32,   DType::kInt64,   DType::kUint8, DType::kUint16,
                          DType::kUint32,  DType::kUint64,  DType::kBool,  DType::kFloat16,
                          DType::kBfloat16};

struct GpuOwner {
  FakeGpu gpu;
};

class CudaChainTest : public GpuOwner, public testing::FusionBench, public ::testing::Test {
 protected:
  CudaChainTest() : FusionBench(gpu.backend()) {}

  // Small numbers of any type.
  Value Numbers(const Dims& dims, DType dtype) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    const bool is_signed = !kUnsignedInts.Contains(dtype) && dtype != DType::kBool;
    std::uniform_real_distribution<double> numbers(is_signed ? -4 : 0, 5);
    for (double& element : elements) {
      element = numbers(random());
      if (dtype == DType::kBool) element = element < 2 ? 0 : 1;
      if (kInts.Contains(dtype)) element = static_cast<int>(element);
    }
    return bench().Make(dims, elements, dtype);
  }

  // Every operator that has a functor for elements of this type, on the same two arrays; and casts
  // to every type.
  std::vector<Value> EachOperatorOf(DType dtype) {
    const Value x = Numbers({3, 37}, dtype);
    const Value y = Numbers({3, 37}, dtype);
    std::vector<Value> results = {Where(Numbers({3, 37}, DType::kBool), x, y)};
    for (const DType to : kAll) {
      if (to != dtype) results.push_back(Cast(x, to));
    }
    for (const OpDef* op : Registry::Global().All()) {
      if (op->functor.type.empty() || !op->types.Contains(dtype)) continue;
      if (op->name == "Cast" || op->name == "Where") continue;
      named_.insert(op->name);
      Attributes attributes;
      if (op->name == "BitShift") attributes.Set("direction", std::string("LEFT"));
      if (op->name == "Mod") attributes.Set("fmod", int64_t{kFloats.Contains(dtype)});
      Values inputs = {x};
      if (op->inputs.max == 2) inputs.push_back(y);
      if (op->name == "Clip") inputs = {x, Value(), Numbers({}, dtype)};
      results.push_back(Apply(*op, inputs, attributes)[0]);
    }
    return results;
  }

  // The sources of all chains of a plan.
  static std::vector<std::string> SourcesOf(const Plan& plan) {
    std::vector<std::string> sources;
    for (const PlanStep& step : plan.steps) {
      if (step.chain != nullptr) sources.push_back(SourceOf(*step.chain));
    }
    return sources;
  }

  std::set<std::string_view> named_{"Cast", "Where"};
};

TEST_F(CudaChainTest, EveryOperatorOfEveryTypeGivesTheSameBits) {
  for (const DType dtype : kAll) {
    SCOPED_TRACE(Name(dtype));
    const Plan fused = Fused(EachOperatorOf(dtype));
    EXPECT_LE(fused.steps.size(), 2u);  // chains are bounded
    EXPECT_NE(fused.steps[0].chain, nullptr);
  }
  for (const OpDef* op : Registry::Global().All()) {
    EXPECT_TRUE(op->functor.type.empty() || named_.contains(op->name)) << op->name;
  }
}

// What the CPU fuses, a GPU does.
TEST_F(CudaChainTest, EveryOperatorWithALoopHasAFunctor) {
  for (const OpDef* op : Registry::Global().All()) {
    if (op->cuda == nullptr) continue;
    EXPECT_EQ(op->loop != nullptr, !op->functor.type.empty()) << op->name;
  }
}

TEST_F(CudaChainTest, OperandsBroadcast) {
  const Value x = Normal({4, 5});
  EXPECT_THAT(LinksOf({(x + Normal({5})) * Normal({4, 1}) - Normal({})}), ElementsAre(3));
  // Rows of whole packs, and with a rest.
  for (const int64_t last : {8, 6, 1}) {
    const Value wide = Normal({3, 2, 5, last});
    EXPECT_THAT(LinksOf({Tanh(wide * Normal({2, 1, last}) + Normal({3, 1, 5, 1}))}),
                ElementsAre(3));
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

TEST_F(CudaChainTest, EmptyArraysAndScalars) {
  EXPECT_THAT(LinksOf({Tanh(Normal({0, 3})) * 2.0}), ElementsAre(2));
  EXPECT_THAT(LinksOf({Tanh(Normal({})) * 2.0}), ElementsAre(2));
}

TEST_F(CudaChainTest, RandomProgramsGiveTheSameBits) {
  for (int program = 0; program < 6; ++program) LinksOf(RandomProgram());
}

TEST_F(CudaChainTest, AResultTakesTheMemoryOfAnInputThatNobodyElseReads) {
  constexpr int64_t kLength = 1 << 16;
  const Traced traced = TraceOf({Tanh(Normal({kLength})) + 1.0});
  const Plan fused = Fuse(traced.plan, bench().stream());
  const std::vector<std::string> expected = BytesOf(FusionBench::Run(traced, traced.plan));
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
  for (const DType dtype : kAll) note(EachOperatorOf(dtype));
  note({Tanh(Normal({3, 2, 5, 8}) * Normal({2, 1, 8}) + Normal({3, 1, 5, 1}))});
  EXPECT_GT(sources.size(), std::size(kAll));
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
