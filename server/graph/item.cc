#include "graph/item.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace gradwire {

namespace {

void CheckLength(size_t elements) {
  if (elements <= kMaxSequence) return;
  throw Error(reason::kQuotaExceeded,
              fmt::format("a sequence has at most {} elements, got {}", kMaxSequence, elements));
}

// The type of a sequence of `dtype` that holds the element.
DType CheckElement(DType dtype, const Value& element) {
  if (dtype == DType::kUndefined || dtype == element.dtype()) return element.dtype();
  throw Error(reason::kDtypeMismatch, fmt::format("a sequence of {} cannot hold {}", Name(dtype),
                                                  ToString(element.spec())));
}

}  // namespace

std::string ToString(const ItemType& type) {
  std::string text = type.dtype == DType::kUndefined ? "?" : std::string(Name(type.dtype));
  if (type.sequence) text = fmt::format("seq({})", text);
  return type.optional ? fmt::format("optional({})", text) : text;
}

Item::Item(Sequence sequence) {
  CheckLength(sequence.elements.size());
  DType dtype = sequence.dtype;
  for (const Value& element : sequence.elements) dtype = CheckElement(dtype, element);
  const size_t size = sequence.elements.size();
  held_ = Shared{dtype, std::make_shared<std::vector<Value>>(std::move(sequence.elements)), size};
}

Item Item::Append(const Value& element) const {
  const SequenceView view = sequence();
  CheckLength(view.size() + 1);
  Shared longer = std::get<Shared>(held_);
  longer.dtype = CheckElement(view.dtype, element);
  if (longer.elements->size() != longer.size) {
    longer.elements = std::make_shared<std::vector<Value>>(view.Copy().elements);
  }
  longer.elements->push_back(element);
  ++longer.size;
  Item item;
  item.held_ = std::move(longer);
  return item;
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

SequenceView Item::sequence() const {
  if (const Shared* shared = std::get_if<Shared>(&held_)) {
    return {shared->dtype, std::span<const Value>(*shared->elements).first(shared->size)};
  }
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
  const SequenceView view = sequence();
  return {view.elements.begin(), view.elements.end()};
}

Item Item::WithoutTrace() const {
  if (is_empty()) return *this;
  if (is_tensor()) return tensor().WithoutTrace();
  Sequence bare = sequence().Copy();
  for (Value& element : bare.elements) element = element.WithoutTrace();
  Item item = std::move(bare);
  // As if it had been appended to: a command that fails leaves nothing in what the session has.
  std::get<Shared>(item.held_).elements->emplace_back();
  return item;
}

std::string ToString(const Item& item) {
  if (!item) return "nothing";
  if (item.is_empty()) return "an empty " + ToString(item.type());
  if (item.is_tensor()) return ToString(item.tensor().spec());
  return fmt::format("{} of {}", ToString(item.type()), item.sequence().size());
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
