// Sessions that go on on another device: from a CPU to the device under test, a second one, and
// back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "backend/quota.h"
#include "tests/device/traveller.h"
#include "tests/ops/device.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using testing::ExpectNear;
using testing::MakeNode;
using testing::PutModel;
using testing::Traveller;

constexpr int64_t kMiB = int64_t{1} << 20;

class DeviceMoveTest : public ::testing::Test {
 protected:
  CpuBackend cpu_;
  Backend& first_ = testing::DeviceUnderTest();
  Backend& second_ = testing::SecondDevice();
};

TEST_F(DeviceMoveTest, TrainingGoesOnWhereverItIs) {
  const int64_t held = first_.memory().live_bytes;
  Traveller stays;
  Traveller moves;
  PutModel(stays);
  PutModel(moves);
  for (Backend* to : std::initializer_list<Backend*>{&first_, &second_, &cpu_, &cpu_, &second_}) {
    stays.Train();
    moves.Train();
    moves.Move(*to);
    EXPECT_EQ(moves.session().device(), to->device());
    for (const TensorInfo& info : moves.Infos()) {
      EXPECT_EQ(info.device, to->device()) << info.name;
      EXPECT_EQ(moves.ArrayOf(info.name).device(), to->device()) << info.name;
      EXPECT_EQ(info.requires_grad, info.name == "w" || info.name == "loss") << info.name;
      EXPECT_EQ(info.is_leaf, info.name != "loss") << info.name;
    }
    ExpectNear(moves.All(), stays.All());
  }
  stays.Train();
  moves.Train();
  ExpectNear(moves.All(), stays.All());
  EXPECT_EQ(moves.Read("optim/w/t"), std::vector<double>{6});
  EXPECT_EQ(first_.memory().live_bytes, held);
}

TEST_F(DeviceMoveTest, AGraphIsWalkedBackOnAnotherDevice) {
  for (const int checkpoint : {0, 2}) {
    Traveller stays;
    Traveller moves;
    for (Traveller* session : {&stays, &moves}) {
      PutModel(*session);
      session->TraceLoss(checkpoint);
      const auto walk = [&] {
        session->Do([](Transaction& t) {
          t.Backward({.roots = {"loss"}, .options = {.retain_graph = true}});
        });
      };
      if (session == &moves) moves.Move(first_);
      walk();
      if (session == &moves) moves.Move(second_);
      walk();
    }
    ExpectNear(moves.All(), stays.All());
  }
}

// A GPU's kernels take 16-bit floats as they are; a CPU's do not.
TEST_F(DeviceMoveTest, SoIsAGraphOf16BitFloats) {
  const auto cast = [](DType to) { return Attributes{{"to", int64_t{static_cast<int>(to)}}}; };
  Traveller session;
  session.Put("w", {3}, {1, -2, 0.5}, /*requires_grad=*/true);
  session.Move(first_);
  session.Do([&](Transaction& t) {
    t.Forward({.nodes = {MakeNode("Cast", {"w"}, {"h"}, cast(DType::kFloat16)),
                         MakeNode("Tanh", {"h"}, {"t"}), MakeNode("Mul", {"t", "h"}, {"m"}),
                         MakeNode("Cast", {"m"}, {"y"}, cast(DType::kFloat64)),
                         MakeNode("ReduceSum", {"y"}, {"loss"})},
               .outputs = {"loss"}});
  });
  session.Move(cpu_);
  session.Do(
      [](Transaction& t) { t.Gradients({.outputs = {"loss"}, .inputs = {"w"}, .names = {"dw"}}); });
  const std::vector<double> w = session.Read("w");
  const std::vector<double> dw = session.Read("dw");
  for (size_t i = 0; i < w.size(); ++i) {
    const double tanh = std::tanh(w[i]);
    EXPECT_NEAR(dw[i], tanh + w[i] * (1 - tanh * tanh), 2e-3) << i;
  }
}

TEST_F(DeviceMoveTest, SoIsTheGraphOfAGradient) {
  Traveller session;
  session.Put("w", {2}, {2, 3}, /*requires_grad=*/true);
  session.Do([](Transaction& t) {
    t.Forward({.nodes = {MakeNode("Mul", {"w", "w"}, {"s"}), MakeNode("Mul", {"s", "w"}, {"c"}),
                         MakeNode("ReduceSum", {"c"}, {"z"})},
               .outputs = {"z"}});
    t.Gradients({.outputs = {"z"},
                 .inputs = {"w"},
                 .names = {"dz"},
                 .options = {.retain_graph = true, .create_graph = true}});
  });
  session.Move(first_);
  session.Do([](Transaction& t) {
    t.Forward({.nodes = {MakeNode("ReduceSum", {"dz"}, {"total"})}, .outputs = {"total"}});
    t.Gradients({.outputs = {"total"}, .inputs = {"w"}, .names = {"ddz"}});
  });
  EXPECT_THAT(session.Read("dz"), ElementsAre(12, 27));
  EXPECT_THAT(session.Read("ddz"), ElementsAre(12, 18));
}

TEST_F(DeviceMoveTest, WhatSharesMemoryStillDoes) {
  Traveller session;
  session.PutFilled("x", kMiB / 8);
  session.Do([](Transaction& t) {
    t.Copy("x", "same");
    t.Detach("x", "shares", false);
  });
  const int64_t used = session.used();
  const int64_t peak = session.session().quota().peak();
  for (Backend* to : std::initializer_list<Backend*>{&first_, &second_, &cpu_}) {
    session.Move(*to);
    EXPECT_EQ(session.ArrayOf("same").buffer(), session.ArrayOf("x").buffer());
    EXPECT_EQ(session.ArrayOf("shares").buffer(), session.ArrayOf("x").buffer());
    EXPECT_EQ(session.used(), used);
    EXPECT_EQ(session.session().quota().peak(), peak);
  }
  session.Do([](Transaction& t) { t.Delete({"x", "same", "shares"}, false); });
  EXPECT_EQ(session.used(), 0);
}

TEST_F(DeviceMoveTest, ASequenceAndAnEmptyOptional) {
  Traveller session;
  session.Put("a", {2}, {1, 2}, /*requires_grad=*/true);
  session.Do([](Transaction& t) {
    NodeDef empty = MakeNode("Optional", {}, {"none"});
    empty.types = {{"type", ItemType{DType::kFloat64}}};
    t.Forward({.nodes = {MakeNode("Neg", {"a"}, {"b"}),
                         MakeNode("SequenceConstruct", {"a", "b"}, {"s"}), empty},
               .outputs = {"s", "none"}});
  });
  session.Move(first_);
  const Item& item = session.session().names().at("s");
  ASSERT_TRUE(item.is_sequence());
  EXPECT_TRUE(session.session().names().at("none").is_empty());
  for (const Value& element : item.tensors()) {
    EXPECT_EQ(element.tensor().device(), first_.device());
  }
  session.Do([](Transaction& t) {
    t.Forward({.nodes = {MakeNode("ConcatFromSequence", {"s"}, {"both"}, {{"axis", int64_t{0}}}),
                         MakeNode("Mul", {"both", "both"}, {"squares"}),
                         MakeNode("ReduceSum", {"squares"}, {"z"})},
               .outputs = {"both", "z"}});
    t.Backward({.roots = {"z"}});
  });
  EXPECT_THAT(session.Read("both"), ElementsAre(1, 2, -1, -2));
  EXPECT_THAT(session.Read("grad/a"), ElementsAre(4, 8));
}

TEST_F(DeviceMoveTest, ArraysOfManyPiecesAndOfNone) {
  constexpr int64_t kCount = 5'000'003;
  Traveller session;
  std::vector<double> elements(kCount);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<double>(i);
  session.Put("x", {kCount}, elements);
  session.Put("nothing", {0, 3}, {});
  session.Move(first_);
  session.Move(second_);
  EXPECT_EQ(session.Read("x"), elements);
  EXPECT_THAT(session.Read("nothing"), ElementsAre());
}

TEST_F(DeviceMoveTest, AnAnnouncedArrayIsFetchedFromTheNewDevice) {
  Traveller session;
  session.Put("x", {2}, {0, 0});
  session.Move(first_);
  session.Do([](Transaction& t) {
    t.Forward({.nodes = {MakeNode("Exp", {"x"}, {"y"})}, .outputs = {"y"}, .announce = {"y"}});
  });
  session.Move(second_);
  EXPECT_THAT(session.Read("y"), ElementsAre(1, 1));
}

TEST_F(DeviceMoveTest, WhatCameInBeforeIsBoundOnTheNewDevice) {
  Traveller session;
  for (Backend* to : std::initializer_list<Backend*>{&first_, &second_, &cpu_}) {
    Tensor host = AllocateTensor(*session.session().host(), {DType::kFloat64, {2}});
    std::fill_n(host.mutable_data<double>(), 2, 3.0);
    session.Move(*to);
    session.Do([&](Transaction& t) {
      t.Put({{"x", FromHost(std::move(host), session.session().stream())}}, false);
    });
    EXPECT_EQ(session.ArrayOf("x").device(), to->device());
    EXPECT_THAT(session.Read("x"), ElementsAre(3, 3));
  }
}

TEST_F(DeviceMoveTest, PlansOfTheOldDeviceAreDropped) {
  Traveller session({.lease = std::chrono::hours(1), .max_plans = 4});
  session.Put("x", {2}, {0, 0});
  const auto trace = [&] {
    session.session().commands().Wants("key");
    session.Do([](Transaction& t) {
      t.Record("key", {});
      t.Forward({.nodes = {MakeNode("Exp", {"x"}, {"y"})}, .outputs = {"y"}});
      t.Answer({}, "");
    });
    return session.session().commands().Find("key") != nullptr;
  };
  ASSERT_TRUE(trace());
  session.Move(cpu_);  // where it is
  EXPECT_NE(session.session().commands().Find("key"), nullptr);
  for (Backend* to : {&first_, &second_}) {
    const bool elsewhere = to->device() != session.session().device();
    session.Move(*to);
    EXPECT_EQ(session.session().commands().Find("key") == nullptr, elsewhere);
    ASSERT_TRUE(trace());
    Transaction again(session.session(), [] {});
    EXPECT_TRUE(again.Repeat(*session.session().commands().Find("key"), {}).has_value());
  }
  EXPECT_THAT(session.Read("y"), ElementsAre(1, 1));
}

TEST_F(DeviceMoveTest, ExactnessIsThatOfTheSession) {
  Traveller session({.lease = std::chrono::hours(1), .math_mode = {.tf32 = true}});
  session.Move(first_);
  EXPECT_TRUE(session.session().stream().math_mode().tf32);
  EXPECT_FALSE(session.session().stream().math_mode().half_sums);
}

}  // namespace
}  // namespace gradwire
