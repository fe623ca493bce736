#include "core/dtype.h"

#include <array>

namespace gradwire {
namespace {

struct Row {
  std::string_view name;
  int bits;
};

// Indexed by ONNX's codes.
constexpr std::array<Row, kDTypeCount> kRows = {{
    {"undefined", 0},
    {"float32", 32},
    {"uint8", 8},
    {"int8", 8},
    {"uint16", 16},
    {"int16", 16},
    {"int32", 32},
    {"int64", 64},
    {"string", 128},
    {"bool", 8},
    {"float16", 16},
    {"float64", 64},
    {"uint32", 32},
    {"uint64", 64},
    {"complex64", 64},
    {"complex128", 128},
    {"bfloat16", 16},
    {"float8_e4m3fn", 8},
    {"float8_e4m3fnuz", 8},
    {"float8_e5m2", 8},
    {"float8_e5m2fnuz", 8},
    {"uint4", 4},
    {"int4", 4},
    {"float4_e2m1fn", 4},
    {"float8_e8m0fnu", 8},
    {"uint2", 2},
    {"int2", 2},
}};

}  // namespace

int BitWidth(DType dtype) { return kRows[static_cast<size_t>(dtype)].bits; }

std::string_view Name(DType dtype) { return kRows[static_cast<size_t>(dtype)].name; }

DType DTypeFromCode(int code) {
  if (code <= 0 || code >= kDTypeCount) {
    throw Error(reason::kDtypeMismatch, "data_type " + std::to_string(code) +
                                            " is not an ONNX element type (1 to " +
                                            std::to_string(kDTypeCount - 1) + ")");
  }
  return static_cast<DType>(code);
}

std::string DTypeSet::ToString() const {
  std::string text;
  for (int code = 1; code < kDTypeCount; ++code) {
    if (!Contains(static_cast<DType>(code))) continue;
    if (!text.empty()) text += ", ";
    text += Name(static_cast<DType>(code));
  }
  return text;
}

}  // namespace gradwire
