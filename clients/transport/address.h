// Where a daemon is and how to get there:
//   unix:///run/slipway/controller.sock
//   ssh://deploy@203.0.113.7:22/run/slipway/executor.sock   through SSH to a unix socket: no open port but SSH's
//   tls://deploy.example.org:9781                           mutual TLS 1.3
//   https://deploy.example.org:443                          through a web server with a certificate of its own, by token
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

enum class Scheme { kUnix, kSsh, kTls, kHttps };

struct Address {
  Scheme scheme = Scheme::kUnix;
  // Of ssh; empty for the name of this process's user.
  std::string user;
  // A name or an IP address, IPv6 without brackets. Of ssh, tls and https.
  std::string host;
  uint16_t port = 0;
  // Absolute path of a unix socket, on this machine or on the other one.
  std::string path;

  bool operator==(const Address&) const = default;
};

// For an ssh:// address that names no socket.
enum class Peer { kController, kExecutor };

// INVALID_ARGUMENT (reason BAD_ADDRESS) that shows the expected form. Names and addresses are of a strict grammar: nothing in
// an Address can be taken for an option or a second address.
absl::StatusOr<Address> ParseAddress(absl::string_view text, Peer peer = Peer::kController);

// As ParseAddress reads it, with everything said.
std::string ToString(const Address& address);

}  // namespace slipway
