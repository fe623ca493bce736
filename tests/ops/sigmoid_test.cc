#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

Input Points() { return Elements({5}, {-2, -0.5, 0, 0.5, 2}); }

OP_CASES(
    Sigmoid, {.op = "Tanh", .inputs = {Normal({3, 4})}},
    {.op = "Tanh", .inputs = {Normal({})}, .opset = 1}, {.op = "Tanh", .inputs = {Normal({0, 4})}},
    {.op = "Tanh",
     .inputs = {Points()},
     .expect = {{-0.9640275800758169, -0.46211715726000974, 0, 0.46211715726000974,
                 0.9640275800758169}}},
    {.op = "Tanh", .inputs = {Uniform({1000}, -12, 12)}, .order = 0, .float32_tolerance = 1e-6},
    {.op = "gradwire::TanhGrad", .inputs = {Normal({2, 3}), Normal({2, 3})}},
    {.op = "Sigmoid", .inputs = {Normal({3, 4})}},
    {.op = "Sigmoid", .inputs = {Normal({})}, .opset = 1},
    {.op = "Sigmoid",
     .inputs = {Points()},
     .expect = {{0.11920292202211755, 0.3775406687981454, 0.5, 0.6224593312018546,
                 0.8807970779778823}}},
    {.op = "Sigmoid", .inputs = {Elements({2}, {-1000, 1000})}, .expect = {{0, 1}}},
    {.op = "Sigmoid", .inputs = {Uniform({1000}, -30, 30)}, .order = 0, .float32_tolerance = 1e-6},
    {.op = "gradwire::SigmoidGrad", .inputs = {Normal({2, 3}), Normal({2, 3})}},
    {.op = "Softplus", .inputs = {Normal({3, 4})}},
    {.op = "Softplus",
     .inputs = {Points()},
     .expect = {{0.1269280110429725, 0.4740769841801067, 0.6931471805599453, 0.9740769841801067,
                 2.1269280110429727}}},
    {.op = "Softplus", .inputs = {Elements({2}, {-1000, 1000})}, .expect = {{0, 1000}}},
    {.op = "Gelu", .inputs = {Normal({3, 4})}},
    {.op = "Gelu",
     .inputs = {Points()},
     .expect = {{-0.04550026389635842, -0.15426876936299344, 0, 0.34573123063700656,
                 1.9544997361036416}}},
    {.op = "Gelu", .inputs = {Uniform({1000}, -8, 8)}, .order = 0, .float32_tolerance = 1e-6},
    {.op = "Gelu",
     .inputs = {Normal({3, 4})},
     .attributes = {{"approximate", std::string("tanh")}}},
    {.op = "Gelu",
     .inputs = {Points()},
     .attributes = {{"approximate", std::string("tanh")}},
     .expect = {{-0.04540230591222494, -0.15428599017485606, 0, 0.34571400982514394,
                 1.954597694087775}}},
    {.op = "Gelu",
     .inputs = {Points()},
     .attributes = {{"approximate", std::string("fast")}},
     .error = "INVALID_ARGUMENT"},
    {.op = "gradwire::GeluTanh", .inputs = {Normal({3, 4})}},
    {.op = "gradwire::GeluErf", .inputs = {Normal({3, 4})}},
    {.op = "gradwire::GeluGrad", .inputs = {Normal({2, 3}), Normal({2, 3})}},
    {.op = "Mish", .inputs = {Normal({3, 4})}},
    {.op = "Mish",
     .inputs = {Points()},
     .expect = {{-0.2525014826957089, -0.22074377465173, 0, 0.3752452113048951,
                 1.9439589595339946}}},
    {.op = "Swish", .inputs = {Normal({3, 4})}},
    {.op = "Swish",
     .inputs = {Points()},
     .attributes = {{"alpha", 1.5}},
     .expect = {
         {-0.09485174635513356, -0.1604106504123035, 0, 0.3395893495876965, 1.9051482536448667}}});

}  // namespace
}  // namespace gradwire::testing
