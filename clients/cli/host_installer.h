// The way from a bare host to a running executor, over SSH with an operator's own key: uploads slipway-executor and lets it
// install itself (executor/setup.h). The controller has no part in it, and never a key that could do this.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "clients/cli/session.h"
#include "clients/transport/address.h"
#include "common/protos.h"

#include "slipway/executor/v1/setup_report.pb.h"

namespace slipway::cli {

class HostInstaller {
 public:
  // Connects; a host whose key is not known is shown to the person at the terminal first.
  static absl::StatusOr<std::unique_ptr<HostInstaller>> Connect(const Session& session,
                                                                const Address& target);

  const SshHostKey& HostKey() const { return ssh_->HostKey(); }
  bool IsRoot() const { return root_; }
  // The host has the program by Debian's package: it is dpkg's to replace.
  bool IsPackaged() const { return packaged_; }
  // Sends the program unless the host has this very one. FAILED_PRECONDITION where a package has another.
  absl::Status Upload(const std::filesystem::path& executor);
  struct SetupArguments {
    std::string controller_key;
    std::string tls_listen;
    bool start = false;
    bool restart = false;
    bool remove = false;
  };
  absl::StatusOr<xpb::SetupReport> RunSetup(const SetupArguments& arguments);
  // The host's request for a certificate, and its answer.
  absl::StatusOr<std::string> AskForCertificate(const xpb::SetupReport& report);
  absl::Status InstallCertificate(const xpb::SetupReport& report,
                                  const std::string& certificate_pem,
                                  const std::string& authority_pem);

  ~HostInstaller();

 private:
  explicit HostInstaller(std::unique_ptr<SshSession> ssh) : ssh_(std::move(ssh)) {}
  absl::Status Probe();
  // Its output. FAILED_PRECONDITION with what the command said.
  absl::StatusOr<std::string> Run(const std::string& command, absl::string_view input = {});
  std::string AsRoot(const std::string& command) const;

  std::unique_ptr<SshSession> ssh_;
  // Root, by login or by sudo.
  bool root_ = false;
  bool by_sudo_ = false;
  bool packaged_ = false;
  std::string machine_;
  // SHA-256 of what is installed; empty for nothing.
  std::string installed_digest_;
  // Where the program is that runs the setup, and the folder to remove afterwards.
  std::string program_;
  std::string folder_;
};

// Shows the person at the terminal a host key that is not known, and asks; nothing where nobody can be asked.
std::function<bool(const SshHostKey&)> AskAboutHostKey(const std::string& host);

// The program beside this one, or where packages put it. NOT_FOUND says where it was looked for.
absl::StatusOr<std::filesystem::path> FindExecutor(const std::string& named);

}  // namespace slipway::cli
