// Who the server is, and who the client is.
#ifndef GRADWIRE_CLIENT_CREDENTIALS_H_
#define GRADWIRE_CLIENT_CREDENTIALS_H_

#include <filesystem>
#include <string>

namespace gradwire::client {

// How to speak TLS. Certificates and keys are the text of PEM files.
struct Tls {
  // Authorities that the server's certificate must come from; empty: those of the system.
  std::string ca;
  // The client's own certificate and its key, where the server asks for one (mutual TLS).
  std::string cert;
  std::string key;
  // The name in the server's certificate; empty: the host of the target.
  std::string server_name;

  // Reads the files; an empty path is none. Throws std::filesystem::filesystem_error.
  static Tls FromFiles(const std::filesystem::path& ca, const std::filesystem::path& cert = {},
                       const std::filesystem::path& key = {});
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_CREDENTIALS_H_
