// Where processes of this machine get descriptors of shared memory: a UNIX datagram socket, beside
// gRPC, which cannot carry them. gradwire.proto (AttachMemory) says what travels.
#ifndef GRADWIRE_RPC_DOOR_H_
#define GRADWIRE_RPC_DOOR_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "session/shared_arrays.h"

namespace gradwire::rpc {

// Serves on a thread of its own. Thread-safe.
class Door {
 public:
  // Throws INVALID_ARGUMENT when it cannot listen at `path`.
  explicit Door(std::string path);
  // Removes the socket.
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  const std::string& path() const { return path_; }
  // A ticket that is good once, while the arrays live.
  std::string Admit(const std::shared_ptr<SharedArrays>& arrays);

 private:
  void Serve();
  // The arrays of a ticket, which is used up; nullptr for one that is not good.
  std::shared_ptr<SharedArrays> Redeem(const std::string& ticket);

  const std::string path_;
  int socket_ = -1;
  int stop_ = -1;  // an eventfd
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<SharedArrays>> tickets_;  // guarded
  std::thread thread_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_DOOR_H_
