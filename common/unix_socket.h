// Where a unix socket is to be: what stands in the way is cleared, and its mode is right from its first moment on.
#pragma once

#include <string>
#include <sys/types.h>

#include "absl/status/status.h"

namespace slipway {

// Makes the folder, 0750, when it is absent and removes a stale socket. ALREADY_EXISTS (reason SOCKET_IN_USE) when somebody
// serves it, INVALID_ARGUMENT (reason SOCKET_PATH_TOO_LONG) for more than 107 bytes.
absl::Status PrepareSocket(const std::string& path);

// While it lives, sockets that this process makes come into being with this mode: there is no moment at which others may open
// them. It is the process's umask: other threads' files have at most this mode meanwhile.
class SocketMode {
 public:
  explicit SocketMode(mode_t mode);
  ~SocketMode();
  SocketMode(const SocketMode&) = delete;
  SocketMode& operator=(const SocketMode&) = delete;

 private:
  const mode_t before_;
};

}  // namespace slipway
