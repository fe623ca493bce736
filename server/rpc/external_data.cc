#include "rpc/external_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/bools.h"
#include "core/error.h"

namespace gradwire::rpc {
namespace {

Error Invalid(const v1::TensorProto& proto, const std::string& what) {
  Error error(reason::kInvalidModel, fmt::format("initializer '{}': {}", proto.name(), what));
  error.With("tensor", proto.name());
  return error;
}

int64_t Number(const v1::TensorProto& proto, const v1::StringStringEntryProto& entry) {
  int64_t number = 0;
  if (absl::SimpleAtoi(entry.value(), &number) && number >= 0) return number;
  throw Invalid(proto, fmt::format("{} '{}' of its external data is no number of bytes",
                                   entry.key(), entry.value()));
}

// Also in the eyes of an operating system with drives and backslashes.
bool StaysInside(const std::string& location) {
  if (location.empty() || location.find(':') != std::string::npos) return false;
  const std::vector<std::string> parts = absl::StrSplit(location, absl::ByAnyChar("/\\"));
  return !parts.front().empty() && std::find(parts.begin(), parts.end(), "..") == parts.end();
}

}  // namespace

void ExternalData::Expect(const v1::TensorProto& proto, const Tensor& tensor) {
  std::string location;
  const auto bytes = static_cast<int64_t>(tensor.bytes());
  Piece piece{.name = proto.name(), .tensor = tensor};
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") piece.offset = Number(proto, entry);
    if (entry.key() == "length" && Number(proto, entry) != bytes) {
      throw Invalid(proto, fmt::format("{} takes {} bytes, its external data has {}",
                                       ToString(tensor.spec()), bytes, entry.value()));
    }
  }
  if (!StaysInside(location)) {
    throw Invalid(proto, fmt::format("external data must be at a relative path without '..', got "
                                     "'{}'",
                                     location));
  }
  if (piece.offset > INT64_MAX - bytes) throw Invalid(proto, "its external data ends nowhere");
  files_[location].push_back(std::move(piece));
}

void ExternalData::Receive(const v1::FileChunk& chunk) {
  if (!chunk.path().empty()) {
    if (!files_.contains(chunk.path())) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("no initializer is kept in a file '{}'", chunk.path()));
    }
    if (!begun_.insert(chunk.path()).second) {
      throw Error(reason::kInvalidArgument, fmt::format("the file '{}' came twice", chunk.path()));
    }
    path_ = chunk.path();
    at_ = 0;
  }
  if (path_.empty()) {
    throw Error(reason::kInvalidArgument, "the first part of a file has its path");
  }
  const int64_t end = at_ + static_cast<int64_t>(chunk.data().size());
  for (Piece& piece : files_[path_]) {
    const auto bytes = static_cast<int64_t>(piece.tensor.bytes());
    const int64_t from = std::max(at_, piece.offset);
    const int64_t to = std::min(end, piece.offset + bytes);
    if (from >= to) continue;
    std::memcpy(piece.tensor.mutable_data<char>() + (from - piece.offset),
                chunk.data().data() + (from - at_), static_cast<size_t>(to - from));
    piece.received += to - from;
  }
  at_ = end;
}

void ExternalData::Complete() {
  for (auto& [path, pieces] : files_) {
    for (Piece& piece : pieces) {
      const auto bytes = static_cast<int64_t>(piece.tensor.bytes());
      if (piece.received == bytes) {
        MakeBoolsValid(piece.tensor);
        continue;
      }
      throw Error(reason::kInvalidModel,
                  fmt::format("initializer '{}' is kept in '{}' from byte {} to {}, of which {} "
                              "came: send the file in `external`",
                              piece.name, path, piece.offset, piece.offset + bytes, piece.received))
          .With("tensor", piece.name);
    }
  }
}

}  // namespace gradwire::rpc
