// What a name stands for while nodes are traced: ONNX's tensors, and its sequences and optionals of
// them. These two exist in the trace only; kernels see tensors.
#ifndef GRADWIRE_GRAPH_ITEM_H_
#define GRADWIRE_GRAPH_ITEM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "graph/value.h"

namespace gradwire {

// tensor(dtype), seq(tensor(dtype)), or an optional of one of them.
struct ItemType {
  DType dtype = DType::kUndefined;  // kUndefined where it is not known
  bool sequence = false;
  bool optional = false;

  bool operator==(const ItemType&) const = default;
};
// As ONNX spells it, without "tensor": "optional(seq(float))".
std::string ToString(const ItemType& type);

// More elements than this are refused: inserting before the end copies the others.
inline constexpr int64_t kMaxSequence = 1 << 16;

// Tensors of one element type, which is kUndefined while there is none that tells it.
struct Sequence {
  DType dtype = DType::kUndefined;
  std::vector<Value> elements;
};
// One that an Item holds; valid until a sequence is made again.
struct SequenceView {
  DType dtype;
  std::span<const Value> elements;

  size_t size() const { return elements.size(); }
  Sequence Copy() const { return {dtype, {elements.begin(), elements.end()}}; }
};

// An immutable handle. An optional that has an element is that element, as for OptionalGetElement
// since opset 18.
class Item {
 public:
  // An optional input left out.
  Item() = default;
  Item(Value tensor) : held_(std::move(tensor)) {}  // NOLINT: an Item from what it may be
  // Throws DTYPE_MISMATCH where elements are not of the sequence's type, QUOTA_EXCEEDED where they
  // are more than kMaxSequence.
  Item(Sequence sequence);  // NOLINT: likewise
  // The optional of this type that has no element.
  static Item Empty(ItemType type);

  // False for an input left out.
  explicit operator bool() const;
  bool is_tensor() const { return std::holds_alternative<Value>(held_); }
  bool is_sequence() const { return std::holds_alternative<Shared>(held_); }
  bool is_empty() const { return std::holds_alternative<ItemType>(held_); }
  // Throw INVALID_ARGUMENT, saying what it is, where it is not one.
  const Value& tensor() const;
  SequenceView sequence() const;
  ItemType type() const;
  // The sequence with one more element, in constant time where nothing else was appended to it.
  // Throws what the constructor throws.
  Item Append(const Value& element) const;

  // The tensors that it consists of, in order.
  Values tensors() const;
  // The same with each tensor's array, without what made it unless that is recorded.
  Item WithoutTrace() const;

 private:
  // The first `size` elements of an array that only grows, and is shared with longer sequences.
  struct Shared {
    DType dtype;
    std::shared_ptr<std::vector<Value>> elements;
    size_t size;
  };
  std::variant<Value, Shared, ItemType> held_;
};
using Items = std::vector<Item>;

// "float[2,3]", "seq(float) of 4", "an empty optional(float)".
std::string ToString(const Item& item);

// What items are but for their tensors: to take them apart and put them together again.
class ItemLayout {
 public:
  explicit ItemLayout(const Items& items);
  Items Assemble(std::span<const Value> tensors) const;

 private:
  struct Part {
    ItemType type;
    size_t tensors;
  };
  std::vector<Part> parts_;
};
Values TensorsOf(const Items& items);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_ITEM_H_
