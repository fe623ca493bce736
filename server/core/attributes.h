// An operator call's attributes, typed as in ONNX.
#ifndef GRADWIRE_CORE_ATTRIBUTES_H_
#define GRADWIRE_CORE_ATTRIBUTES_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace gradwire {

// FLOAT is held as double, so that formulas lose nothing; TENSOR lives on the host.
using AttributeValue = std::variant<int64_t, double, std::string, std::vector<int64_t>,
                                    std::vector<double>, std::vector<std::string>, Tensor>;

// A small set of named values. Getters throw INVALID_ARGUMENT when an attribute is of another
// type, or is absent and no fallback is given.
class Attributes {
 public:
  using Entry = std::pair<std::string, AttributeValue>;

  Attributes() = default;
  Attributes(std::initializer_list<Entry> entries) : entries_(entries) {}

  void Set(std::string name, AttributeValue value);
  const AttributeValue* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  int64_t Int(std::string_view name) const;
  int64_t Int(std::string_view name, int64_t fallback) const;
  double Float(std::string_view name) const;
  double Float(std::string_view name, double fallback) const;
  const std::string& String(std::string_view name) const;
  std::string String(std::string_view name, std::string_view fallback) const;
  const std::vector<int64_t>& Ints(std::string_view name) const;
  std::vector<int64_t> Ints(std::string_view name, const std::vector<int64_t>& fallback) const;
  const std::vector<double>& Floats(std::string_view name) const;
  const std::vector<std::string>& Strings(std::string_view name) const;
  const Tensor& TensorValue(std::string_view name) const;

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  template <class T>
  const T& Get(std::string_view name, const char* type) const;

  std::vector<Entry> entries_;
};

inline std::vector<int64_t> ToVector(const Dims& dims) { return {dims.begin(), dims.end()}; }

}  // namespace gradwire

#endif  // GRADWIRE_CORE_ATTRIBUTES_H_
