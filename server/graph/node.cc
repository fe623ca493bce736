#include "graph/node.h"

#include <atomic>
#include <utility>
#include <vector>

#include "graph/anomaly.h"
#include "graph/op.h"

namespace gradwire {
namespace {

// Of all sessions: a thread-safe count is all that the order of one session's nodes needs.
std::atomic<uint64_t> last_serial{0};

}  // namespace

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

Node::Node(const OpDef* op, Values inputs, Attributes attributes, bool recorded)
    : op_(op),
      serial_(++last_serial),
      inputs_(std::move(inputs)),
      attributes_(std::move(attributes)),
      recorded_(recorded) {}

uint64_t Node::LastSerial() { return last_serial; }

void Node::set_watch(std::unique_ptr<const Watch> watch) { watch_ = std::move(watch); }

bool Node::SavesInput(size_t i) const {
  return rule_ != nullptr ? rule_->SavesInput(i) : op_->saves.Input(i);
}

bool Node::SavesOutput(size_t i) const {
  return rule_ != nullptr ? rule_->SavesOutput(i) : op_->saves.Output(i);
}

void Node::StopRecording() {
  recorded_ = false;
  if (has_run_) AfterRun();
}

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
  watch_ = nullptr;
  if (!recorded_) {
    inputs_.clear();
    outputs_.clear();
    return;
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (!SavesInput(i)) DropInput(i, Slot::State::kNotSaved);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (!SavesOutput(i)) DropOutput(i, Slot::State::kNotSaved);
  }
  if (freed_) DropFreed();
}

void Node::DropFreed() {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (SavesInput(i)) DropInput(i, Slot::State::kFreed);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (SavesOutput(i)) DropOutput(i, Slot::State::kFreed);
  }
}

// The last holder of a long chain would otherwise recurse once a node and overflow the stack: the
// outermost destructor collects what each node that dies with it holds of others, and lets go of
// that in a loop.
Node::~Node() {
  thread_local std::vector<Values>* dying = nullptr;
  std::vector<Values> pending;
  std::vector<Values>& last_holders = dying != nullptr ? *dying : pending;
  last_holders.push_back(std::move(inputs_));
  if (watch_ != nullptr) last_holders.push_back(watch_->inputs);
  if (dying != nullptr) return;
  dying = &pending;
  while (!pending.empty()) {
    const Values last = std::move(pending.back());
    pending.pop_back();
  }
  dying = nullptr;
}

}  // namespace gradwire
