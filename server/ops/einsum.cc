// Einsum: operands are contracted from left to right, each pair by one batched matrix product.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "graph/formula.h"

namespace gradwire {
namespace {

// An array with a letter for each axis. Axes of the ellipsis have letters '\1', '\2', ... of their
// own, the last axis the highest.
struct Term {
  Value x;
  std::string letters;
};

struct Equation {
  std::vector<std::string> inputs;  // letters, and '.' for an ellipsis
  std::string output;
  bool is_explicit = false;
};

[[noreturn]] void Refuse(const std::string& equation, const std::string& why) {
  throw Error(reason::kInvalidArgument, fmt::format("equation '{}': {}", equation, why));
}

// A term with each "..." as one '.'.
std::string ParseTerm(const std::string& equation, std::string_view text) {
  std::string term;
  for (size_t i = 0; i < text.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(text[i])) != 0) {
      term += text[i];
    } else if (text.substr(i, 3) == "..." && term.find('.') == std::string::npos) {
      term += '.';
      i += 2;
    } else {
      Refuse(equation, fmt::format("'{}' is not understood", text.substr(i)));
    }
  }
  return term;
}

Equation Parse(const std::string& text) {
  std::string plain = text;
  plain.erase(std::remove(plain.begin(), plain.end(), ' '), plain.end());
  Equation equation;
  const size_t arrow = plain.find("->");
  equation.is_explicit = arrow != std::string::npos;
  if (equation.is_explicit) equation.output = ParseTerm(text, plain.substr(arrow + 2));
  const std::string left = plain.substr(0, arrow);
  for (size_t begin = 0; begin <= left.size();) {
    const size_t comma = std::min(left.find(',', begin), left.size());
    equation.inputs.push_back(ParseTerm(text, left.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return equation;
}

// The last `count` of `total` ellipsis letters.
std::string EllipsisLetters(size_t count, size_t total) {
  std::string letters;
  for (size_t i = total - count; i < total; ++i) letters += static_cast<char>(i + 1);
  return letters;
}

std::string Replaced(std::string term, const std::string& ellipsis) {
  if (const size_t at = term.find('.'); at != std::string::npos) term.replace(at, 1, ellipsis);
  return term;
}

// The terms, and the output's letters, with ellipses spelled out.
std::vector<Term> ReadTerms(const OpCall& call, const std::string& text, std::string& output) {
  const Equation equation = Parse(text);
  if (equation.inputs.size() != call.num_inputs()) {
    Refuse(text, fmt::format("{} terms for {} inputs", equation.inputs.size(), call.num_inputs()));
  }
  std::vector<size_t> hidden;  // axes that each ellipsis stands for
  for (size_t i = 0; i < call.num_inputs(); ++i) {
    const std::string& term = equation.inputs[i];
    const bool open = term.find('.') != std::string::npos;
    const size_t named = term.size() - (open ? 1 : 0);
    const auto rank = static_cast<size_t>(call.rank(i));
    if (open ? rank < named : rank != named) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("equation '{}': input {} is {}", text, i, ToString(call.spec(i))));
    }
    hidden.push_back(rank - named);
  }
  const size_t total = *std::max_element(hidden.begin(), hidden.end());
  std::vector<Term> terms;
  std::string all;
  for (size_t i = 0; i < call.num_inputs(); ++i) {
    terms.push_back(
        {call.input(i), Replaced(equation.inputs[i], EllipsisLetters(hidden[i], total))});
    all += terms.back().letters;
  }
  if (equation.is_explicit) {
    output = Replaced(equation.output, EllipsisLetters(total, total));
    return terms;
  }
  std::sort(all.begin(), all.end());
  output = EllipsisLetters(total, total);
  for (const char letter : all) {
    if (letter > static_cast<char>(total) && std::count(all.begin(), all.end(), letter) == 1) {
      output += letter;
    }
  }
  return terms;
}

void RemoveAxis(Term& term, size_t axis) {
  Dims dims = term.x.dims();
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  term.x = Reshape(term.x, dims);
  term.letters.erase(axis, 1);
}

// The axes in another order.
Term Permuted(const Term& term, const std::string& letters) {
  if (letters == term.letters) return term;
  std::vector<int64_t> perm;
  for (const char letter : letters) {
    perm.push_back(static_cast<int64_t>(term.letters.find(letter)));
  }
  return {Transpose(term.x, perm), letters};
}

// The term without axes of extent 1 whose letter has another extent elsewhere: they broadcast.
void DropBroadcast(Term& term, const std::array<int64_t, 128>& extents) {
  for (size_t i = term.letters.size(); i-- > 0;) {
    const int64_t extent = extents[static_cast<size_t>(term.letters[i])];
    if (term.x.dims()[i] == 1 && extent != 1) RemoveAxis(term, i);
  }
}

// A letter that comes twice stands for the diagonal.
void TakeDiagonals(Term& term) {
  for (size_t i = 0; i < term.letters.size(); ++i) {
    const size_t again = term.letters.find(term.letters[i], i + 1);
    if (again == std::string::npos) continue;
    std::vector<int64_t> perm;
    for (size_t axis = 0; axis < term.letters.size(); ++axis) {
      if (axis != i && axis != again) perm.push_back(static_cast<int64_t>(axis));
    }
    perm.push_back(static_cast<int64_t>(i));
    perm.push_back(static_cast<int64_t>(again));
    Value x = Transpose(term.x, perm);
    const int64_t n = x.dims().back();
    Dims dims = x.dims();
    dims.pop_back();
    dims.back() = n * n;
    const int64_t last = static_cast<int64_t>(dims.size()) - 1;
    term.x = Slice(Reshape(x, dims), {0}, {n * n}, {last}, {n + 1});
    const char letter = term.letters[i];
    term.letters.erase(again, 1);
    term.letters.erase(i, 1);
    term.letters += letter;
    i = static_cast<size_t>(-1);  // the axes have moved: look again
  }
}

// Sums over the letters that are not in `needed`.
void SumUnneeded(Term& term, const std::string& needed) {
  Dims axes;
  std::string left;
  for (size_t i = 0; i < term.letters.size(); ++i) {
    if (needed.find(term.letters[i]) == std::string::npos) {
      axes.push_back(static_cast<int64_t>(i));
    } else {
      left += term.letters[i];
    }
  }
  term = {Sum(term.x, axes, /*keepdims=*/false), left};
}

int64_t Extent(const Term& term, size_t begin, size_t count) {
  return NumElements(std::span<const int64_t>(term.x.dims()).subspan(begin, count));
}

// The product of two terms, summed over the letters that are not in `needed`.
Term Contract(Term a, Term b, const std::string& needed) {
  SumUnneeded(a, needed + b.letters);
  SumUnneeded(b, needed + a.letters);
  std::string batch, summed, rows, columns;
  for (const char letter : a.letters) {
    const bool shared = b.letters.find(letter) != std::string::npos;
    const bool kept = needed.find(letter) != std::string::npos;
    (!shared ? rows : kept ? batch : summed) += letter;
  }
  for (const char letter : b.letters) {
    if (a.letters.find(letter) == std::string::npos) columns += letter;
  }
  a = Permuted(a, batch + rows + summed);
  b = Permuted(b, batch + summed + columns);
  Dims dims(a.x.dims().begin(), a.x.dims().begin() + std::ssize(batch) + std::ssize(rows));
  dims.insert(dims.end(), b.x.dims().end() - std::ssize(columns), b.x.dims().end());
  const int64_t count = Extent(a, 0, batch.size());
  const int64_t m = Extent(a, batch.size(), rows.size());
  const int64_t k = Extent(b, batch.size(), summed.size());
  const int64_t n = Extent(b, batch.size() + summed.size(), columns.size());
  const Value y = MatMul(Reshape(a.x, {count, m, k}), Reshape(b.x, {count, k, n}));
  return {Reshape(y, dims), batch + rows + columns};
}

// The extent of each letter; extents of 1 broadcast.
std::array<int64_t, 128> Extents(const std::string& text, const std::vector<Term>& terms) {
  std::array<int64_t, 128> extents;
  extents.fill(-1);
  for (const Term& term : terms) {
    for (size_t i = 0; i < term.letters.size(); ++i) {
      int64_t& extent = extents[static_cast<size_t>(term.letters[i])];
      const int64_t here = term.x.dims()[i];
      if (extent == -1 || extent == 1) {
        extent = here;
      } else if (here != extent && here != 1) {
        throw Error(
            reason::kShapeMismatch,
            fmt::format("equation '{}': an index has extent {} and {}", text, extent, here));
      }
    }
  }
  return extents;
}

// Integers narrower than those that MatMul takes: computed modulo 2^32, then modulo their width.
constexpr DTypeSet kNarrow = DType::kInt8 | DType::kUint8 | (DType::kInt16 | DType::kUint16);

Values InWiderIntegers(const OpCall& call) {
  Values wide;
  for (const Value& input : call.inputs()) wide.push_back(Cast(input, DType::kInt32));
  return {Cast(Apply(call.op(), std::move(wide), call.attributes(), 1)[0], call.dtype(0))};
}

Values DecomposeEinsum(const OpCall& call) {
  if (kNarrow.Contains(call.dtype(0))) return InWiderIntegers(call);
  const std::string& text = call.attributes().String("equation");
  std::string output;
  std::vector<Term> terms = ReadTerms(call, text, output);
  const std::array<int64_t, 128> extents = Extents(text, terms);
  for (size_t i = 0; i < output.size(); ++i) {
    const bool known = extents[static_cast<size_t>(output[i])] >= 0;
    if (!known || output.find(output[i], i + 1) != std::string::npos) {
      Refuse(text,
             fmt::format("output index '{}' must be one of the inputs', and come once", output[i]));
    }
  }
  for (Term& term : terms) {
    DropBroadcast(term, extents);
    TakeDiagonals(term);
  }
  Term result = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string needed = output;
    for (size_t later = i + 1; later < terms.size(); ++later) needed += terms[later].letters;
    result = Contract(std::move(result), terms[i], needed);
  }
  SumUnneeded(result, output);
  return {Permuted(result, output).x};
}

GRADWIRE_OP({.name = "Einsum",
             .since = 12,
             .inputs = {1, kVariadic},
             .types = kNumbers,
             .attributes = {"equation"},
             .decompose = DecomposeEinsum});

}  // namespace
}  // namespace gradwire
