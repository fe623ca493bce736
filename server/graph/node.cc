#include "graph/node.h"

#include <utility>
#include <vector>

#include "graph/op.h"

namespace gradwire {

Value::Value(Tensor tensor) : slot_(std::make_shared<Slot>()) {
  slot_->spec = tensor.spec();
  slot_->tensor = std::move(tensor);
  slot_->state = Slot::State::kReady;
}

bool Value::requires_grad() const { return slot_->leaf != nullptr || grad_fn() != nullptr; }

NodePtr Value::grad_fn() const {
  const bool recorded = node_ != nullptr && node_->recorded() && kGradTypes.Contains(dtype());
  return recorded ? node_ : nullptr;
}

Value Value::WithoutTensor(Slot::State state) const {
  auto slot = std::make_shared<Slot>();
  slot->spec = slot_->spec;
  slot->state = state;
  slot->leaf = slot_->leaf;
  return {std::move(slot), node_, index_};
}

Value Value::WithoutTrace() const { return {slot_, grad_fn(), index_}; }

void Node::AddOutput(TensorSpec spec) {
  auto slot = std::make_shared<Slot>();
  slot->spec = std::move(spec);
  outputs_.push_back(std::move(slot));
}

void Node::DropInput(size_t i, Slot::State state) {
  if (inputs_[i]) inputs_[i] = inputs_[i].WithoutTensor(state);
}

void Node::DropOutput(size_t i, Slot::State state) {
  auto slot = std::make_shared<Slot>();
  slot->spec = outputs_[i]->spec;
  slot->state = state;
  outputs_[i] = std::move(slot);
}

void Node::AfterRun() {
  has_run_ = true;
  if (!recorded_) {
    inputs_.clear();
    outputs_.clear();
    return;
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (!op_->saves.Input(i)) DropInput(i, Slot::State::kNotSaved);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (!op_->saves.Output(i)) DropOutput(i, Slot::State::kNotSaved);
  }
  if (freed_) DropFreed();
}

void Node::DropFreed() {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (op_->saves.Input(i)) DropInput(i, Slot::State::kFreed);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (op_->saves.Output(i)) DropOutput(i, Slot::State::kFreed);
  }
}

// The last holder of a long chain would otherwise recurse once a node and overflow the stack: the
// outermost destructor collects the inputs of each node that dies with it and lets go of them in a
// loop.
Node::~Node() {
  thread_local std::vector<Values>* dying = nullptr;
  if (dying != nullptr) {
    dying->push_back(std::move(inputs_));
    return;
  }
  std::vector<Values> pending;
  pending.push_back(std::move(inputs_));
  dying = &pending;
  while (!pending.empty()) {
    const Values last = std::move(pending.back());
    pending.pop_back();
  }
  dying = nullptr;
}

}  // namespace gradwire
