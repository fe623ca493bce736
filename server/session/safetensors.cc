#include "session/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/bools.h"
#include "core/error.h"

namespace gradwire {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;  // the format's own limit

struct TypeName {
  DType dtype;
  const char* name;
};
constexpr std::array<TypeName, 15> kTypeNames = {{{DType::kFloat64, "F64"},
                                                  {DType::kFloat32, "F32"},
                                                  {DType::kFloat16, "F16"},
                                                  {DType::kBfloat16, "BF16"},
                                                  {DType::kInt64, "I64"},
                                                  {DType::kInt32, "I32"},
                                                  {DType::kInt16, "I16"},
                                                  {DType::kInt8, "I8"},
                                                  {DType::kUint64, "U64"},
                                                  {DType::kUint32, "U32"},
                                                  {DType::kUint16, "U16"},
                                                  {DType::kUint8, "U8"},
                                                  {DType::kBool, "BOOL"},
                                                  {DType::kFloat8E4M3FN, "F8_E4M3"},
                                                  {DType::kFloat8E5M2, "F8_E5M2"}}};

const char* NameOf(DType dtype, const std::string& tensor) {
  for (const TypeName& row : kTypeNames) {
    if (row.dtype == dtype) return row.name;
  }
  throw Error(
      reason::kDtypeMismatch,
      fmt::format("tensor '{}' is {}, which safetensors files cannot hold", tensor, Name(dtype)))
      .With("tensor", tensor);
}

[[noreturn]] void Malformed(const std::string& what) {
  throw Error(reason::kInvalidArgument, "not a safetensors file: " + what);
}

DType TypeOf(const std::string& name) {
  for (const TypeName& row : kTypeNames) {
    if (name == row.name) return row.dtype;
  }
  Malformed(fmt::format("element type '{}'", name));
}

}  // namespace

std::string SafetensorsHeader(const std::vector<std::pair<std::string, TensorSpec>>& tensors,
                              const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const auto& [name, spec] : tensors) {
    header[name] = {{"dtype", NameOf(spec.dtype, name)},
                    {"shape", ToVector(spec.dims)},
                    {"data_offsets", {offset, offset + spec.bytes()}}};
    offset += spec.bytes();
  }
  std::string text = header.dump();
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');  // aligns the data
  const uint64_t length = text.size();
  std::string prefix(kLengthBytes, '\0');
  std::memcpy(prefix.data(), &length, kLengthBytes);
  return prefix + text;
}

void SafetensorsReader::Feed(std::string_view bytes) {
  while (!parsed_ && !bytes.empty()) {
    uint64_t wanted = kLengthBytes;
    if (header_.size() >= kLengthBytes) {
      std::memcpy(&wanted, header_.data(), kLengthBytes);
      if (wanted == 0 || wanted > kMaxHeaderBytes) {
        Malformed(fmt::format("a header of {} bytes", wanted));
      }
      wanted += kLengthBytes;
    }
    const size_t take = std::min<size_t>(bytes.size(), wanted - header_.size());
    header_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (header_.size() == wanted && wanted > kLengthBytes) ParseHeader();
  }
  CopyPayload(bytes);
}

void SafetensorsReader::ParseHeader() try {
  parsed_ = true;
  const Json header = Json::parse(header_.substr(kLengthBytes));
  if (!header.is_object()) Malformed("the header is no JSON object");
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = entry.get<Metadata>();
      continue;
    }
    const auto shape = entry.at("shape").get<std::vector<int64_t>>();
    const TensorSpec spec{TypeOf(entry.at("dtype").get<std::string>()),
                          {shape.begin(), shape.end()}};
    CheckSpec(spec);
    const auto offsets = entry.at("data_offsets").get<std::array<size_t, 2>>();
    if (offsets[1] - offsets[0] != static_cast<size_t>(spec.bytes())) {
      Malformed(fmt::format("tensor '{}' of {} has offsets {} to {}", name, ToString(spec),
                            offsets[0], offsets[1]));
    }
    entries_.push_back({name, allocate_(spec), offsets[0], offsets[1]});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  size_t position = 0;
  for (const Entry& entry : entries_) {
    if (entry.begin != position) Malformed(fmt::format("a gap before tensor '{}'", entry.name));
    position = entry.end;
  }
} catch (const Json::exception& exception) {
  Malformed(exception.what());
}

void SafetensorsReader::CopyPayload(std::string_view bytes) {
  while (!bytes.empty()) {
    while (current_ < entries_.size() && entries_[current_].end == position_) ++current_;
    if (current_ == entries_.size()) Malformed("bytes after the last tensor");
    Entry& entry = entries_[current_];
    const size_t take = std::min(bytes.size(), entry.end - position_);
    std::memcpy(entry.tensor.mutable_data<char>() + (position_ - entry.begin), bytes.data(), take);
    position_ += take;
    bytes.remove_prefix(take);
  }
}

std::vector<std::pair<std::string, Tensor>> SafetensorsReader::Finish() {
  const size_t end = entries_.empty() ? 0 : entries_.back().end;
  if (!parsed_ || position_ != end) Malformed("it is cut short");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (Entry& entry : entries_) {
    MakeBoolsValid(entry.tensor);
    tensors.emplace_back(entry.name, std::move(entry.tensor));
  }
  return tensors;
}

}  // namespace gradwire
