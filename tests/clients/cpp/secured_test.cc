// Against a server that asks for a certificate and a token: GRADWIRE_SECURED_TARGET; the folder
// GRADWIRE_CERTIFICATES has ca.pem, client.pem and client.key, and GRADWIRE_TOKEN is the token.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "gradwire/client.h"

namespace gradwire::client {
namespace {

const std::filesystem::path& Folder() {
  static const std::filesystem::path folder = std::getenv("GRADWIRE_CERTIFICATES");
  return folder;
}

ClientOptions Secured() {
  ClientOptions options;
  options.tls =
      Tls::FromFiles(Folder() / "ca.pem", Folder() / "client.pem", Folder() / "client.key");
  options.token = std::getenv("GRADWIRE_TOKEN");
  options.attempts = 1;
  return options;
}

Client Connect(const ClientOptions& options) {
  return Client(std::getenv("GRADWIRE_SECURED_TARGET"), options);
}

// The code of the error that opening a session gives.
grpc::StatusCode Refusal(const ClientOptions& options) {
  try {
    Connect(options).OpenSession();
  } catch (const Error& error) {
    return error.code();
  }
  return grpc::OK;
}

TEST(Secured, EveryKindOfCallCarriesTheToken) {
  Client client = Connect(Secured());
  EXPECT_GT(client.ServerInfo().devices_size(), 0);
  Session session = client.OpenSession();
  const std::vector<float> x = {1, 2};
  session.Put({View<float>("x", {2}, x)});  // a raw stream
  session.Run(Batch(Forward({Node("Add", {"x", "x"}, {"y"})})));
  EXPECT_THAT(session.Fetch("y").values<float>(), ::testing::ElementsAre(2, 4));
  Pipeline pipeline = session.OpenPipeline();
  auto answer = pipeline.Send(ToCommand(Fetch({"y"})));
  pipeline.Close();
  EXPECT_EQ(answer.get().fetch().tensors_size(), 1);
  std::promise<bool> done;
  session.Start(ToCommand(Fetch({"y"})), [&](const Error* error, const v1::CommandResult&) {
    done.set_value(error == nullptr);
  });
  EXPECT_TRUE(done.get_future().get());
}

TEST(Secured, ATokenIsAskedFor) {
  for (const char* token : {"", "guess"}) {
    ClientOptions options = Secured();
    options.token = token;
    EXPECT_THROW(Connect(options).OpenSession(), Unauthenticated);
    EXPECT_THROW(Connect(options).ServerInfo(), Unauthenticated);
  }
}

TEST(Secured, ServersAndClientsShowCertificates) {
  ClientOptions options = Secured();
  options.tls->server_name = "gradwire.test";
  EXPECT_EQ(Refusal(options), grpc::OK);
  options.tls->server_name = "other.test";
  EXPECT_EQ(Refusal(options), grpc::UNAVAILABLE);
  options.tls = Tls::FromFiles(Folder() / "ca.pem");  // no certificate of its own
  EXPECT_EQ(Refusal(options), grpc::UNAVAILABLE);
  options.tls = Tls();  // the system's authorities do not know the server
  EXPECT_EQ(Refusal(options), grpc::UNAVAILABLE);
  options.tls.reset();
  EXPECT_EQ(Refusal(options), grpc::UNAVAILABLE);
}

TEST(Secured, FilesThatAreNone) {
  EXPECT_THROW(Tls::FromFiles(Folder() / "nowhere"), std::filesystem::filesystem_error);
  EXPECT_THROW(Tls::FromFiles(Folder()), std::filesystem::filesystem_error);
  ClientOptions options;
  options.tls = Tls::FromFiles("", Folder() / "client.pem");
  EXPECT_THROW(Connect(options), InvalidArgument);
}

}  // namespace
}  // namespace gradwire::client
