// The safetensors file format (source: the format section of the safetensors documentation): eight
// bytes of header length, a JSON header, then each array's bytes, little-endian and row-major.
#ifndef GRADWIRE_SESSION_SAFETENSORS_H_
#define GRADWIRE_SESSION_SAFETENSORS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/attributes.h"
#include "core/tensor.h"

namespace gradwire {

using Metadata = std::map<std::string, std::string>;

// Length and header of a file that holds arrays of these specs in this order. Throws
// DTYPE_MISMATCH, naming the tensor, for an element type that the format lacks.
std::string SafetensorsHeader(const std::vector<std::pair<std::string, TensorSpec>>& tensors,
                              const Metadata& metadata);

// Reads a file in pieces of any size, straight into tensors.
class SafetensorsReader {
 public:
  // `allocate` gives the memory of a host-accessible tensor.
  explicit SafetensorsReader(std::function<Tensor(const TensorSpec&)> allocate)
      : allocate_(std::move(allocate)) {}

  // Throws INVALID_ARGUMENT for what is no such file.
  void Feed(std::string_view bytes);
  // All arrays; throws INVALID_ARGUMENT when the file is not whole.
  std::vector<std::pair<std::string, Tensor>> Finish();
  const Metadata& metadata() const { return metadata_; }

 private:
  struct Entry {
    std::string name;
    Tensor tensor;
    size_t begin;
    size_t end;
  };
  void ParseHeader();
  void CopyPayload(std::string_view bytes);

  const std::function<Tensor(const TensorSpec&)> allocate_;
  std::string header_;  // the length's eight bytes included, until they are parsed
  bool parsed_ = false;
  Metadata metadata_;
  std::vector<Entry> entries_;  // by begin
  size_t current_ = 0;          // entry that the next byte belongs to
  size_t position_ = 0;         // payload bytes so far
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SAFETENSORS_H_
