#include "graph/item.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace gradwire {

std::string ToString(const ItemType& type) {
  std::string text = type.dtype == DType::kUndefined ? "?" : std::string(Name(type.dtype));
  if (type.sequence) text = fmt::format("seq({})", text);
  return type.optional ? fmt::format("optional({})", text) : text;
}

Item::Item(Sequence sequence) {
  if (sequence.elements.size() > kMaxSequence) {
    throw Error(reason::kQuotaExceeded, fmt::format("a sequence has at most {} elements, got {}",
                                                    kMaxSequence, sequence.elements.size()));
  }
  for (const Value& element : sequence.elements) {
    if (sequence.dtype == DType::kUndefined) sequence.dtype = element.dtype();
    if (element.dtype() == sequence.dtype) continue;
    throw Error(reason::kDtypeMismatch,
                fmt::format("a sequence of {} cannot hold {}", Name(sequence.dtype),
                            ToString(element.spec())));
  }
  held_ = std::make_shared<const Sequence>(std::move(sequence));
}

Item Item::Empty(ItemType type) {
  Item item;
  type.optional = true;
  item.held_ = type;
  return item;
}

Item::operator bool() const { return !is_tensor() || std::get<Value>(held_); }

const Value& Item::tensor() const {
  if (const Value* value = std::get_if<Value>(&held_)) return *value;
  throw Error(reason::kInvalidArgument, fmt::format("takes a tensor, got {}", ToString(*this)));
}

const Sequence& Item::sequence() const {
  if (const SequencePtr* sequence = std::get_if<SequencePtr>(&held_)) return **sequence;
  throw Error(reason::kInvalidArgument, fmt::format("takes a sequence, got {}", ToString(*this)));
}

ItemType Item::type() const {
  if (is_empty()) return std::get<ItemType>(held_);
  if (is_sequence()) return {sequence().dtype, /*sequence=*/true};
  return {*this ? tensor().dtype() : DType::kUndefined};
}

Values Item::tensors() const {
  if (is_empty()) return {};
  if (is_tensor()) return {tensor()};
  return {sequence().elements.begin(), sequence().elements.end()};
}

Item Item::WithoutTrace() const {
  if (is_empty()) return *this;
  if (is_tensor()) return tensor().WithoutTrace();
  Sequence bare{sequence().dtype, {}};
  for (const Value& element : sequence().elements) {
    bare.elements.push_back(element.WithoutTrace());
  }
  return bare;
}

std::string ToString(const Item& item) {
  if (!item) return "nothing";
  if (item.is_empty()) return "an empty " + ToString(item.type());
  if (item.is_tensor()) return ToString(item.tensor().spec());
  return fmt::format("{} of {}", ToString(item.type()), item.sequence().elements.size());
}

ItemLayout::ItemLayout(const Items& items) {
  for (const Item& item : items) parts_.push_back({item.type(), item.tensors().size()});
}

Items ItemLayout::Assemble(std::span<const Value> tensors) const {
  Items items;
  size_t next = 0;
  for (const Part& part : parts_) {
    const auto own = tensors.subspan(next, part.tensors);
    next += part.tensors;
    if (part.type.optional) {
      items.push_back(Item::Empty(part.type));
    } else if (part.type.sequence) {
      items.emplace_back(Sequence{part.type.dtype, {own.begin(), own.end()}});
    } else {
      items.emplace_back(own[0]);
    }
  }
  return items;
}

Values TensorsOf(const Items& items) {
  Values tensors;
  for (const Item& item : items) {
    const Values own = item.tensors();
    tensors.insert(tensors.end(), own.begin(), own.end());
  }
  return tensors;
}

}  // namespace gradwire
