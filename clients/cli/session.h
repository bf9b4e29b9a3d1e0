// What the global options and the environment say: which controller, how to get there, and as whom.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "clients/cli/output.h"
#include "clients/controller_client.h"
#include "clients/transport/dial.h"

namespace slipway::cli {

struct Session {
  // One address, or those of several controllers that share a state, separated by commas.
  // Empty: ssh://PROD_SSH_USER@PROD_SSH_HOST:PROD_SSH_PORT when that host is set, as in a pipeline that deployed over SSH
  // before; else the socket of a controller on this machine.
  std::string controller;
  std::string file = "slipway.yaml";
  // SSH: a private key's file, and the host key to expect (SHA256:...).
  std::string ssh_key;
  std::string ssh_fingerprint;
  // TLS: files in PEM.
  std::string authority;
  std::string certificate;
  std::string key;
  // See client::Caller.
  bool override_policy = false;
  Output output;

  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Dials on first use. Errors say what is in the way: an unknown host key, no key that fits, no certificate.
  absl::StatusOr<client::ControllerClient*> Controller();
  // What was last wrong with the way there; OK when nothing is known to be.
  absl::Status Problem() const;
  // Where Controller() goes.
  std::string ControllerAddress() const;
  // Keys, known hosts and prompts for any SSH connection that this command makes.
  SshOptions Ssh() const;

 private:
  // Reads the files that tls:// needs before gRPC does, which would only log what is wrong with them.
  absl::Status CheckTlsFiles() const;
  void RenewCertificate();

  Dialer dialer_;
  // One for each controller.
  std::vector<std::shared_ptr<Link>> links_;
  std::unique_ptr<client::ControllerClient> client_;
};

// The token that goes with every call: SLIPWAY_TOKEN, which a command line would show to everybody on the machine. Empty for none.
// INVALID_ARGUMENT (reason BAD_TOKEN_TEXT) for what cannot be a token.
absl::StatusOr<std::string> TokenOfEnvironment();

}  // namespace slipway::cli
