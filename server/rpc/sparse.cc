#include "rpc/sparse.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/host_tensor.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

Error Invalid(std::string message) { return {reason::kInvalidModel, std::move(message)}; }

// Places of the elements in row-major order, ascending.
std::vector<int64_t> Places(const Tensor& indices, int64_t count, const TensorSpec& spec) {
  const bool flat = indices.dims() == Dims{count};
  const int64_t rank = flat ? 1 : spec.rank();
  if (indices.dtype() != DType::kInt64 || !(flat || indices.dims() == Dims{count, rank})) {
    throw Invalid(fmt::format("indices are {}, int64[{}] or int64[{},{}] is expected",
                              ToString(indices.spec()), count, count, spec.rank()));
  }
  const Dims extents = flat ? Dims{spec.numel()} : spec.dims;
  const Dims strides = Strides(extents);
  const int64_t* index = indices.data<int64_t>();
  std::vector<int64_t> places;
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = 0;
    for (size_t d = 0; d < static_cast<size_t>(rank); ++d, ++index) {
      if (*index < 0 || *index >= extents[d]) {
        throw Invalid(fmt::format("index {} is outside [0, {})", *index, extents[d]));
      }
      place += *index * strides[d];
    }
    if (!places.empty() && place <= places.back()) {
      throw Invalid("indices must ascend, none may come twice");
    }
    places.push_back(place);
  }
  return places;
}

// Fills an array on the host, whose elements are zero.
void Scatter(const Tensor& values, const std::vector<int64_t>& places, Tensor& to) {
  const auto width = static_cast<size_t>(BitWidth(to.dtype()) / 8);
  for (size_t i = 0; i < places.size(); ++i) {
    std::memcpy(to.mutable_data<char>() + static_cast<size_t>(places[i]) * width,
                values.data<char>() + i * width, width);
  }
}

Tensor Dense(const v1::SparseTensorProto& proto, Stream& stream) {
  const Tensor values = DecodeHost(proto.values());
  const TensorSpec spec{values.dtype(), {proto.dims().begin(), proto.dims().end()}};
  if (spec.dtype == DType::kString || BitWidth(spec.dtype) < 8) {
    throw Error(
        reason::kOpUnsupported,
        fmt::format("a sparse array of {} is not supported: make it dense", Name(spec.dtype)));
  }
  CheckSpec(spec);
  if (values.rank() != 1) {
    throw Invalid(fmt::format("values are {}, one dimension is expected", ToString(values.spec())));
  }
  const std::vector<int64_t> places = Places(DecodeHost(proto.indices()), values.numel(), spec);
  // Allocated first: the session's account says whether there is room.
  Tensor dense = AllocateTensor(stream, spec);
  if (stream.device().type == DeviceType::kCpu) {
    std::memset(dense.mutable_data<char>(), 0, dense.bytes());
    Scatter(values, places, dense);
  } else {
    Tensor host = HostTensor(spec);
    Scatter(values, places, host);
    stream.Upload(host.data<char>(), *dense.buffer(), dense.bytes());
  }
  return dense;
}

}  // namespace

Tensor DecodeSparse(const v1::SparseTensorProto& proto, Stream& stream) try {
  return Dense(proto, stream);
} catch (Error& error) {
  const std::string& name = proto.values().name();
  error.Prefix(fmt::format("sparse initializer '{}': ", name)).With("tensor", name);
  throw;
}

}  // namespace gradwire::rpc
