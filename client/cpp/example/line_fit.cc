// Fits a line: y = w * x + b. Usage: line_fit [HOST:PORT]

#include <cstdio>
#include <string>
#include <vector>

#include "gradwire/client.h"

namespace gw = gradwire::client;

namespace {

void FitLine(const std::string& target) {
  std::vector<float> x(32);
  std::vector<float> y(32);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i) / 32;
    y[i] = 3 * x[i] + 0.5F;
  }
  const std::vector<float> zero = {0};

  gw::Client client(target);
  gw::Session session = client.OpenSession();
  session.Put({gw::View<float>("x", {32}, x), gw::View<float>("y", {32}, y)});
  session.Put({gw::View<float>("w", {}, zero), gw::View<float>("b", {}, zero)},
              /*requires_grad=*/true);

  gradwire::v1::StepRequest step;
  step.mutable_adam()->set_lr(0.1);
  step.set_zero_grad(true);
  const gradwire::v1::RunRequest train = gw::Batch(
      gw::Forward({gw::Node("Mul", {"w", "x"}, {"wx"}), gw::Node("Add", {"wx", "b"}, {"line"}),
                   gw::Node("Sub", {"line", "y"}, {"error"}),
                   gw::Node("Mul", {"error", "error"}, {"square"}),
                   gw::Node("ReduceMean", {"square"}, {"loss"})},
                  {"loss"}),
      gw::Backward({"loss"}), step);
  for (int i = 0; i < 200; ++i) session.Run(train);

  for (const gw::Array& array : session.FetchMany({"loss", "w", "b"})) {
    std::printf("%s %.4f\n", array.name().c_str(), array.item<float>());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    FitLine(argc > 1 ? argv[1] : "127.0.0.1:50051");
  } catch (const gw::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.reason_name().c_str(), error.what());
    return 1;
  }
  return 0;
}
