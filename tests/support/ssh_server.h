// A real sshd with its own host key, configuration, loopback address and log; and keys of openssh-client.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "clients/transport/ssh_session.h"
#include "common/file.h"
#include "common/mutex.h"
#include "tests/support/temporary_folder.h"

namespace slipway::testing {

class SshServer {
 public:
  // More lines of sshd_config.
  explicit SshServer(std::vector<std::string> settings = {});
  ~SshServer();

  void Start();
  // The listener and every connection, as a crash of the machine's sshd would.
  void Kill();
  // Only the listener or only what serves connections: stops answering, keeps the sockets.
  void Freeze();
  void Thaw();

  const std::string& address() const { return address_; }
  uint16_t port() const { return 2222; }
  const std::filesystem::path& folder() const { return folder_.path(); }
  // This process's user, with the key that the server knows and the host key pinned.
  SshOptions Options() const;
  std::string user() const;
  // SHA256:...
  std::string Fingerprint() const { return FingerprintOf(folder() / "host_key.pub"); }
  // `TYPE KEY`
  std::string HostKey() const;
  // Replaces the host key; for the next Start().
  void NewHostKey(const std::string& type = "ed25519");
  // ssh-keygen: a key file, and its .pub beside it.
  std::filesystem::path MakeKey(const std::string& name, const std::string& type = "ed25519",
                                const std::string& passphrase = "");
  void Authorize(const std::filesystem::path& public_key);
  static std::string FingerprintOf(const std::filesystem::path& public_key);

  // Waits until the log has the text; everything logged so far.
  void AwaitLog(const std::string& text, int times = 1);
  std::string Log();

 private:
  void ReadLog(UniqueFd from);
  std::vector<pid_t> Family() const;

  TemporaryFolder folder_;
  std::string address_;
  pid_t pid_ = 0;
  std::thread reader_;
  Mutex mutex_;
  CondVar changed_;
  std::string log_ SLIPWAY_GUARDED_BY(mutex_);
};

// Runs it to its end; its standard output. Ends the test program when it fails.
std::string RunTool(const std::vector<std::string>& argv);

}  // namespace slipway::testing
