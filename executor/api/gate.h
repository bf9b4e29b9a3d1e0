// Who may call this executor: by the one policy table, a controller with a certificate of the authority that enrolled this host;
// and over the executor's own socket whoever may open it.
#pragma once

#include "absl/status/status.h"
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include "common/clock.h"
#include "executor/credentials.h"

namespace slipway::executor {

// Safe from several threads.
class Gate {
 public:
  // Of a listener on a socket, or of one on the network.
  enum class Side { kSocket, kNetwork };

  Gate(Side side, const Credentials& credentials, Clock& clock)
      : side_(side), credentials_(credentials), clock_(clock) {}

  // UNAUTHENTICATED (reason NO_IDENTITY, BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED); PERMISSION_DENIED (reason
  // ROLE_TOO_LOW).
  absl::Status Admit(const grpc::ServerContextBase& context,
                     const google::protobuf::Message& request) const;

 private:
  const Side side_;
  const Credentials& credentials_;
  Clock& clock_;
};

}  // namespace slipway::executor
