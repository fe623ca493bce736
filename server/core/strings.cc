#include "core/strings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"

namespace gradwire {
namespace {

static_assert(sizeof(std::string_view) == 16 && std::is_trivially_copyable_v<std::string_view>,
              "elements are moved by their bits");

template <class Text>
void Fill(std::span<const Text> texts, const AllocateBytes& allocate, Tensor& to) {
  size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size();
  const BufferPtr pool = allocate(bytes);
  char* end = static_cast<char*>(pool->data());
  auto* element = to.mutable_data<std::string_view>();
  for (const std::string_view text : texts) {
    if (!text.empty()) std::memcpy(end, text.data(), text.size());
    *element++ = {end, text.size()};
    end += text.size();
  }
  to.buffer()->Hold(pool);
}

}  // namespace

Tensor MakeStrings(const Dims& dims, std::span<const std::string_view> texts,
                   const AllocateBytes& allocate) {
  TensorSpec spec{DType::kString, dims};
  const auto bytes = static_cast<size_t>(spec.bytes());
  Tensor tensor(std::move(spec), allocate(bytes));
  RequireStringDevice(tensor.device());
  Fill(texts, allocate, tensor);
  return tensor;
}

void FillStrings(std::span<const std::string> texts, const AllocateBytes& allocate, Tensor& to) {
  Fill(texts, allocate, to);
}

void HoldPools(const Tensor& from, Tensor& to) {
  for (const auto& pool : from.buffer()->held()) {
    const auto& held = to.buffer()->held();
    if (std::find(held.begin(), held.end(), pool) == held.end()) to.buffer()->Hold(pool);
  }
}

void RequireUtf8(std::string_view text, std::string_view what) {
  if (IsUtf8(text)) return;
  throw Error(reason::kInvalidArgument, fmt::format("{} is not UTF-8: '{}'", what, ToUtf8(text)));
}

void RequireStringDevice(Device device) {
  if (HasStrings(device.type)) return;
  throw Error(
      reason::kOpUnsupported,
      fmt::format("arrays of strings are had on the device cpu only, this is {}", device.name()));
}

void RequireBytes(const TensorSpec& spec, std::string_view what) {
  if (spec.dtype != DType::kString) return;
  throw Error(reason::kDtypeMismatch,
              fmt::format("{} takes no arrays of strings, got {}: send them with Put and Fetch",
                          what, ToString(spec)));
}

}  // namespace gradwire
