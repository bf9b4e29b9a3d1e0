// One SSH connection, made the careful way: the host key is checked before anything is said about who we are, only strong
// algorithms are offered, only public keys authenticate. libssh's own configuration files play no part.
//
// For one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct ssh_session_struct;
struct ssh_key_struct;

namespace slipway {

struct SshHostKey {
  // ssh-ed25519
  std::string type;
  // Base64, as in a known_hosts file.
  std::string key;
  // SHA256:..., as ssh-keygen -l prints it.
  std::string fingerprint;

  // `TYPE KEY`, the two columns of a known_hosts file.
  std::string Line() const { return type + " " + key; }
};

struct SshOptions {
  // Private keys by file, tried in this order. A missing file is skipped unless `keys_must_exist`.
  std::vector<std::filesystem::path> key_files;
  bool keys_must_exist = false;
  // A private key itself, as CI has it in a secret. Tried before the files.
  std::string key_text;
  // The socket of an ssh-agent; empty for none. Asked last.
  std::string agent;

  // Files of known hosts. Used when neither a key nor a fingerprint is pinned.
  std::filesystem::path known_hosts;
  std::filesystem::path system_known_hosts = "/etc/ssh/ssh_known_hosts";
  // SHA256:...
  std::string pinned_fingerprint;
  // `TYPE KEY`
  std::string pinned_key;
  // Asked about a host of which no key is known; without it such a host is refused.
  std::function<bool(const SshHostKey&)> accept_unknown;
  // Asked for the passphrase of an encrypted key, by its name; without it such a key is skipped, and named if no other fits.
  std::function<absl::StatusOr<std::string>(const std::string& key)> passphrase;
};

class SshSession {
 public:
  // Blocks for ten seconds at most.
  //   UNAVAILABLE           SSH_UNREACHABLE     no connection, or it ended
  //   FAILED_PRECONDITION   SSH_HOST_UNKNOWN    no key of this host is known; SSH_HOST_CHANGED: another one is (both fingerprints
  //                                             are in the message, nothing was sent); SSH_WEAK: no algorithm in common
  //   PERMISSION_DENIED     SSH_REFUSED         no key was accepted
  //   INVALID_ARGUMENT      SSH_BAD_KEY         a key cannot be read
  static absl::StatusOr<std::unique_ptr<SshSession>> Connect(const std::string& user,
                                                             const std::string& host, uint16_t port,
                                                             const SshOptions& options);
  // The host's key and nothing else: checked the same way, and nobody logs in.
  static absl::StatusOr<SshHostKey> HostKeyOf(const std::string& host, uint16_t port,
                                              const SshOptions& options);
  ~SshSession();
  SshSession(const SshSession&) = delete;
  SshSession& operator=(const SshSession&) = delete;

  const SshHostKey& HostKey() const { return host_key_; }

  struct Result {
    int exit_code = 0;
    std::string output;
    // At most 64 KiB of each.
    std::string error;
  };
  // Runs a command there and waits for its end. The other side's shell parses it: callers put in nothing but constants and
  // names of a strict grammar, and hand data over as `input`. UNAVAILABLE when the connection ends.
  absl::StatusOr<Result> Run(const std::string& command, absl::string_view input = {});

  ssh_session_struct* raw() const { return session_; }

 private:
  explicit SshSession(ssh_session_struct* session) : session_(session) {}
  absl::Status Reach(const std::string& user, const std::string& host, uint16_t port,
                     const SshOptions& options);
  absl::Status Authenticate(const SshOptions& options);

  ssh_session_struct* session_;
  SshHostKey host_key_;
  std::string who_;
};

// A new Ed25519 key in this file (0600) unless there is one; answers its public half as a line of authorized_keys.
absl::StatusOr<std::string> MakeSshKey(const std::filesystem::path& file,
                                       const std::string& comment);

}  // namespace slipway
