#include "exec/generated_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "exec/chain.h"
#include "ops/pack.h"

namespace gradwire {
namespace {

// Of what a kernel takes, beside a count: CUDA's limit before 12.1.
constexpr size_t kMostArgumentBytes = 4096 - 8;

// How an input is read.
enum class Reading { kWhole, kOne, kWalked };

Reading ReadingOf(const Chain& chain, size_t input) {
  const int64_t elements = chain.specs[input].numel();
  if (elements == chain.numel) return Reading::kWhole;
  return elements == 1 ? Reading::kOne : Reading::kWalked;
}

std::string_view TypeName(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float";
    case DType::kFloat64:
      return "double";
    case DType::kInt8:
      return "int8_t";
    case DType::kInt16:
      return "int16_t";
    case DType::kInt32:
      return "int32_t";
    case DType::kInt64:
      return "int64_t";
    case DType::kUint8:
      return "uint8_t";
    case DType::kUint16:
      return "uint16_t";
    case DType::kUint32:
      return "uint32_t";
    case DType::kUint64:
      return "uint64_t";
    case DType::kBool:
      return "bool";
    case DType::kFloat16:
      return "Float16";
    case DType::kBfloat16:
      return "BFloat16";
    default:
      throw Error(reason::kInternal, "no kernel computes with " + std::string(Name(dtype)));
  }
}

// Elements of a pack: the widest array is read and written 16 bytes at a time.
int64_t PackOf(const Chain& chain) {
  const auto end = chain.widths.begin() + static_cast<int64_t>(chain.specs.size());
  return cuda::kPackBytes / *std::max_element(chain.widths.begin(), end);
}

// cuda::Walk of the inputs that are walked.
struct Walked {
  std::vector<int64_t> extents;
  std::vector<std::vector<int64_t>> strides;  // by array, then dimension
  size_t rank() const { return extents.size(); }
};

Walked WalkOf(const Chain& chain) {
  const Dims& dims = chain.specs[chain.inputs].dims;
  std::vector<Dims> from;
  for (size_t i = 0; i < chain.inputs; ++i) {
    if (ReadingOf(chain, i) != Reading::kWalked) continue;
    from.push_back(BroadcastStrides(chain.specs[i].dims, dims));
  }
  Walked walk;
  walk.strides.resize(from.size());
  for (size_t d = 0; d < dims.size() && !from.empty(); ++d) {
    if (dims[d] == 1) continue;
    bool joins = !walk.extents.empty();
    for (size_t k = 0; k < from.size(); ++k) {
      joins = joins && walk.strides[k].back() == from[k][d] * dims[d];
    }
    if (joins) {
      walk.extents.back() *= dims[d];
    } else {
      walk.extents.push_back(dims[d]);
    }
    for (size_t k = 0; k < from.size(); ++k) {
      if (joins) walk.strides[k].pop_back();
      walk.strides[k].push_back(from[k][d]);
    }
  }
  return walk;
}

// Whether each pack lies within a row of the walk, and where an aligned pack of each array does.
bool GoesByPacks(const Walked& walk, int64_t pack) {
  if (walk.strides.empty()) return true;
  if (walk.extents.back() % pack != 0) return false;
  return std::all_of(walk.strides.begin(), walk.strides.end(), [&](const auto& strides) {
    return strides.back() == 0 || std::all_of(strides.begin(), strides.end() - 1,
                                              [&](int64_t stride) { return stride % pack == 0; });
  });
}

const FunctorDef& FunctorOf(const Chain::Link& link) { return link.op->functor; }

// The struct's members, in the order of Argument.
std::string Members(const Chain& chain, const Walked& walk) {
  std::string text = fmt::format(
      "  static constexpr int kPack = {};\n"
      "  const void* inputs[{}];\n"
      "  void* outputs[{}];\n"
      "  int64_t count;\n"
      "  int64_t pack;\n",
      PackOf(chain), chain.inputs, chain.outputs);
  if (!walk.strides.empty()) {
    text += fmt::format("  Walk<{}, {}> walk;\n", walk.strides.size(), walk.rank());
  }
  for (size_t i = 0; i < chain.links.size(); ++i) {
    const FunctorDef& functor = FunctorOf(chain.links[i]);
    if (functor.make != nullptr) text += fmt::format("  {} f{};\n", functor.type, i);
  }
  return text;
}

std::string Loads(const Chain& chain, const Walked& walk) {
  std::string text;
  if (!walk.strides.empty()) {
    text +=
        fmt::format("    int64_t at[{}];\n    walk.Of(first, count, at);\n", walk.strides.size());
  }
  size_t walked = 0;
  for (size_t i = 0; i < chain.inputs; ++i) {
    const std::string_view type = TypeName(chain.specs[i].dtype);
    switch (ReadingOf(chain, i)) {
      case Reading::kWhole:
        text +=
            fmt::format("    const auto x{0} = Load<kCount, {1}>(inputs[{0}], first);\n", i, type);
        break;
      case Reading::kOne:
        text +=
            fmt::format("    const auto x{0} = Spread<kCount, {1}>(inputs[{0}], 0);\n", i, type);
        break;
      case Reading::kWalked:
        text += fmt::format(
            "    const auto x{0} = Load<kCount, {1}>(inputs[{0}], at[{2}], "
            "walk.strides[{2}][{3}]);\n",
            i, type, walked++, walk.rank() - 1);
        break;
    }
  }
  return text;
}

std::string FunctorFor(const Chain::Link& link, std::string_view result) {
  constexpr std::string_view kResult = "Result";
  std::string type(FunctorOf(link).type);
  if (const size_t at = type.find(kResult); at != std::string::npos) {
    type.replace(at, kResult.size(), result);
  }
  return type;
}

// A statement for each link, and what they come to.
std::string Links(const Chain& chain) {
  std::vector<std::string> named(chain.widths.size());  // what a number stands for by now
  for (size_t i = 0; i < chain.inputs; ++i) named[i] = fmt::format("x{}.at[j]", i);
  std::string text;
  for (size_t i = 0; i < chain.links.size(); ++i) {
    const Chain::Link& link = chain.links[i];
    const std::string_view type = TypeName(link.dtype);
    const std::string functor =
        FunctorOf(link).make != nullptr ? fmt::format("f{}", i) : FunctorFor(link, type) + "()";
    const bool loads = link.op->cuda_traits.halves != 0;
    std::string operands;
    for (const int operand : link.operands) {
      if (!operands.empty()) operands += ", ";
      const std::string name = operand < 0 ? "fn::Absent()" : named[static_cast<size_t>(operand)];
      operands += loads && operand >= 0 ? fmt::format("Loaded({})", name) : name;
    }
    text += fmt::format("      const {} t{} = {}({});\n", type, i, functor, operands);
    named[static_cast<size_t>(link.result)] = fmt::format("t{}", i);
  }
  for (size_t i = 0; i < chain.outputs; ++i) {
    text += fmt::format("      y{}.at[j] = {};\n", i, named[chain.inputs + i]);
  }
  return text;
}

// The bytes of Members.
class Argument {
 public:
  void Add(const void* bytes, size_t size, size_t alignment) {
    const size_t at = (bytes_.size() + alignment - 1) / alignment * alignment;
    bytes_.resize(at + size);
    std::memcpy(bytes_.data() + at, bytes, size);
  }
  void Add(const std::vector<int64_t>& words) {
    Add(words.data(), words.size() * sizeof(int64_t), alignof(int64_t));
  }
  size_t size() const { return bytes_.size(); }
  std::vector<uint64_t> Words() const {
    std::vector<uint64_t> words((bytes_.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t));
    std::memcpy(words.data(), bytes_.data(), bytes_.size());
    return words;
  }

 private:
  std::vector<std::byte> bytes_;
};

Argument ArgumentOf(const Chain& chain, const Walked& walk, int64_t pack) {
  Argument argument;
  argument.Add(std::vector<int64_t>(chain.inputs + chain.outputs));  // addresses
  argument.Add({chain.numel, pack});
  argument.Add(walk.extents);
  for (const std::vector<int64_t>& strides : walk.strides) argument.Add(strides);
  for (const Chain::Link& link : chain.links) {
    const FunctorDef& functor = FunctorOf(link);
    if (functor.make == nullptr) continue;
    std::vector<uint64_t> bytes(functor.bytes / sizeof(uint64_t) + 1);
    functor.make(link.attributes, bytes.data());
    argument.Add(bytes.data(), functor.bytes, functor.alignment);
  }
  return argument;
}

}  // namespace

std::string SourceOf(const Chain& chain) {
  const Walked walk = WalkOf(chain);
  std::string packs;
  std::string stores;
  for (size_t i = 0; i < chain.outputs; ++i) {
    packs += fmt::format("    Pack<{}, kCount> y{};\n",
                         TypeName(chain.specs[chain.inputs + i].dtype), i);
    stores += fmt::format("    Store(outputs[{0}], first, y{0});\n", i);
  }
  return fmt::format(
      "#include \"ops/chain_kernel.h\"\n"
      "namespace gradwire::cuda {{\n"
      "struct Chain {{\n"
      "{}"
      "  template <int kCount>\n"
      "  GRADWIRE_FN void Run(int64_t first) const {{\n"
      "{}{}"
      "    for (int j = 0; j < kCount; ++j) {{\n"
      "{}"
      "    }}\n"
      "{}"
      "  }}\n"
      "}};\n"
      "}}\n"
      "GRADWIRE_CHAIN_ENTRY(gradwire::cuda::Chain)\n",
      Members(chain, walk), Loads(chain, walk), packs, Links(chain), stores);
}

std::shared_ptr<const GeneratedChain> GeneratedChain::Make(const Chain& chain, Stream& stream) {
  if (chain.outputs == 0) return nullptr;
  const Walked walk = WalkOf(chain);
  const int64_t pack = GoesByPacks(walk, PackOf(chain)) ? PackOf(chain) : 1;
  const Argument argument = ArgumentOf(chain, walk, pack);
  if (argument.size() > kMostArgumentBytes) return nullptr;
  auto made = std::make_shared<GeneratedChain>();
  made->kernel_ = stream.Compile(SourceOf(chain));
  if (made->kernel_ == nullptr) return nullptr;
  made->argument_ = argument.Words();
  made->packs_ = (chain.numel + pack - 1) / pack;
  return made;
}

void GeneratedChain::Run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                         Stream& stream) const {
  std::vector<uint64_t> argument = argument_;
  auto address = argument.begin();
  const auto add = [&](const Tensor& array) {
    *address++ = reinterpret_cast<uint64_t>(array.buffer()->data());
  };
  std::for_each(inputs.begin(), inputs.end(), add);
  std::for_each(outputs.begin(), outputs.end(), add);
  stream.Launch(*kernel_, packs_, std::as_bytes(std::span(argument)));
}

}  // namespace gradwire
