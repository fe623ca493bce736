// Session::Move.

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/quota.h"
#include "core/error.h"
#include "core/strings.h"
#include "graph/node.h"
#include "session/session.h"

namespace gradwire {
namespace {

bool IsOnHost(const Buffer& buffer) { return buffer.device().type == DeviceType::kCpu; }

// In pieces through the host, where neither device is it.
void CopyBetween(Stream& from_stream, const Buffer& from, Stream& to_stream, Buffer& to,
                 size_t bytes) {
  if (bytes == 0) return;
  if (IsOnHost(from)) return to_stream.Upload(from.data(), to, bytes);
  if (IsOnHost(to)) return from_stream.Download(from, to.data(), bytes);
  constexpr size_t kPiece = size_t{16} << 20;
  std::vector<std::byte> piece(std::min(bytes, kPiece));
  for (size_t at = 0; at < bytes; at += piece.size()) {
    const size_t size = std::min(piece.size(), bytes - at);
    const auto part = [&](const Buffer& of) {
      return Buffer(static_cast<std::byte*>(of.data()) + at, size, of.device());
    };
    from_stream.Download(part(from), piece.data(), size);
    Buffer into = part(to);
    to_stream.Upload(piece.data(), into, size);
  }
}

// What a session has in arrays, and their copies on another device. A slot is where an array is for
// all who have it: names, and the nodes of graphs, which need not be touched. Rules of nodes hold
// no arrays: what they read are the nodes' inputs and outputs.
class Arrays {
 public:
  explicit Arrays(Device to) : to_(to) {}

  // What an item consists of, and what the graphs behind it keep. Throws OP_UNSUPPORTED.
  void Add(const std::string& name, const Item& item) try {
    for (const Value& value : item.tensors()) Visit(value);
    while (!pending_.empty()) {
      const NodePtr node = std::move(pending_.back());
      pending_.pop_back();
      for (const Value& input : node->inputs()) Visit(input);
      for (size_t i = 0; i < node->num_outputs(); ++i) {
        AddSlot(node->output_slot(static_cast<int>(i)));
      }
    }
  } catch (Error& error) {
    error.Prefix(fmt::format("tensor '{}': ", name)).With("tensor", name);
    throw;
  }

  void Copy(Stream& from, Stream& to, const std::function<void()>& poll) {
    for (Block& block : blocks_) {
      poll();
      block.to = to.Allocate(block.bytes);
      CopyBetween(from, *block.from, to, *block.to, block.bytes);
    }
    to.Synchronize();
    for (const SlotPtr& slot : slots_) {
      const Block& block = blocks_[block_of_.at(slot->tensor.buffer().get())];
      moved_.emplace_back(slot->tensor.spec(), block.to);
    }
  }

  // Puts the copies into the slots.
  void Exchange() noexcept {
    for (size_t i = 0; i < slots_.size(); ++i) std::swap(slots_[i]->tensor, moved_[i]);
  }

 private:
  // Memory that arrays lie in: several, where one is a view of another.
  struct Block {
    BufferPtr from;
    size_t bytes = 0;  // of the largest
    BufferPtr to = nullptr;
  };

  void Visit(const Value& value) {
    if (!value) return;
    AddSlot(value.slot());
    if (value.node() != nullptr && seen_nodes_.insert(value.node().get()).second) {
      pending_.push_back(value.node());
    }
  }

  void AddSlot(const SlotPtr& slot) {
    const Tensor& tensor = slot->tensor;
    if (!tensor || tensor.device() == to_ || !seen_slots_.insert(slot.get()).second) return;
    if (tensor.dtype() == DType::kString) RequireStringDevice(to_);
    slots_.push_back(slot);
    const auto [found, added] = block_of_.emplace(tensor.buffer().get(), blocks_.size());
    if (added) blocks_.push_back({.from = tensor.buffer()});
    Block& block = blocks_[found->second];
    block.bytes = std::max(block.bytes, tensor.bytes());
  }

  const Device to_;
  std::vector<SlotPtr> slots_;
  std::vector<Tensor> moved_;  // by index of slots_
  std::vector<Block> blocks_;
  absl::flat_hash_map<const Buffer*, size_t> block_of_;
  absl::flat_hash_set<const Slot*> seen_slots_;
  absl::flat_hash_set<const Node*> seen_nodes_;
  std::vector<NodePtr> pending_;
};

}  // namespace

void Session::RequireNothingShared() const {
  if (shared_arrays_ == nullptr) return;
  throw Error(reason::kInvalidArgument,
              "the session shares memory of its device with a process on this machine, and cannot "
              "be moved");
}

void Session::Move(Backend& to, const std::function<void()>& poll) {
  if (to.device() == device()) return;
  {
    const std::lock_guard lock(mutex_);
    RequireNothingShared();
  }
  const Quota::CopyScope count_once(*quota_);  // ends after the arrays that are given up
  Arrays arrays(to.device());
  for (const auto& [name, item] : names_) {
    poll();
    arrays.Add(name, item);
  }
  std::shared_ptr<Stream> stream = to.NewStream(quota_);
  stream->set_math_mode(options_.math_mode);
  arrays.Copy(*stream_, *stream, poll);
  {
    const std::lock_guard lock(mutex_);
    RequireNothingShared();  // still
    stream_.swap(stream);
    device_ = stream_->device();
  }
  arrays.Exchange();
  commands_.Clear();
}

}  // namespace gradwire
