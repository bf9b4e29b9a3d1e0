#include "clients/cli/session.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

#include "clients/cli/application_file.h"
#include "clients/cli/terminal.h"
#include "common/file.h"
#include "common/identity.h"
#include "common/metadata_text.h"
#include "common/status.h"
#include "common/x509.h"

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
  if (!runtime.empty()) return runtime;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  return error ? "/tmp" : folder.string();
}

// REPOSITORY run ID/ATTEMPT COMMIT of the workflow that this runs in; empty outside of one.
std::string WorkflowRun() {
  const std::string run = FromEnvironment({"GITHUB_RUN_ID"});
  if (run.empty()) return "";
  return absl::StrCat(FromEnvironment({"GITHUB_REPOSITORY"}), " run ", run, "/",
                      FromEnvironment({"GITHUB_RUN_ATTEMPT"}), " ",
                      FromEnvironment({"GITHUB_SHA"}));
}

}  // namespace

absl::StatusOr<std::string> TokenOfEnvironment() {
  return CleanSecret(FromEnvironment({"SLIPWAY_TOKEN"}), "SLIPWAY_TOKEN");
}

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
    SLIPWAY_ASSIGN_OR_RETURN(const std::string token, TokenOfEnvironment());
    DialOptions options;
    options.max_answer_bytes = 64 << 20;
    options.ssh = Ssh();
    options.tls = {authority, certificate, key};
    options.tls_peer = IdentityUri({pb::ROLE_CONTROLLER, "", ""});
    options.relay_folder = RelayFolder();
    std::vector<client::Endpoint> endpoints;
    for (const absl::string_view one : absl::StrSplit(ControllerAddress(), ',')) {
      SLIPWAY_ASSIGN_OR_RETURN(const Address address, ParseAddress(std::string(one)));
      if (address.scheme == Scheme::kTls) SLIPWAY_RETURN_IF_ERROR(CheckTlsFiles());
      SLIPWAY_ASSIGN_OR_RETURN(const auto link, dialer_.Dial(address, options));
      endpoints.push_back({std::string(one), link->channel(), [link] { return link->Prepare(); }});
      links_.push_back(link);
    }
    // Of several the first one may be the one that is down.
    const absl::Status prepared = links_.front()->Prepare();
    if (endpoints.size() == 1) SLIPWAY_RETURN_IF_ERROR(prepared);
    client::Caller caller;
    caller.name = FromEnvironment({"GITHUB_ACTOR"});
    caller.token = token;
    caller.ref = ReadCommit(FolderOf(file)).ref;
    caller.origin = WorkflowRun();
    caller.override_policy = override_policy;
    client_ = std::make_unique<client::ControllerClient>(std::move(endpoints), std::move(caller));
    RenewCertificate();
  }
  return client_.get();
}

absl::Status Session::CheckTlsFiles() const {
  if (authority.empty()) return absl::OkStatus();
  const auto read = [](const std::string& path, const char* option) -> absl::StatusOr<std::string> {
    auto text = ReadFile(path);
    if (text.ok()) return text;
    return Error(absl::StatusCode::kInvalidArgument, "CANNOT_READ_CREDENTIALS",
                 absl::StrCat(option, ": ", path, " cannot be read: ", text.status().message()),
                 "name a file in PEM that you may read");
  };
  SLIPWAY_ASSIGN_OR_RETURN(const std::string authority_pem, read(authority, "--authority"));
  // One without the other is for TlsClients to refuse, as everywhere.
  if (certificate.empty() || key.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string certificate_pem, read(certificate, "--certificate"));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string key_pem, read(key, "--key"));
  return CheckCredentials(key_pem, certificate_pem, authority_pem);
}

// People's certificates are as short as the daemons': whoever uses one in the last third of its life gets the next one. Trying is
// enough; the present one is good still.
void Session::RenewCertificate() {
  const auto token = TokenOfEnvironment();
  if (certificate.empty() || key.empty() || !token.ok() || !token->empty()) return;
  const auto pem = ReadFile(certificate);
  const auto facts = pem.ok() ? ReadCertificate(*pem) : pem.status();
  if (!facts.ok()) return;
  const auto now = std::chrono::system_clock::now();
  if (now < facts->not_before + (facts->not_after - facts->not_before) * 2 / 3) return;
  const auto key_pem = ReadFile(key);
  const auto request = key_pem.ok() ? MakeCertificateRequest(*key_pem) : key_pem.status();
  if (!request.ok()) return;
  pb::RenewCertificateRequest renew;
  renew.set_certificate_request(*request);
  renew.set_request_id(client::NewRequestId());
  const auto renewed = client_->Call(&pb::AccessService::Stub::RenewCertificate, renew);
  if (renewed.ok()) WriteFileAtomically(certificate, renewed->certificate_pem()).IgnoreError();
}

absl::Status Session::Problem() const {
  absl::Status problem;
  for (const auto& link : links_) problem.Update(link->Problem());
  return problem;
}

}  // namespace slipway::cli
