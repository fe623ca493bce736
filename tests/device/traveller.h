// A session that goes from device to device, and how it is looked at.
#ifndef GRADWIRE_TESTS_DEVICE_TRAVELLER_H_
#define GRADWIRE_TESTS_DEVICE_TRAVELLER_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "backend/on_host.h"
#include "session/transaction.h"
#include "tests/unit/session_bench.h"

namespace gradwire::testing {

// A session that begins on a CPU.
class Traveller : public SessionBench {
 public:
  using SessionBench::SessionBench;

  void Move(Backend& to) {
    Do([&](Transaction& t) { t.MoveSession(to); });
  }
  // Elements of a float64 or int64 array, wherever it is.
  std::vector<double> Read(const std::string& name) {
    const Tensor host = OnHost(ArrayOf(name), session().stream());
    if (host.dtype() == DType::kFloat64) return Elements<double>(host);
    return Elements<int64_t>(host);
  }
  const Tensor& ArrayOf(const std::string& name) {
    return session().names().at(name).tensor().tensor();
  }
  // All arrays by name.
  std::map<std::string, std::vector<double>> All() {
    std::map<std::string, std::vector<double>> arrays;
    for (const auto& [name, item] : session().names()) arrays[name] = Read(name);
    return arrays;
  }
  std::vector<TensorInfo> Infos() {
    std::vector<TensorInfo> infos;
    Do([&](Transaction& t) { infos = t.ListTensors(""); });
    return infos;
  }
  void PutFilled(const std::string& name, int64_t count, double value = 1) {
    Put(name, {count}, std::vector<double>(static_cast<size_t>(count), value));
  }

  // y = (w x + noise)^2, summed.
  void TraceLoss(int checkpoint = 0) {
    Do([&](Transaction& t) {
      t.Forward({.nodes = {MakeNode("Mul", {"w", "x"}, {"wx"}),
                           MakeNode("RandomNormalLike", {"x"}, {"noise"}),
                           MakeNode("Add", {"wx", "noise"}, {"sum"}),
                           MakeNode("Mul", {"sum", "sum"}, {"squares"}),
                           MakeNode("ReduceSum", {"squares"}, {"loss"})},
                 .outputs = {"loss"},
                 .checkpoint = checkpoint});
    });
  }
  void Train() {
    TraceLoss();
    Backward("loss");
    Do([](Transaction& t) { t.Step({.optimizer = Adam{.lr = 0.125}, .zero_grad = true}); });
  }

 private:
  template <class T>
  static std::vector<double> Elements(const Tensor& host) {
    return {host.data<T>(), host.data<T>() + host.numel()};
  }
};

inline void ExpectNear(const std::map<std::string, std::vector<double>>& got,
                       const std::map<std::string, std::vector<double>>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, elements] : want) {
    ASSERT_TRUE(got.contains(name)) << name;
    ASSERT_EQ(got.at(name).size(), elements.size()) << name;
    for (size_t i = 0; i < elements.size(); ++i) {
      EXPECT_NEAR(got.at(name)[i], elements[i], 1e-9) << name << "[" << i << "]";
    }
  }
}

// With a model to train.
inline void PutModel(Traveller& session) {
  session.Put("w", {3}, {1, -2, 0.5}, /*requires_grad=*/true);
  session.Put("x", {3}, {0.5, 1, 2});
}

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_DEVICE_TRAVELLER_H_
