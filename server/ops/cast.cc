// Cast, CastLike.
#include <fmt/format.h>

#include "core/small_types.h"
#include "core/strings.h"
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/functors.h"
#include "ops/text_numbers.h"

namespace gradwire {
namespace {

constexpr DTypeSet kCastTypes = kReal | DType::kString;

// Attribute `to`: a code, or in opset 1 its name: "FLOAT".
DType Target(const Attributes& attributes) {
  constexpr std::string_view kNames[] = {"UNDEFINED",  "FLOAT",   "UINT8",  "INT8",   "UINT16",
                                         "INT16",      "INT32",   "INT64",  "STRING", "BOOL",
                                         "FLOAT16",    "DOUBLE",  "UINT32", "UINT64", "COMPLEX64",
                                         "COMPLEX128", "BFLOAT16"};
  const AttributeValue* to = attributes.Find("to");
  if (to == nullptr || !std::holds_alternative<std::string>(*to)) {
    return DTypeFromCode(static_cast<int>(attributes.Int("to")));
  }
  const auto* at = std::find(std::begin(kNames), std::end(kNames), std::get<std::string>(*to));
  return DTypeFromCode(at == std::end(kNames) ? -1 : static_cast<int>(at - kNames));
}

SmallRounding RoundingOf(const Attributes& attributes) {
  using E8M0 = SmallRounding::E8M0;
  const std::string mode = attributes.String("round_mode", "up");
  if (mode != "up" && mode != "down" && mode != "nearest") {
    throw Error(reason::kInvalidArgument,
                fmt::format("round_mode is '{}': up, down or nearest is expected", mode));
  }
  return {.saturate = attributes.Int("saturate", 1) != 0,
          .e8m0 = mode == "up"     ? E8M0::kUp
                  : mode == "down" ? E8M0::kDown
                                   : E8M0::kNearest};
}

Specs CastInfer(const OpCall& call) {
  const DType to = Target(call.attributes());
  if (!kCastTypes.Contains(to)) {
    throw Error(reason::kOpUnsupported,
                fmt::format("cannot cast to {}; supported: {}", Name(to), kCastTypes.ToString()));
  }
  RoundingOf(call.attributes());
  return {{to, call.dims(0)}};
}

constexpr int64_t kBlock = 256;

// Elements from `first` on as numbers: floats, which a later rounding rounds as if it were the
// first one, or integers.
template <class Number>
void Load(const Tensor& x, int64_t first, std::span<Number> numbers) {
  if (kSmall.Contains(x.dtype())) {
    std::array<uint8_t, kBlock> codes;
    UnpackCodes(x.dtype(), x.data<uint8_t>(), first, {codes.data(), numbers.size()});
    for (size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = static_cast<Number>(DecodeSmall(x.dtype(), codes[i]));
    }
    return;
  }
  Dispatch(DenseTypes{}, x.dtype(), [&]<class From>() {
    const From* from = x.data<From>() + first;
    for (size_t i = 0; i < numbers.size(); ++i) {
      if constexpr (std::is_same_v<From, double> && std::is_same_v<Number, float>) {
        numbers[i] = fn::RoundToOdd(from[i]);
      } else {
        numbers[i] = fn::Convert<Number>()(from[i]);
      }
    }
  });
}

template <class Number>
void Store(std::span<const Number> numbers, int64_t first, SmallRounding rounding, Tensor& y) {
  if (!kSmall.Contains(y.dtype())) {
    Dispatch(DenseTypes{}, y.dtype(), [&]<class To>() {
      To* to = y.mutable_data<To>() + first;
      for (const Number number : numbers) *to++ = fn::Convert<To>()(number);
    });
    return;
  }
  std::array<uint8_t, kBlock> codes;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if constexpr (std::is_integral_v<Number>) {
      codes[i] = static_cast<uint8_t>(numbers[i] & ((1 << BitWidth(y.dtype())) - 1));
    } else {
      codes[i] = EncodeSmall(y.dtype(), numbers[i], rounding);
    }
  }
  PackCodes(y.dtype(), {codes.data(), numbers.size()}, first, y.mutable_data<uint8_t>());
}

// From or to a small type, by way of a wider one.
template <class Number>
void CastBlocks(const Tensor& x, SmallRounding rounding, Tensor& y) {
  const int64_t blocks = (x.numel() + kBlock - 1) / kBlock;
  ParallelFor(blocks, 16, [&](int64_t begin, int64_t end) {
    std::array<Number, kBlock> numbers;
    for (int64_t first = begin * kBlock; first < std::min(end * kBlock, x.numel());
         first += kBlock) {
      const auto count = static_cast<size_t>(std::min(kBlock, x.numel() - first));
      Load<Number>(x, first, {numbers.data(), count});
      Store<Number>({numbers.data(), count}, first, rounding, y);
    }
  });
}

// A small type is read as float32 first, which a float on the way to it is rounded to odd for.
void CastFromStrings(KernelContext& context) {
  const std::span<const std::string_view> texts = Texts(context.input(0));
  Tensor& y = context.output(0);
  if (kSmall.Contains(y.dtype())) {
    Tensor wide = AllocateTensor(context.stream(), {DType::kFloat32, y.dims()});
    auto* number = wide.mutable_data<float>();
    for (const std::string_view text : texts) {
      *number++ = fn::RoundToOdd(ParseNumber<double>(text));
    }
    return CastBlocks<float>(wide, RoundingOf(context.attributes()), y);
  }
  Dispatch(DenseTypes{}, y.dtype(), [&]<class To>() {
    To* to = y.mutable_data<To>();
    for (const std::string_view text : texts) *to++ = ParseNumber<To>(text);
  });
}

void CastToStrings(KernelContext& context) {
  const Tensor& x = context.input(0);
  std::vector<std::string> texts;
  if (kSmall.Contains(x.dtype())) {
    for (int64_t i = 0; i < x.numel(); ++i) {
      float number = 0;
      Load<float>(x, i, {&number, 1});
      texts.push_back(kSmallInts.Contains(x.dtype()) ? FormatNumber(static_cast<int64_t>(number))
                                                     : FormatNumber(number));
    }
  } else {
    Dispatch(DenseTypes{}, x.dtype(), [&]<class From>() {
      const From* from = x.data<From>();
      for (int64_t i = 0; i < x.numel(); ++i) texts.push_back(FormatNumber(from[i]));
    });
  }
  FillStrings(texts, [&](size_t bytes) { return context.Scratch(bytes); }, context.output(0));
}

template <class From, class To>
void CastRun(const LoopCall& call) {
  MapRun(call.in<From>(0), call.out<To>(), call.count, fn::Convert<To>());
}

Loop CastLoop(DType input, DType output) {
  constexpr DTypeSet kOther = kSmall | DType::kString;
  Loop loop;
  if (kOther.Contains(input) || kOther.Contains(output)) return loop;
  Dispatch(DenseTypes{}, input, [&]<class From>() {
    Dispatch(DenseTypes{}, output, [&]<class To>() { loop = {CastRun<From, To>, kGrain}; });
  });
  return loop;
}

void CastCpu(KernelContext& context) {
  const Tensor& x = context.input(0);
  Tensor& y = context.output(0);
  if (x.dtype() == DType::kString || y.dtype() == DType::kString) {
    if (x.dtype() != DType::kString) return CastToStrings(context);
    if (y.dtype() != DType::kString) return CastFromStrings(context);
    std::copy_n(context.in<std::string_view>(0), x.numel(), context.out<std::string_view>(0));
    return;
  }
  if (kSmall.Contains(x.dtype()) || kSmall.Contains(y.dtype())) {
    constexpr DTypeSet kWhole = kInts | kBool | kSmallInts;
    const SmallRounding rounding = RoundingOf(context.attributes());
    const bool whole = kWhole.Contains(x.dtype()) && kWhole.Contains(y.dtype());
    return whole ? CastBlocks<int64_t>(x, rounding, y) : CastBlocks<float>(x, rounding, y);
  }
  RunLoop(context, CastLoop(x.dtype(), y.dtype()));
}

// Nothing flows through integers.
Values CastVjp(const VjpCall& call) {
  const DType from = call.input_spec(0).dtype;
  if (!kGradTypes.Contains(from)) return {Value()};
  return {Cast(call.dy(), from)};
}

Values CastLikeDecompose(const OpCall& call) {
  Attributes attributes = call.attributes();
  attributes.Set("to", int64_t{static_cast<int>(call.dtype(1))});
  return {Call("Cast", {call.input(0)}, std::move(attributes))};
}

GRADWIRE_OP({.name = "Cast",
             .types = kCastTypes,
             .attributes = {"to", "saturate", "round_mode"},
             .infer = CastInfer,
             .cpu = CastCpu,
             .vjp = CastVjp,
             .in_place = true,
             .loop = CastLoop});
GRADWIRE_OP({.name = "CastLike",
             .since = 15,
             .inputs = 2,
             .types = kCastTypes,
             .attributes = {"saturate", "round_mode"},
             .decompose = CastLikeDecompose});

}  // namespace
}  // namespace gradwire
