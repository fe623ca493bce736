// Where and how the server listens.
#ifndef GRADWIRE_RPC_LISTENER_H_
#define GRADWIRE_RPC_LISTENER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace gradwire::rpc {

struct Listener {
  std::string host;  // or "unix:PATH", and the port means nothing
  int port = 0;
  // PEM files; without `tls_cert` the listener speaks plaintext.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;  // clients must show a certificate that these have signed
  bool insecure = false;      // plaintext past this machine is wanted
};

// "HOST:PORT" as gRPC takes it; an IPv6 address in brackets, "unix:PATH" as it is.
std::string Address(const std::string& host, int port);
// "unix:PATH": a socket in the file system. Its directory's permissions say who may connect.
bool IsUnixSocket(const std::string& host);
// Whether only this machine can reach it.
bool IsLoopback(const std::string& host);
// Throws INVALID_ARGUMENT for a UNIX socket at which another process listens, or whose path is a
// file of another kind: gRPC would put its own socket in the place of either.
void CheckFree(const std::string& host);
// Throws INVALID_ARGUMENT: a file that cannot be read, a certificate without its key, plaintext
// where others can listen.
std::shared_ptr<grpc::ServerCredentials> Credentials(const Listener& listener);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_LISTENER_H_
