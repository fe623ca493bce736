#include "backend/cpu/dnnl.h"

#include <fmt/format.h>

#include <list>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/error.h"
#include "core/parallel.h"

namespace gradwire::onednn {
namespace {

// A primitive with what its runs need: for each argument the layout it wants and, where that is
// not the one the array has, the copy between the two.
struct Prepared {
  struct Slot {
    Desc wanted;
    dnnl::primitive reorder;  // empty where none is needed
  };
  dnnl::primitive primitive;
  Desc scratchpad;
  absl::InlinedVector<Slot, 4> slots;
};

dnnl::primitive Reorder(const Desc& from, const Desc& to) {
  return dnnl::reorder(dnnl::reorder::primitive_desc(Engine(), from, Engine(), to, BaseAttr()));
}

std::shared_ptr<const Prepared> Prepare(absl::Span<const Argument> arguments,
                                        absl::FunctionRef<dnnl::primitive_desc()> describe) {
  const dnnl::primitive_desc description = describe();
  auto prepared = std::make_shared<Prepared>();
  prepared->primitive = dnnl::primitive(description);
  prepared->scratchpad = description.scratchpad_desc();
  for (const Argument& argument : arguments) {
    Prepared::Slot slot{description.query_md(dnnl::query::exec_arg_md, argument.id), {}};
    if (slot.wanted != argument.layout) {
      slot.reorder = argument.written ? Reorder(slot.wanted, argument.layout)
                                      : Reorder(argument.layout, slot.wanted);
    }
    prepared->slots.push_back(std::move(slot));
  }
  return prepared;
}

// The primitives used last, up to kMaxPrimitives.
class Cache {
 public:
  static Cache& Global() {
    static Cache& cache = *new Cache();  // never destroyed: threads may outlive main()
    return cache;
  }

  std::shared_ptr<const Prepared> Find(const Key& key) {
    const absl::MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->second;
  }

  void Insert(const Key& key, std::shared_ptr<const Prepared> prepared) {
    const absl::MutexLock lock(&mutex_);
    if (index_.contains(key)) return;  // another thread was faster
    entries_.emplace_front(key, std::move(prepared));
    index_.emplace(key, entries_.begin());
    if (entries_.size() <= kMaxPrimitives) return;
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }

 private:
  static constexpr size_t kMaxPrimitives = 1024;
  using Entries = std::list<std::pair<Key, std::shared_ptr<const Prepared>>>;

  absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // most recently used first
  absl::flat_hash_map<Key, Entries::iterator> index_ ABSL_GUARDED_BY(mutex_);
};

void Execute(Stream& memory, const Prepared& prepared, absl::Span<const Argument> arguments) {
  thread_local dnnl::stream stream(Engine());
  std::vector<BufferPtr> scratch;
  const auto allocate = [&](const Desc& desc) {
    scratch.push_back(memory.Allocate(desc.get_size()));
    return dnnl::memory(desc, Engine(), scratch.back()->data());
  };
  std::unordered_map<int, dnnl::memory> bound;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Argument& argument = arguments[i];
    const Prepared::Slot& slot = prepared.slots[i];
    if (!slot.reorder) {
      bound[argument.id] = dnnl::memory(slot.wanted, Engine(), argument.data);
      continue;
    }
    if (argument.packed != nullptr) {
      if (BufferPtr copy = argument.packed->Find(argument.id, slot.wanted)) {
        bound[argument.id] = dnnl::memory(slot.wanted, Engine(), copy->data());
        scratch.push_back(std::move(copy));
        continue;
      }
    }
    bound[argument.id] = allocate(slot.wanted);
    if (argument.written) continue;
    const dnnl::memory plain(argument.layout, Engine(), argument.data);
    slot.reorder.execute(stream, {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, bound[argument.id]}});
    if (argument.packed != nullptr) {
      argument.packed->Keep(argument.id, slot.wanted, scratch.back());
    }
  }
  if (prepared.scratchpad.get_size() != 0) {
    bound[DNNL_ARG_SCRATCHPAD] = allocate(prepared.scratchpad);
  }
  prepared.primitive.execute(stream, bound);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!prepared.slots[i].reorder || !arguments[i].written) continue;
    const dnnl::memory plain(arguments[i].layout, Engine(), arguments[i].data);
    prepared.slots[i].reorder.execute(
        stream, {{DNNL_ARG_FROM, bound[arguments[i].id]}, {DNNL_ARG_TO, plain}});
  }
  stream.wait();
}

// Threads that a primitive may wake; less is done before they are there.
int ThreadsFor(absl::Span<const Argument> arguments) {
  constexpr size_t kWorthThreads = size_t{1} << 17;
  size_t bytes = 0;
  for (const Argument& argument : arguments) bytes += argument.layout.get_size();
  return bytes >= kWorthThreads ? Threads() : 1;
}

}  // namespace

BufferPtr Packed::Find(int id, const Desc& layout) const {
  const absl::MutexLock lock(&mutex_);
  for (const Copy& copy : copies_) {
    if (copy.id == id && copy.layout == layout) return copy.data;
  }
  return nullptr;
}

void Packed::Keep(int id, const Desc& layout, BufferPtr copy) {
  const absl::MutexLock lock(&mutex_);
  // Another number of threads may want another layout: the one of the last call is kept.
  for (Copy& known : copies_) {
    if (known.id != id) continue;
    known = {id, layout, std::move(copy)};
    return;
  }
  copies_.push_back({id, layout, std::move(copy)});
}

const dnnl::engine& Engine() {
  static const dnnl::engine& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::primitive_attr BaseAttr() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

Desc Plain(std::span<const int64_t> dims, Type type) { return Strided(dims, Strides(dims), type); }

Desc Strided(std::span<const int64_t> dims, std::span<const int64_t> strides, Type type) {
  if (dims.empty()) return {{1}, type, dnnl::memory::dims{1}};
  return {ToDims(dims), type, ToDims(strides)};
}

Desc ChannelsLast(std::span<const int64_t> dims, Type type) {
  Dims strides(dims.size());
  int64_t stride = dims[1];
  for (size_t d = dims.size(); d-- > 2; stride *= dims[d]) strides[d] = stride;
  strides[1] = 1;
  strides[0] = stride;
  return Strided(dims, strides, type);
}

Desc Any(std::span<const int64_t> dims, Type type) {
  return {ToDims(dims), type, dnnl::memory::format_tag::any};
}

Key& Key::Add(std::span<const int64_t> list) {
  numbers_.push_back(static_cast<int64_t>(list.size()));
  numbers_.insert(numbers_.end(), list.begin(), list.end());
  return *this;
}

void Run(Stream& stream, Key key, absl::Span<const Argument> arguments,
         absl::FunctionRef<dnnl::primitive_desc()> describe) {
  try {
    key.Add(Threads());  // a primitive divides its work when it is made
    std::shared_ptr<const Prepared> prepared = Cache::Global().Find(key);
    if (!prepared) {
      prepared = Prepare(arguments, describe);
      Cache::Global().Insert(key, prepared);
    }
    const LoopScope scope(ThreadsFor(arguments));
    Execute(stream, *prepared, arguments);
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    throw Error(
        memory ? reason::kOutOfMemory : reason::kInternal,
        fmt::format("oneDNN: {} (status {})", error.message, static_cast<int>(error.status)));
  }
}

}  // namespace gradwire::onednn
