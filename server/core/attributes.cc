#include "core/attributes.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gradwire {

void Attributes::Set(std::string name, AttributeValue value) {
  for (Entry& entry : entries_) {
    if (entry.first == name) {
      entry.second = std::move(value);
      return;
    }
  }
  entries_.emplace_back(std::move(name), std::move(value));
}

const AttributeValue* Attributes::Find(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.first == name) return &entry.second;
  }
  return nullptr;
}

template <class T>
const T& Attributes::Get(std::string_view name, const char* type) const {
  const AttributeValue* value = Find(name);
  if (value == nullptr) {
    throw Error(reason::kInvalidArgument, fmt::format("attribute '{}' is required", name));
  }
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) {
    throw Error(reason::kInvalidArgument,
                fmt::format("attribute '{}' must be of type {}", name, type));
  }
  return *typed;
}

int64_t Attributes::Int(std::string_view name) const { return Get<int64_t>(name, "INT"); }
int64_t Attributes::Int(std::string_view name, int64_t fallback) const {
  return Has(name) ? Int(name) : fallback;
}
double Attributes::Float(std::string_view name) const { return Get<double>(name, "FLOAT"); }
double Attributes::Float(std::string_view name, double fallback) const {
  return Has(name) ? Float(name) : fallback;
}
const std::string& Attributes::String(std::string_view name) const {
  return Get<std::string>(name, "STRING");
}
std::string Attributes::String(std::string_view name, std::string_view fallback) const {
  return Has(name) ? String(name) : std::string(fallback);
}
const std::vector<int64_t>& Attributes::Ints(std::string_view name) const {
  return Get<std::vector<int64_t>>(name, "INTS");
}
std::vector<int64_t> Attributes::Ints(std::string_view name,
                                      const std::vector<int64_t>& fallback) const {
  return Has(name) ? Ints(name) : fallback;
}
const std::vector<double>& Attributes::Floats(std::string_view name) const {
  return Get<std::vector<double>>(name, "FLOATS");
}
const std::vector<std::string>& Attributes::Strings(std::string_view name) const {
  return Get<std::vector<std::string>>(name, "STRINGS");
}
const Tensor& Attributes::TensorValue(std::string_view name) const {
  return Get<Tensor>(name, "TENSOR");
}

}  // namespace gradwire
