#include "session/shared_arrays.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace gradwire {

SharedArrays::Booking::Booking(std::shared_ptr<Quota> with, size_t amount)
    : quota(std::move(with)), bytes(static_cast<int64_t>(amount)) {
  quota->Take(bytes);
}

SharedArrays::Booking::~Booking() { quota->Give(bytes); }

SharedArrays::SharedArrays(Shareable& stream, std::shared_ptr<Quota> quota, size_t tensor_bytes,
                           size_t inbox_bytes)
    : booking_(std::move(quota), inbox_bytes),
      inbox_(inbox_bytes, SharedSegment::Peer::kWrites),
      arena_(stream.Share(tensor_bytes)) {}

std::span<const std::byte> SharedArrays::Inbox(uint64_t offset, uint64_t size) const {
  if (offset <= inbox_.bytes() && size <= inbox_.bytes() - offset) {
    return {inbox_.data() + offset, size};
  }
  throw Error(reason::kInvalidArgument,
              fmt::format("{} bytes at {} are not inside the {} bytes of the inbox", size, offset,
                          inbox_.bytes()));
}

std::optional<size_t> SharedArrays::OffsetOf(const Tensor& tensor) const {
  return tensor.device().type == DeviceType::kCpu ? arena_->OffsetOf(tensor.data<std::byte>())
                                                  : std::nullopt;
}

uint64_t SharedArrays::Hold(Tensor tensor) {
  held_.emplace(++next_, std::move(tensor));
  return next_;
}

void SharedArrays::CheckHeld(uint64_t number) const {
  if (held_.contains(number)) return;
  throw Error(reason::kInvalidArgument, fmt::format("no array is held by the number {}", number));
}

}  // namespace gradwire
