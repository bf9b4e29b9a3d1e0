// Is this the host that we mean? Checked after the key exchange and before anything else is sent.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "clients/transport/ssh_session.h"

namespace slipway {

absl::StatusOr<SshHostKey> DescribeHostKey(const ssh_key_struct* key);

// OK when the server's key is the one that `options` names or that its files know. See SshSession::Connect for errors.
absl::Status CheckHostKey(ssh_session_struct* session, const std::string& host, uint16_t port,
                          const SshHostKey& offered, const SshOptions& options);

}  // namespace slipway
