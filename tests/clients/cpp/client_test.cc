// The C++ client against the server at GRADWIRE_TARGET.

#include "gradwire/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gradwire/v1/gradwire.grpc.pb.h"

namespace gradwire::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Target() {
  const char* target = std::getenv("GRADWIRE_TARGET");
  return target == nullptr ? "127.0.0.1:50051" : target;
}

class ClientTest : public ::testing::Test {
 protected:
  void PutFloats(const std::string& name, Dims dims, const std::vector<float>& values,
                 bool requires_grad = false) {
    session.Put({View<float>(name, std::move(dims), values)}, requires_grad);
  }
  std::vector<float> Floats(const std::string& name) {
    const Array array = session.Fetch(name);
    return {array.values<float>().begin(), array.values<float>().end()};
  }

  Client client{Target()};
  Session session = client.OpenSession();
};

// The peak of resident memory of this process, in bytes.
size_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) << 10;
  }
  return 0;
}

TEST_F(ClientTest, ArraysOfAnyShapeComeBack) {
  const std::vector<int64_t> numbers = {1, -2, 3, -4, 5, -6};
  const std::vector<double> scalar = {2.5};
  session.Put({View<int64_t>("matrix", {2, 3}, numbers), View<double>("scalar", {}, scalar),
               View<float>("empty", {0, 4}, {})});
  const std::vector<Array> arrays = session.FetchMany({"empty", "matrix", "scalar"});
  EXPECT_THAT(arrays[0].dims(), ElementsAre(0, 4));
  EXPECT_THAT(arrays[1].dims(), ElementsAre(2, 3));
  EXPECT_THAT(arrays[1].values<int64_t>(), ElementsAre(1, -2, 3, -4, 5, -6));
  EXPECT_EQ(arrays[2].item<double>(), 2.5);
  EXPECT_THROW(arrays[2].values<float>(), DtypeMismatch);
  EXPECT_THROW(arrays[1].item<int64_t>(), ShapeMismatch);
}

TEST_F(ClientTest, ManyChunksGoStraightBetweenUserMemoryAndTheNetwork) {
  std::vector<uint32_t> sent((64 << 20) + 7);  // 256 MiB and a bit
  std::vector<uint32_t> received(sent.size());
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<uint32_t>(i * 2654435761U);
  std::fill(received.begin(), received.end(), 1);
  const size_t before = PeakBytes();
  session.Put({View<uint32_t>("big", {static_cast<int64_t>(sent.size())}, sent)});
  const v1::TensorSpec spec = session.FetchInto("big", std::as_writable_bytes(std::span(received)));
  EXPECT_LT(PeakBytes() - before, sent.size() * sizeof(uint32_t) / 4);
  EXPECT_EQ(spec.data_type(), v1::TensorProto_DataType_UINT32);
  EXPECT_TRUE(received == sent);
}

TEST_F(ClientTest, AViewThatDoesNotFitItsDimsIsRefusedHere) {
  const std::vector<float> three = {1, 2, 3};
  EXPECT_THROW(PutFloats("x", {2, 2}, three), InvalidArgument);
  EXPECT_THROW(PutFloats("x", {-3}, three), InvalidArgument);
  EXPECT_THROW(PutFloats("x", {int64_t{1} << 62, 8}, three), InvalidArgument);
  EXPECT_TRUE(session.ListTensors().empty());
  PutFloats("x", {3}, three);
  std::vector<std::byte> two(8);
  EXPECT_THROW(session.FetchInto("x", two), ShapeMismatch);
  EXPECT_THAT(Floats("x"), ElementsAre(1, 2, 3));
}

TEST_F(ClientTest, MemoryIsTheCallersAgainAfterAPutThatFails) {
  ClientOptions hurried;
  hurried.timeout = std::chrono::milliseconds(20);
  Client other(Target(), hurried);
  Session hasty = other.OpenSession();
  for (int i = 0; i < 5; ++i) {
    // Unmapped at once when it is freed: a late reader would crash.
    std::vector<float> big(64 << 20, 1.0F);
    EXPECT_THROW(hasty.Put({View<float>("x", {static_cast<int64_t>(big.size())}, big)}),
                 DeadlineExceeded);
  }
  hasty.Release();
}

TEST_F(ClientTest, ErrorsHaveTypesAndDetails) {
  PutFloats("a", {2, 3}, {1, 2, 3, 4, 5, 6});
  try {
    session.Run(Batch(Forward({Node("MatMul", {"a", "a"}, {"c"})})));
    FAIL() << "nothing was thrown";
  } catch (const ShapeMismatch& error) {
    EXPECT_EQ(error.reason(), Reason::kShapeMismatch);
    EXPECT_EQ(error.reason_name(), "SHAPE_MISMATCH");
    EXPECT_EQ(error.code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(error.metadata().at("op"), "MatMul");
    EXPECT_EQ(error.metadata().at("command"), "0");
    EXPECT_THAT(error.what(), HasSubstr("float32[2,3]"));
  }
  EXPECT_THROW(session.Fetch("nowhere"), TensorNotFound);
  EXPECT_THROW(session.Forward(Forward({Node("NoSuchOperator", {"a"}, {"c"})})), OpUnsupported);
  EXPECT_THROW(session.Backward(Backward({"a"})), NoGraph);
  SessionOptions elsewhere;
  elsewhere.device = "cuda:77";
  EXPECT_THROW(client.OpenSession(elsewhere), DeviceNotFound);
  EXPECT_THROW(session.Move("cuda:99"), DeviceNotFound);
  EXPECT_EQ(session.Move("cpu"), "cpu");
}

TEST(Unreachable, IsAnErrorWithoutAReason) {
  ClientOptions options;
  options.attempts = 2;
  Client nobody("127.0.0.1:1", options);
  try {
    nobody.OpenSession();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), grpc::UNAVAILABLE);
    EXPECT_EQ(error.reason(), Reason::kNone);
  }
}

TEST_F(ClientTest, ASessionClosesAtTheEndOfItsLife) {
  std::string ended;
  std::string kept;
  {
    Session first = client.OpenSession();
    ended = first.id();
    first = client.OpenSession();  // closes the one that it was
    kept = first.Release();
  }
  const auto stub = v1::Gradwire::NewStub(client.channel());
  const auto describe = [&](const std::string& id) {
    grpc::ClientContext context;
    v1::DescribeSessionRequest request;
    v1::DescribeSessionResponse response;
    request.set_session_id(id);
    return stub->DescribeSession(&context, request, &response).error_code();
  };
  EXPECT_EQ(describe(ended), grpc::NOT_FOUND);
  EXPECT_EQ(describe(kept), grpc::OK);
  session.Close();
  EXPECT_THROW(session.KeepAlive(), SessionNotFound);
  EXPECT_THROW(session.Fetch("x"), SessionNotFound);
}

TEST_F(ClientTest, GradientsAndSteps) {
  PutFloats("w", {2}, {3, 4}, true);
  session.Forward(Forward({Node("Mul", {"w", "w"}, {"ww"}),
                           Node("ReduceSum", {"ww"}, {"z"}, {IntAttribute("keepdims", 0)})},
                          {"z"}));
  EXPECT_THAT(session.GetGraph("z").dot(), HasSubstr("ReduceSum"));
  session.Backward(Backward({"z"}));
  EXPECT_THAT(Floats("grad/w"), ElementsAre(6, 8));
  EXPECT_EQ(session.Step(SgdStep(0.5)).stepped(), 1);
  EXPECT_THAT(Floats("w"), ElementsAre(0, 0));
  EXPECT_TRUE(session.DescribeTensor("w").requires_grad());
  EXPECT_EQ(session.Describe().tensor_count(), 2);
}

TEST_F(ClientTest, ProductsWithJacobianAndHessian) {
  PutFloats("w", {2}, {3, 4}, true);
  PutFloats("t", {2}, {1, 10});
  session.Forward(Forward({Node("Mul", {"w", "w"}, {"ww"}), Node("Mul", {"ww", "w"}, {"www"}),
                           Node("ReduceSum", {"www"}, {"z"}, {IntAttribute("keepdims", 0)})},
                          {"z"}));
  v1::JvpRequest jvp;
  jvp.add_outputs("z");
  v1::Tangent& along = *jvp.add_tangents();
  along.set_input("w");
  along.set_tensor("t");
  jvp.set_fetch(true);
  jvp.set_retain_graph(true);
  EXPECT_EQ(FromProto(session.Jvp(jvp).fetched(0)).item<float>(), 27 + 480);
  v1::HvpRequest hvp;
  hvp.set_output("z");
  hvp.add_inputs("w");
  *hvp.add_vectors() = along;
  session.Run(Batch(jvp, hvp));
  EXPECT_THAT(Floats("hvp/w"), ElementsAre(18, 240));
  EXPECT_THROW(session.Hvp(hvp), GraphFreed);
  EXPECT_THROW(session.SetVjp("nowhere", "neither"), ProgramNotFound);
}

TEST_F(ClientTest, APipelineAnswersInOrderAndNamesTheFirstCause) {
  PutFloats("x", {2}, {1, 2});
  Pipeline pipeline = session.OpenPipeline();
  std::vector<std::future<v1::CommandResult>> answers;
  for (int i = 0; i < 500; ++i) {
    answers.push_back(pipeline.Send(ToCommand(Forward({Node("Add", {"x", "x"}, {"x"})}))));
    answers.push_back(pipeline.Send(
        ToCommand(Forward({Node("Div", {"x", "two"}, {"y"})}))));  // `two` is bound by nobody
    answers.push_back(pipeline.Send(ToCommand(Forward({Node("Neg", {"y"}, {"z"})}))));
    if (i == 20) break;
  }
  auto last = pipeline.Send(ToCommand(Fetch({"x"})));
  pipeline.Close();
  EXPECT_EQ(FromProto(last.get().fetch().tensors(0)).values<float>()[0], float{1 << 21});
  for (size_t i = 0; i < answers.size(); i += 3) {
    EXPECT_EQ(answers[i].get().forward().outputs(0).name(), "x");
    EXPECT_THROW(answers[i + 1].get(), TensorNotFound);
    try {
      answers[i + 2].get();
      FAIL() << "nothing was thrown";
    } catch (const DependencyFailed& error) {
      EXPECT_EQ(error.metadata().at("tensor"), "y");
    }
  }
}

TEST_F(ClientTest, APipelineTakesMoreThanTheServerHoldsAtATime) {
  PutFloats("x", {1}, {0});
  PutFloats("one", {1}, {1});
  Pipeline pipeline = session.OpenPipeline();
  std::vector<std::future<v1::CommandResult>> answers;
  for (int i = 0; i < 3000; ++i) {
    answers.push_back(pipeline.Send(ToCommand(Forward({Node("Add", {"x", "one"}, {"x"})}))));
  }
  for (auto& answer : answers) answer.get();
  EXPECT_THAT(Floats("x"), ElementsAre(3000));
}

TEST_F(ClientTest, FuturesOfABrokenPipelineThrow) {
  Pipeline pipeline = session.OpenPipeline();
  pipeline.Send(ToCommand(Fetch({"x"}))).wait();
  session.Close();
  auto lost = pipeline.Send(ToCommand(Fetch({"x"})));
  EXPECT_THROW(lost.get(), SessionNotFound);
  EXPECT_THROW(pipeline.Close(), SessionNotFound);
}

TEST_F(ClientTest, CallsStartWithoutWaiting) {
  PutFloats("x", {2}, {1, 2});
  std::promise<float> sum;
  session.Start(
      Batch(Forward({Node("ReduceSum", {"x"}, {"s"})}), Fetch({"s"})),
      [&](const Error* error, const v1::RunResponse& response) {
        if (error != nullptr) throw *error;
        sum.set_value(FromProto(response.results(1).fetch().tensors(0)).values<float>()[0]);
      });
  EXPECT_EQ(sum.get_future().get(), 3);

  std::promise<Reason> reason;
  session.Start(ToCommand(Fetch({"nowhere"})), [&](const Error* error, const v1::CommandResult&) {
    reason.set_value(error == nullptr ? Reason::kNone : error->reason());
  });
  EXPECT_EQ(reason.get_future().get(), Reason::kTensorNotFound);

  std::promise<bool> opened;
  client.StartOpenSession({}, [&](const Error* error, std::optional<Session> other) {
    other->StartClose([&, error](const Error* close_error) {
      opened.set_value(error == nullptr && close_error == nullptr);
    });
  });
  EXPECT_TRUE(opened.get_future().get());
}

TEST_F(ClientTest, AStartedCallCanBeGivenUp) {
  session.Put({View<float>("x", {1024, 1024}, std::vector<float>(1 << 20, 1e-3F))});
  std::vector<v1::NodeProto> nodes;
  for (int i = 0; i < 200; ++i) {
    nodes.push_back(Node("MatMul", {i == 0 ? "x" : "y", "x"}, {"y"}));
  }
  std::promise<Reason> reason;
  const PendingCall call = session.Start(
      ToCommand(Forward(nodes, {"y"})), [&](const Error* error, const v1::CommandResult&) {
        reason.set_value(error == nullptr ? Reason::kNone : error->reason());
      });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  call.Cancel();
  EXPECT_EQ(reason.get_future().get(), Reason::kCancelled);
  EXPECT_EQ(session.ListTensors().size(), 1U);  // nothing was left behind
}

TEST_F(ClientTest, AProgramIsLoadedAndRun) {
  v1::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(18);
  v1::GraphProto& graph = *model.mutable_graph();
  graph.set_name("scale");
  *graph.add_node() = Node("Mul", {"x", "k"}, {"y"});
  *graph.add_initializer() = ToProto<float>("k", {1}, std::vector<float>{10});
  for (const char* name : {"x", "y"}) {
    v1::ValueInfoProto& value = *(name[0] == 'x' ? graph.add_input() : graph.add_output());
    value.set_name(name);
    value.mutable_type()->mutable_tensor_type()->set_elem_type(v1::TensorProto_DataType_FLOAT);
    value.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(2);
  }
  const v1::ProgramInfo info = session.LoadProgram("scale", model.SerializeAsString());
  EXPECT_THAT(info.parameters(), ElementsAre("scale/k"));
  EXPECT_THROW(session.LoadProgram("bad", "no model"), InvalidModel);
  EXPECT_EQ(session.ListPrograms().size(), 1U);
  v1::ForwardRequest forward;
  forward.set_program("scale");
  *forward.add_feeds() = ToProto<float>("x", {2}, std::vector<float>{1, 2});
  forward.add_fetch("y");
  EXPECT_THAT(FromProto(session.Forward(forward).fetched(0)).values<float>(), ElementsAre(10, 20));
  v1::DescribeProgramRequest describe;
  describe.set_program("scale");
  EXPECT_THAT(session.DescribeProgram(describe).program().parameters(), ElementsAre("scale/k"));
  session.UnloadProgram("scale");
  EXPECT_THROW(session.Forward(forward), ProgramNotFound);
}

TEST_F(ClientTest, ACommandSentAgainRunsOnce) {
  PutFloats("x", {1}, {1});
  v1::ForwardRequest doubling = Forward({Node("Add", {"x", "x"}, {"x"})});
  doubling.set_sequence(1000);
  session.Forward(doubling);
  session.Forward(doubling);
  EXPECT_THAT(Floats("x"), ElementsAre(2));
  doubling.add_nodes()->CopyFrom(doubling.nodes(0));
  EXPECT_THROW(session.Forward(doubling), SequenceReused);
}

}  // namespace
}  // namespace gradwire::client
