// The connection to a server.
//
//   gradwire::client::Client client("127.0.0.1:50051");
//   gradwire::client::Session session = client.OpenSession();
//   session.Put({View<float>("x", {32}, x)});
#ifndef GRADWIRE_CLIENT_CLIENT_H_
#define GRADWIRE_CLIENT_CLIENT_H_

#include <grpcpp/channel.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradwire/client/credentials.h"
#include "gradwire/client/error.h"
#include "gradwire/client/session.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::client {

struct ClientOptions {
  // Absent: plaintext.
  std::optional<Tls> tls;
  // Shown to the server with each call, as `authorization: Bearer TOKEN`; who reads the network
  // reads it too, but for TLS. Empty: none.
  std::string token;
  // How long one call may take, stream transfers included; 0 means without limit.
  std::chrono::milliseconds timeout{0};
  // How often a call is tried while the server is UNAVAILABLE, with pauses of 50 ms, 100 ms, ...
  // or as long as the server asks for.
  // A command keeps its sequence number, so that it never runs twice. At least 1.
  int attempts = 4;
  // Sent with every call: {"traceparent", ...}, say. Keys in lower case.
  std::vector<std::pair<std::string, std::string>> metadata;
  // Clients of one process and target share a connection unless this is set.
  bool own_connection = false;
};

struct SessionOptions {
  // "cpu" or "cuda:N"; empty: the server's default.
  std::string device;
  // How long the session lives without a call; 0 means the server's default.
  std::chrono::milliseconds lease{0};
  // Bytes of tensor memory that it may hold; 0 means the server's limit.
  int64_t max_bytes = 0;
  // Of its random generator.
  std::optional<int64_t> seed;
  // What a GPU may do to be faster: compute products of float32 arrays in TF32, round partial sums
  // of 16-bit products to 16 bits, add up in an order that differs from run to run.
  bool allow_tf32 = false;
  bool allow_half_sums = false;
  bool allow_nondeterministic = false;
  // 128 random bits as 32 hexadecimal digits. Empty: the client draws them. Either way a balancer
  // sends this call already where the session will be. The id of a session that is open gives that
  // session: what Session::Release left behind can be taken up again.
  std::string session_id;
};

// Thread-safe; copies share the connection. Sessions outlive the Client that opened them.
class Client {
 public:
  // `target` as gRPC names it: "host:port", "unix:/path". Connects at the first call.
  // Throws INVALID_ARGUMENT for a certificate without its key.
  explicit Client(const std::string& target, ClientOptions options = {});

  // Throws DEVICE_NOT_FOUND, QUOTA_EXCEEDED, UNAUTHENTICATED.
  Session OpenSession(const SessionOptions& options = {});
  // The same without waiting; tried once. `done` runs on a gRPC thread and must not block.
  void StartOpenSession(const SessionOptions& options,
                        std::function<void(const Error*, std::optional<Session>)> done);

  // Version, devices, limits and the support matrix.
  v1::GetServerInfoResponse ServerInfo();

  // For health checks, reflection, or a stub of one's own.
  const std::shared_ptr<grpc::Channel>& channel() const;

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_CLIENT_H_
