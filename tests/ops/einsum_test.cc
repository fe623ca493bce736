#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

Attributes Equation(const std::string& text) { return {{"equation", text}}; }
Input A() { return Elements({2, 3}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43}); }
Input B() { return Elements({3, 2}, {1.36, 1.05, 0.59, 0.05, -0.5, -0.98}); }
Input C() { return Elements({2, 2, 2}, {0.21, -0.34, -0.84, -1.24, -1.46, -1.49, -1.31, -0.96}); }

OP_CASES(
    Einsum,
    {.op = "Einsum",
     .inputs = {A(), B()},
     .attributes = Equation("ij, jk"),
     .expect = std::vector<double>{1.8409, -0.0539, 2.0822, 0.9791}},
    {.op = "Einsum",
     .inputs = {C()},
     .attributes = Equation("...ii->...i"),
     .expect = std::vector<double>{0.21, -1.24, -1.46, -0.96}},
    {.op = "Einsum",
     .inputs = {A()},
     .attributes = Equation("ij->"),
     .expect = std::vector<double>{6.85}},
    {.op = "Einsum",
     .inputs = {A()},
     .attributes = Equation("ba"),
     .expect = std::vector<double>{1.26, 1.29, 1.47, 0.92, 1.48, 0.43}},
    {.op = "Einsum",
     .inputs = {Ints({2, 2}, {1, 2, 3, 4}), Ints({2}, {5, 6})},
     .attributes = Equation("ij,j->i"),
     .expect = std::vector<double>{17, 39},
     .order = 0,
     .float32_tolerance = 0},
    {.op = "Einsum",
     .inputs = {Ints({2, 2}, {100, 2, 3, 4}, DType::kInt8), Ints({2}, {5, 6}, DType::kInt8)},
     .attributes = Equation("ij,j->i"),
     .expect = std::vector<double>{0, 39},
     .order = 0,
     .float32_tolerance = 0},
    {.op = "Einsum",
     .inputs = {Normal({2, 3}), Normal({2, 3}), Normal({3, 2})},
     .attributes = Equation("ij,kj,jl->kl")},
    {.op = "Einsum",
     .inputs = {Normal({3, 2}), Normal({3, 1})},
     .attributes = Equation("i...,i...->...")},
    {.op = "Einsum",
     .inputs = {Normal({2, 2, 3}), Normal({3, 2})},
     .attributes = Equation("iij,jk->ki")},
    {.op = "Einsum",  // a batch that one side broadcasts
     .inputs = {Normal({4, 2, 3}), Normal({1, 3, 2})},
     .attributes = Equation("bij,bjk->bik")},
    {.op = "Einsum",
     .inputs = {Normal({2, 1, 2, 3}), Normal({4, 3, 2})},
     .attributes = Equation("...ij,...jk")},
    {.op = "Einsum", .inputs = {Normal({2}), Normal({})}, .attributes = Equation("i,->i")},
    {.op = "Einsum", .inputs = {Normal({2, 2, 2})}, .attributes = Equation("iii")},
    {.op = "Einsum",
     .inputs = {Normal({2, 0}), Normal({0, 3})},
     .attributes = Equation("ij,jk->ik")},
    {.op = "Einsum",
     .inputs = {A(), B()},
     .attributes = Equation("ij,ij"),
     .error = "SHAPE_MISMATCH"},
    {.op = "Einsum", .inputs = {A()}, .attributes = Equation("ijk"), .error = "SHAPE_MISMATCH"},
    {.op = "Einsum",
     .inputs = {A()},
     .attributes = Equation("ij->ik"),
     .error = "INVALID_ARGUMENT"},
    {.op = "Einsum",
     .inputs = {A()},
     .attributes = Equation("ij->ii"),
     .error = "INVALID_ARGUMENT"},
    {.op = "Einsum", .inputs = {A()}, .attributes = Equation("ij,jk"), .error = "INVALID_ARGUMENT"},
    {.op = "Einsum",
     .inputs = {A()},
     .attributes = Equation("i?->i"),
     .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
