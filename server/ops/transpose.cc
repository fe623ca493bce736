// Permutation of axes; its adjoint is the inverse permutation.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "core/small_types.h"
#include "core/strided.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/box.h"

namespace gradwire {
namespace {

using Perm = std::vector<int64_t>;

// The permutation asked for; without one, the axes in reverse order.
Perm PermOf(const Attributes& attributes, int rank) {
  Perm perm(static_cast<size_t>(rank));
  std::iota(perm.rbegin(), perm.rend(), 0);
  if (!attributes.Has("perm")) return perm;
  const Perm& given = attributes.Ints("perm");
  Perm sorted = given;
  std::sort(sorted.begin(), sorted.end());
  std::reverse(perm.begin(), perm.end());
  if (sorted != perm) {
    throw Error(reason::kInvalidArgument,
                fmt::format("perm {} is no permutation of {} axes", ToString(given), rank));
  }
  return given;
}

Specs InferTranspose(const OpCall& call) {
  TensorSpec spec{call.dtype(0), {}};
  for (const int64_t axis : PermOf(call.attributes(), call.rank(0))) {
    spec.dims.push_back(call.dims(0)[static_cast<size_t>(axis)]);
  }
  return {spec};
}

// The output's axes, outermost first, with their strides in the input; neighbours that stay
// neighbours are one, extents of 1 are left out.
struct Layout {
  Dims dims;
  Dims strides;
};

Layout Merge(const Dims& in, const Perm& perm) {
  const Dims strides = Strides(in);
  Layout layout;
  for (const int64_t axis : perm) {
    const auto at = static_cast<size_t>(axis);
    if (in[at] == 1) continue;
    if (!layout.dims.empty() && layout.strides.back() == strides[at] * in[at]) {
      layout.dims.back() *= in[at];
      layout.strides.back() = strides[at];
    } else {
      layout.dims.push_back(in[at]);
      layout.strides.push_back(strides[at]);
    }
  }
  if (layout.dims.empty()) return {{1}, {1}};
  return layout;
}

// The innermost axis stays innermost: rows are copied.
template <class T>
void CopyRows(const T* __restrict in, T* __restrict out, Layout layout) {
  const int64_t length = layout.dims.back();
  layout.dims.pop_back();
  layout.strides.pop_back();
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / length);
  ParallelFor(NumElements(layout.dims), grain, [&](int64_t begin, int64_t end) {
    Odometer row(layout.dims, layout.strides, begin);
    for (int64_t i = begin; i < end; ++i, row.Next()) {
      std::copy_n(in + row.offset(), length, out + i * length);
    }
  });
}

// A cache line's worth of rows and columns at a time, through a buffer: each line of the input is
// read once and each line of the output written once, whatever the strides.
template <class T>
void TransposeTile(const T* __restrict in, int64_t in_stride, T* __restrict out, int64_t out_stride,
                   int64_t rows, int64_t columns) {
  constexpr int64_t kSide = 64 / sizeof(T);
  T tile[kSide][kSide];
  if (rows == kSide && columns == kSide) {
    for (int64_t j = 0; j < kSide; ++j) std::memcpy(tile[j], in + j * in_stride, sizeof(tile[j]));
    for (int64_t i = 0; i < kSide; ++i) {
      for (int64_t j = 0; j < kSide; ++j) out[i * out_stride + j] = tile[j][i];
    }
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[i * out_stride + j] = in[j * in_stride + i];
  }
}

// Of few columns, which are all that a row of the output consists of: whole vectors are dealt out
// where the number is known beforehand.
template <int kColumns, class T>
void Interleave(const T* __restrict in, int64_t in_stride, T* __restrict out, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int j = 0; j < kColumns; ++j) out[i * kColumns + j] = in[j * in_stride + i];
  }
}

// Some rows of the output, with all columns.
template <class T>
void TransposeBand(const T* in, int64_t in_stride, T* out, int64_t out_stride, int64_t rows,
                   int64_t columns) {
  constexpr int64_t kSide = 64 / sizeof(T);
  if (out_stride == columns) {
    if (columns == 2) return Interleave<2>(in, in_stride, out, rows);
    if (columns == 3) return Interleave<3>(in, in_stride, out, rows);
    if (columns == 4) return Interleave<4>(in, in_stride, out, rows);
    if (columns == 8) return Interleave<8>(in, in_stride, out, rows);
  }
  for (int64_t j = 0; j < columns; j += kSide) {
    TransposeTile(in + j * in_stride, in_stride, out + j, out_stride, rows,
                  std::min(kSide, columns - j));
  }
}

// Another axis becomes innermost: for each index of the remaining axes, a matrix is transposed
// whose columns are that axis and whose rows are the input's innermost one.
template <class T>
void TransposeMatrices(const T* in, T* out, const Layout& layout) {
  constexpr int64_t kSide = 64 / sizeof(T);
  const size_t last = layout.dims.size() - 1;
  const auto at = static_cast<size_t>(std::find(layout.strides.begin(), layout.strides.end(), 1) -
                                      layout.strides.begin());
  const Dims out_strides = Strides(layout.dims);
  const int64_t rows = layout.dims[at];
  const int64_t columns = layout.dims[last];
  Dims dims;
  Dims from;
  Dims to;
  for (size_t i = 0; i < last; ++i) {
    if (i == at) continue;
    dims.push_back(layout.dims[i]);
    from.push_back(layout.strides[i]);
    to.push_back(out_strides[i]);
  }
  // Of few columns (a picture's colours) many rows at a time, or finding them would take longest.
  const int64_t height = columns < kSide ? kSide * kSide / columns : kSide;
  const int64_t bands = (rows + height - 1) / height;
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / (columns * std::min(rows, height)));
  ParallelFor(NumElements(dims) * bands, grain, [&](int64_t begin, int64_t end) {
    Odometer from_matrix(dims, from, begin / bands);
    Odometer to_matrix(dims, to, begin / bands);
    int64_t row = begin % bands * height;
    for (int64_t i = begin; i < end; ++i) {
      const T* source = in + from_matrix.offset() + row;
      T* target = out + to_matrix.offset() + row * out_strides[at];
      TransposeBand(source, layout.strides[last], target, out_strides[at],
                    std::min(height, rows - row), columns);
      row += height;
      if (row < rows) continue;
      row = 0;
      from_matrix.Next();
      to_matrix.Next();
    }
  });
}

template <class T>
void Permute(const T* in, T* out, const Layout& layout) {
  layout.strides.back() == 1 ? CopyRows(in, out, layout) : TransposeMatrices(in, out, layout);
}

// Elements of less than a byte are permuted as bytes.
void PermutePacked(KernelContext& context, const Layout& layout) {
  const DType dtype = context.input(0).dtype();
  const auto count = static_cast<size_t>(context.input(0).numel());
  const BufferPtr scratch = context.Scratch(2 * count);
  auto* in = static_cast<uint8_t*>(scratch->data());
  uint8_t* out = in + count;
  UnpackCodes(dtype, context.in<uint8_t>(0), 0, {in, count});
  Permute(in, out, layout);
  PackCodes(dtype, {out, count}, 0, context.out<uint8_t>(0));
}

void TransposeKernel(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const Dims& dims = context.input(0).dims();
  const Layout layout = Merge(dims, PermOf(context.attributes(), context.input(0).rank()));
  if (BitWidth(context.input(0).dtype()) < 8) return PermutePacked(context, layout);
  DispatchWidth(context.input(0).dtype(),
                [&]<class T>() { Permute(context.in<T>(0), context.out<T>(0), layout); });
}

// On a device whose memory the host does not read.
void TransposeByCopy(KernelContext& context) {
  const Tensor& x = context.input(0);
  const Dims strides = Strides(x.dims());
  Box box{context.output(0).dims(), {}, Strides(context.output(0).dims())};
  for (const int64_t axis : PermOf(context.attributes(), x.rank())) {
    box.from.push_back(strides[static_cast<size_t>(axis)]);
  }
  CopyBox(context, box, x.dtype(), context.in<void>(0), 0, context.out<void>(0), 0);
}

Values TransposeVjp(const VjpCall& call) {
  const Perm perm = PermOf(call.attributes(), call.input_spec(0).rank());
  Perm inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  return {Transpose(call.dy(), inverse)};
}

GRADWIRE_OP({.name = "Transpose",
             .types = kReal | DType::kString,
             .attributes = {"perm"},
             .infer = InferTranspose,
             .cpu = TransposeKernel,
             .cuda = TransposeByCopy,
             .vjp = TransposeVjp,
             .samples = [](const Attributes& attributes, int rank) {
               return PermOf(attributes, rank)[0] == 0 ? 1u : 0u;
             }});

}  // namespace
}  // namespace gradwire
