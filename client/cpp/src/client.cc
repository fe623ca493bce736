#include "gradwire/client/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>
#include <thread>

#include "connection.h"
#include "files.h"

namespace gradwire::client {
namespace {

constexpr std::chrono::milliseconds kFirstPause{50};

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const std::optional<Tls>& tls) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  if (tls->cert.empty() != tls->key.empty()) {
    Throw(Reason::kInvalidArgument, "a client's certificate and its key come together");
  }
  return grpc::SslCredentials({tls->ca, tls->key, tls->cert});
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
                                           const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetMaxReceiveMessageSize(-1);
  // Retries are ours: they reuse a command's sequence number.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (options.own_connection) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.tls.has_value() && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return grpc::CreateCustomChannel(target, CredentialsOf(options.tls), arguments);
}

// 128 random bits in hexadecimal, of the operating system's making: nobody can guess them.
std::string RandomSessionId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", random());
    id += digits.data();
  }
  return id;
}

v1::OpenSessionRequest ToRequest(const SessionOptions& options) {
  v1::OpenSessionRequest request;
  request.set_session_id(options.session_id.empty() ? RandomSessionId() : options.session_id);
  request.set_device(options.device);
  request.set_max_bytes(options.max_bytes);
  if (options.seed.has_value()) request.set_seed(*options.seed);
  request.set_allow_tf32(options.allow_tf32);
  request.set_allow_half_sums(options.allow_half_sums);
  request.set_allow_nondeterministic(options.allow_nondeterministic);
  if (options.lease.count() != 0) {
    request.mutable_lease()->set_seconds(options.lease.count() / 1000);
    request.mutable_lease()->set_nanos(static_cast<int32_t>(options.lease.count() % 1000) *
                                       1'000'000);
  }
  return request;
}

}  // namespace

Connection::Connection(const std::string& target, ClientOptions client_options)
    : options(std::move(client_options)),
      channel(MakeChannel(target, options)),
      stub(v1::Gradwire::NewStub(channel)) {}

void Connection::Prepare(grpc::ClientContext& context, const std::string& session_id) const {
  if (!session_id.empty()) context.AddMetadata("gradwire-session", session_id);
  if (!options.token.empty()) context.AddMetadata("authorization", "Bearer " + options.token);
  for (const auto& [key, value] : options.metadata) context.AddMetadata(key, value);
  if (options.timeout.count() > 0) {
    context.set_deadline(std::chrono::system_clock::now() + options.timeout);
  }
}

void Connection::Try(const std::string& session_id,
                     const std::function<grpc::Status(grpc::ClientContext&)>& call) const {
  std::chrono::milliseconds pause = kFirstPause;
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    Prepare(context, session_id);
    const grpc::Status status = call(context);
    if (status.ok()) return;
    try {
      Throw(status);
    } catch (const Error& error) {
      if (error.code() != grpc::UNAVAILABLE || attempt >= options.attempts) throw;
      std::this_thread::sleep_for(std::max(pause, error.retry_after().value_or(pause)));
    }
    pause *= 2;
  }
}

Tls Tls::FromFiles(const std::filesystem::path& ca, const std::filesystem::path& cert,
                   const std::filesystem::path& key) {
  const auto read = [](const std::filesystem::path& path) {
    return path.empty() ? std::string() : ReadFile(path);
  };
  return {read(ca), read(cert), read(key), ""};
}

Client::Client(const std::string& target, ClientOptions options)
    : connection_(std::make_shared<Connection>(target, std::move(options))) {}

Session Client::OpenSession(const SessionOptions& options) {
  const v1::OpenSessionRequest request = ToRequest(options);
  v1::OpenSessionResponse response;
  connection_->Try(request.session_id(), [&](grpc::ClientContext& context) {
    return connection_->stub->OpenSession(&context, request, &response);
  });
  return {connection_, response.session_id()};
}

void Client::StartOpenSession(const SessionOptions& options,
                              std::function<void(const Error*, std::optional<Session>)> done) {
  struct Call {
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    v1::OpenSessionResponse response;
  };
  auto call = std::make_shared<Call>();
  call->request = ToRequest(options);
  connection_->Prepare(call->context, call->request.session_id());
  connection_->stub->async()->OpenSession(
      &call->context, &call->request, &call->response,
      [call, done = std::move(done), connection = connection_](const grpc::Status& status) {
        Report(status, [&](const Error* error) {
          std::optional<Session> session;
          if (error == nullptr) session.emplace(connection, call->response.session_id());
          done(error, std::move(session));
        });
      });
}

v1::GetServerInfoResponse Client::ServerInfo() {
  v1::GetServerInfoResponse response;
  connection_->Try("", [&](grpc::ClientContext& context) {
    return connection_->stub->GetServerInfo(&context, {}, &response);
  });
  return response;
}

const std::shared_ptr<grpc::Channel>& Client::channel() const { return connection_->channel; }

}  // namespace gradwire::client
