#include "clients/cli/session.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/terminal.h"
#include "common/identity.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

constexpr char kLocalController[] = "unix:///run/slipway/controller.sock";

// The first that is set; CI sets what it has no secret for to the empty string.
std::string FromEnvironment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

std::filesystem::path Home() { return FromEnvironment({"HOME"}); }

std::string RelayFolder() {
  const std::string runtime = FromEnvironment({"XDG_RUNTIME_DIR"});
  return runtime.empty() ? std::filesystem::temp_directory_path().string() : runtime;
}

}  // namespace

std::string TokenOfEnvironment() { return FromEnvironment({"SLIPWAY_TOKEN"}); }

Session::Session() = default;
Session::~Session() = default;

std::string Session::ControllerAddress() const {
  if (!controller.empty()) return controller;
  const std::string host = FromEnvironment({"PROD_SSH_HOST"});
  if (host.empty()) return kLocalController;
  const std::string user = FromEnvironment({"PROD_SSH_USER"});
  const std::string port = FromEnvironment({"PROD_SSH_PORT"});
  return absl::StrCat("ssh://", user, user.empty() ? "" : "@", host, ":",
                      port.empty() ? "22" : port);
}

SshOptions Session::Ssh() const {
  SshOptions options;
  // A secret that was pasted may have another system's line ends, and none at its end.
  options.key_text =
      absl::StrReplaceAll(FromEnvironment({"SLIPWAY_SSH_KEY", "PROD_SSH_KEY"}), {{"\r", ""}});
  if (!options.key_text.empty()) options.key_text += "\n";
  if (!ssh_key.empty()) {
    options.key_files = {ssh_key};
    options.keys_must_exist = true;
    options.key_text.clear();
  } else if (options.key_text.empty()) {
    for (const char* name : {"id_ed25519", "id_ecdsa", "id_rsa"}) {
      options.key_files.push_back(Home() / ".ssh" / name);
    }
    options.agent = FromEnvironment({"SSH_AUTH_SOCK"});
  }
  const std::string known_hosts = FromEnvironment({"SLIPWAY_SSH_KNOWN_HOSTS"});
  options.known_hosts =
      known_hosts.empty() ? Home() / ".ssh" / "known_hosts" : std::filesystem::path(known_hosts);
  options.pinned_fingerprint =
      ssh_fingerprint.empty() ? FromEnvironment({"SLIPWAY_SSH_FINGERPRINT", "PROD_SSH_FINGERPRINT"})
                              : ssh_fingerprint;
  if (CanAsk()) {
    options.passphrase = [](const std::string& name) {
      return AskSecret(absl::StrCat("Passphrase of ", name, ": "));
    };
  }
  return options;
}

absl::StatusOr<client::ControllerClient*> Session::Controller() {
  if (client_ == nullptr) {
    SLIPWAY_ASSIGN_OR_RETURN(const Address address, ParseAddress(ControllerAddress()));
    DialOptions options;
    options.ssh = Ssh();
    options.tls = {authority, certificate, key};
    options.tls_peer = IdentityUri({pb::ROLE_CONTROLLER, "", ""});
    options.relay_folder = RelayFolder();
    SLIPWAY_ASSIGN_OR_RETURN(link_, dialer_.Dial(address, options));
    SLIPWAY_RETURN_IF_ERROR(link_->Prepare());
    client_ = std::make_unique<client::ControllerClient>(
        link_->channel(), client::Caller{FromEnvironment({"GITHUB_ACTOR"}), TokenOfEnvironment()});
  }
  return client_.get();
}

absl::Status Session::Problem() const {
  return link_ == nullptr ? absl::OkStatus() : link_->Problem();
}

}  // namespace slipway::cli
