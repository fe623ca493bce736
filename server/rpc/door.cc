#include "rpc/door.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <span>
#include <utility>

#include "core/error.h"
#include "rpc/listener.h"

namespace gradwire::rpc {
namespace {

constexpr size_t kTicketBytes = 32;

// A message with room for as many descriptors as anybody sends here.
struct Message {
  explicit Message(std::span<char> bytes) : part{bytes.data(), bytes.size()} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr header{};
};

// The descriptor that came with a message; any others are closed.
int TakeDescriptor(msghdr& header) {
  int taken = -1;
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(one) + i * sizeof(int), sizeof(int));
      if (taken < 0) {
        taken = descriptor;
      } else {
        close(descriptor);
      }
    }
  }
  return taken;
}

// One byte, with the segments' descriptors where the ticket was good. Who does not read it in time
// does not get it.
void Answer(int to, const SharedArrays* arrays) {
  char byte = arrays == nullptr ? 0 : 1;
  Message message({&byte, 1});
  if (arrays != nullptr) {
    const int descriptors[] = {arrays->tensors().descriptor(), arrays->inbox().descriptor()};
    cmsghdr* rights = CMSG_FIRSTHDR(&message.header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(descriptors));
    std::memcpy(CMSG_DATA(rights), descriptors, sizeof(descriptors));
  } else {
    message.header.msg_controllen = 0;
  }
  sendmsg(to, &message.header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Door::Door(std::string path) : path_(std::move(path)) {
  CheckFree("unix:" + path_);
  unlink(path_.c_str());
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path_.copy(address.sun_path, path_.size());
  stop_ = eventfd(0, EFD_CLOEXEC);
  socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0 ||
      bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int cause = errno;
    if (socket_ >= 0) close(socket_);
    close(stop_);
    throw Error(reason::kInvalidArgument,
                fmt::format("shared memory cannot be offered at '{}': {}", path_, strerror(cause)));
  }
  thread_ = std::thread([this] { Serve(); });
}

Door::~Door() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
  close(socket_);
  unlink(path_.c_str());
}

std::string Door::Admit(const std::shared_ptr<SharedArrays>& arrays) {
  std::array<uint64_t, 2> bits{};
  if (getrandom(bits.data(), sizeof(bits), 0) != static_cast<ssize_t>(sizeof(bits))) {
    throw Error(reason::kInternal, "the system has no random numbers");
  }
  std::string ticket = fmt::format("{:016x}{:016x}", bits[0], bits[1]);
  const std::lock_guard lock(mutex_);
  std::erase_if(tickets_, [](const auto& entry) { return entry.second.expired(); });
  tickets_.emplace(ticket, arrays);
  return ticket;
}

std::shared_ptr<SharedArrays> Door::Redeem(const std::string& ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return nullptr;
  return tickets_.extract(found).mapped().lock();
}

void Door::Serve() {
  pollfd waits[] = {{.fd = stop_, .events = POLLIN, .revents = 0},
                    {.fd = socket_, .events = POLLIN, .revents = 0}};
  while (true) {
    poll(waits, std::size(waits), -1);
    if (waits[0].revents != 0) return;
    std::array<char, kTicketBytes> bytes{};
    Message message(bytes);
    const ssize_t size = recvmsg(socket_, &message.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0) continue;
    const int to = TakeDescriptor(message.header);
    if (to < 0) continue;
    Answer(to, Redeem({bytes.data(), static_cast<size_t>(size)}).get());
    close(to);
  }
}

}  // namespace gradwire::rpc
