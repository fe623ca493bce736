// What the sessions of a Client share.
#ifndef GRADWIRE_CLIENT_SRC_CONNECTION_H_
#define GRADWIRE_CLIENT_SRC_CONNECTION_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>

#include "gradwire/client/client.h"
#include "gradwire/v1/gradwire.grpc.pb.h"

namespace gradwire::client {

struct Connection {
  Connection(const std::string& target, ClientOptions client_options);

  // Adds the options' metadata and deadline, and the session's id for load balancers.
  void Prepare(grpc::ClientContext& context, const std::string& session_id) const;

  // Makes a call with a context that is prepared, again while the server is UNAVAILABLE and
  // attempts are left. Throws the Error of the last attempt.
  void Try(const std::string& session_id,
           const std::function<grpc::Status(grpc::ClientContext&)>& call) const;

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::Gradwire::Stub> stub;
};

// The Error of a status, or null, as the callbacks get it.
template <class Done>
void Report(const grpc::Status& status, const Done& done) {
  if (status.ok()) {
    done(nullptr);
    return;
  }
  try {
    Throw(status);
  } catch (const Error& error) {
    done(&error);
  }
}

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_SRC_CONNECTION_H_
