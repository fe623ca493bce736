#include "rpc/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "core/error.h"

namespace gradwire::rpc {
namespace {

std::string ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.find("-----BEGIN ") != std::string::npos) return text;
  throw Error(reason::kInvalidArgument, fmt::format("'{}' is not a readable PEM file", path));
}

}  // namespace

std::string Address(const std::string& host, int port) {
  const bool is_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return is_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
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
