#include "rpc/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string_view>

#include "core/error.h"

namespace gradwire::rpc {
namespace {

constexpr std::string_view kUnix = "unix:";

// Whether a process listens at the socket, or takes datagrams there.
bool Answers(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool answers =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EPROTOTYPE;
  close(probe);
  return answers;
}

std::string ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.find("-----BEGIN ") != std::string::npos) return text;
  throw Error(reason::kInvalidArgument, fmt::format("'{}' is not a readable PEM file", path));
}

}  // namespace

std::string Address(const std::string& host, int port) {
  if (IsUnixSocket(host)) return host;
  const bool is_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return is_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

bool IsUnixSocket(const std::string& host) { return host.starts_with(kUnix); }

bool IsLoopback(const std::string& host) {
  if (IsUnixSocket(host) || host == "localhost" || host == "::1" || host == "[::1]") return true;
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

void CheckFree(const std::string& host) {
  if (!IsUnixSocket(host)) return;
  const std::string path = host.substr(kUnix.size());
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    throw Error(reason::kInvalidArgument,
                fmt::format("'{}': the path of a UNIX socket has 1 to {} bytes", host,
                            sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  struct stat file{};
  if (lstat(path.c_str(), &file) != 0) return;
  if (!S_ISSOCK(file.st_mode)) {
    throw Error(reason::kInvalidArgument, fmt::format("'{}' exists and is no socket", path));
  }
  if (Answers(address)) {
    throw Error(reason::kInvalidArgument, fmt::format("another process listens at '{}'", host));
  }
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const Listener& listener) {
  if (listener.tls_cert.empty() != listener.tls_key.empty()) {
    throw Error(reason::kInvalidArgument, "TLS takes --tls_cert and --tls_key together");
  }
  if (listener.tls_cert.empty()) {
    if (!listener.tls_client_ca.empty()) {
      throw Error(reason::kInvalidArgument, "--tls_client_ca is of no use without --tls_cert");
    }
    if (listener.insecure || IsLoopback(listener.host)) return grpc::InsecureServerCredentials();
    throw Error(reason::kInvalidArgument,
                fmt::format("'{}' can be reached from outside and this would be plaintext: give "
                            "--tls_cert and --tls_key, or --insecure",
                            listener.host));
  }
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs = {{ReadPem(listener.tls_key), ReadPem(listener.tls_cert)}};
  if (!listener.tls_client_ca.empty()) {
    options.pem_root_certs = ReadPem(listener.tls_client_ca);
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace gradwire::rpc
