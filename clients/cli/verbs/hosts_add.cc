// slipway hosts add|upgrade|remove.
#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "clients/cli/host_installer.h"
#include "clients/cli/hosts.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

// Where to install: USER@HOST[:PORT], as people write it for ssh.
absl::StatusOr<Address> TargetOf(const std::string& text) {
  return ParseAddress(absl::StartsWith(text, "ssh://") ? text : absl::StrCat("ssh://", text),
                      Peer::kExecutor);
}

absl::StatusOr<std::map<std::string, std::string>> LabelsOf(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> labels;
  for (const std::string& text : texts) {
    const std::pair<std::string, std::string> label = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (!IsServiceName(label.first) || label.second.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_LABEL",
                   absl::StrCat("'", text, "' is no label"), "write --label role=web");
    }
    labels[label.first] = label.second;
  }
  return labels;
}

// True when something on the host was changed.
bool ShowReport(const Session& session, const xpb::SetupReport& report) {
  bool changed = false;
  for (const xpb::SetupStep& step : report.steps()) {
    changed |= step.changed();
    if (session.output.json) continue;
    session.output.Line(absl::StrCat(step.changed()
                                         ? session.output.Paint(Tone::kGood, "changed  ")
                                         : session.output.Paint(Tone::kQuiet, "as it is "),
                                     " ", step.subject(), ": ", step.text()));
  }
  return changed;
}

absl::Status Enrol(client::ControllerClient& controller, HostInstaller& installer,
                   const xpb::SetupReport& report, const std::string& host) {
  pb::CreateEnrolmentRequest invite;
  invite.set_name(HostName(host));
  invite.set_request_id(client::NewRequestId());
  SLIPWAY_ASSIGN_OR_RETURN(const pb::CreateEnrolmentResponse invitation,
                           controller.Call(&pb::HostService::Stub::CreateEnrolment, invite));
  pb::EnrolHostRequest enrol;
  enrol.set_secret(invitation.secret());
  SLIPWAY_ASSIGN_OR_RETURN(*enrol.mutable_certificate_request(),
                           installer.AskForCertificate(report));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::EnrolHostResponse enrolled,
                           controller.Call(&pb::HostService::Stub::EnrolHost, enrol));
  return installer.InstallCertificate(report, enrolled.certificate_pem(), enrolled.authority_pem());
}

// The host itself may not have heard of it.
absl::StatusOr<bool> IsRevoked(client::ControllerClient& controller, const std::string& serial) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ListCertificatesResponse all,
                           controller.CallForAll(&pb::AccessService::Stub::ListCertificates,
                                                 pb::ListCertificatesRequest()));
  return std::any_of(all.certificates().begin(), all.certificates().end(),
                     [&serial](const pb::Certificate& one) {
                       return ShortName(one.name()) == serial && one.has_revoke_time();
                     });
}

struct Installed {
  xpb::SetupReport report;
  SshHostKey host_key;
};

// With `replace` the host is to have our program; otherwise one that came with a package is as good.
absl::StatusOr<Installed> Install(Session& session, client::ControllerClient& controller,
                                  const HostsOptions& options, const Address& target,
                                  bool replace) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::GetServerInfoResponse info, controller.GetServerInfo());
  SLIPWAY_ASSIGN_OR_RETURN(const auto installer, HostInstaller::Connect(session, target));
  if (!installer->IsRoot()) {
    session.output.Error(
        "slipway: this login is not root and has no sudo without a password, so the executor is "
        "installed into its home, with what the user may do already");
  }
  if (replace || !installer->IsPackaged()) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto executor, FindExecutor(options.executor));
    SLIPWAY_RETURN_IF_ERROR(installer->Upload(executor));
  }
  HostInstaller::SetupArguments arguments;
  arguments.controller_key = info.ssh_public_key();
  if (options.tls_port != 0) arguments.tls_listen = absl::StrCat("0.0.0.0:", options.tls_port);
  Installed installed;
  installed.host_key = installer->HostKey();
  SLIPWAY_ASSIGN_OR_RETURN(installed.report, installer->RunSetup(arguments));
  bool changed = ShowReport(session, installed.report);
  SLIPWAY_ASSIGN_OR_RETURN(const bool revoked,
                           IsRevoked(controller, installed.report.certificate()));
  if (!installed.report.enrolled() || revoked) {
    SLIPWAY_RETURN_IF_ERROR(Enrol(controller, *installer, installed.report, options.host));
    changed = true;
    if (!session.output.json) {
      session.output.Line(absl::StrCat(session.output.Paint(Tone::kGood, "changed  "),
                                       " certificate: enrolled as ", options.host));
    }
  }
  arguments.start = true;
  arguments.restart = changed;
  SLIPWAY_ASSIGN_OR_RETURN(installed.report, installer->RunSetup(arguments));
  if (!installed.report.running() && !installed.report.start_hint().empty()) {
    session.output.Error(absl::StrCat("slipway: ", installed.report.start_hint()));
  }
  return installed;
}

std::string AddressOf(const HostsOptions& options, const Address& target,
                      const xpb::SetupReport& report) {
  Address address = target;
  if (options.tls_port != 0) {
    address = {Scheme::kTls, "", target.host, static_cast<uint16_t>(options.tls_port), ""};
  } else {
    address.user = report.user();
    address.path = report.socket();
  }
  return ToString(address);
}

// Of an ssh:// address that somebody else set up: the key that the controller is to expect.
absl::StatusOr<std::string> ConfirmedHostKey(Session& session, const Address& address) {
  SshOptions options = session.Ssh();
  if (options.pinned_fingerprint.empty()) options.accept_unknown = AskAboutHostKey(address.host);
  SLIPWAY_ASSIGN_OR_RETURN(const SshHostKey key,
                           SshSession::HostKeyOf(address.host, address.port, options));
  return key.Line();
}

absl::Status Register(client::ControllerClient& controller, const HostsOptions& options,
                      const std::string& address, const std::string& host_key, bool& changed) {
  pb::AddHostRequest request;
  request.mutable_host()->set_name(HostName(options.host));
  request.mutable_host()->set_address(address);
  if (absl::StartsWith(address, "ssh://")) request.mutable_host()->set_ssh_host_key(host_key);
  SLIPWAY_ASSIGN_OR_RETURN(const auto labels, LabelsOf(options.labels));
  request.mutable_host()->mutable_labels()->insert(labels.begin(), labels.end());
  request.set_request_id(client::NewRequestId());
  SLIPWAY_ASSIGN_OR_RETURN(const pb::AddHostResponse added,
                           controller.Call(&pb::HostService::Stub::AddHost, request));
  changed = added.changed();
  return absl::OkStatus();
}

}  // namespace

int AddHost(Session& session, const HostsOptions& options) {
  if (options.ssh.empty() == options.address.empty()) {
    session.output.Error(
        "slipway: name the host by --ssh USER@HOST, which installs the executor, or by "
        "--address where one runs already");
    return kExitUsage;
  }
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  std::string address = options.address;
  std::string host_key;
  if (!options.ssh.empty()) {
    const auto target = TargetOf(options.ssh);
    if (!target.ok()) return Fail(session, target.status());
    const auto installed = Install(session, **controller, options, *target, /*replace=*/false);
    if (!installed.ok()) return Fail(session, installed.status());
    host_key = installed->host_key.Line();
    address = AddressOf(options, *target, installed->report);
  } else {
    const auto parsed = ParseAddress(address, Peer::kExecutor);
    if (!parsed.ok()) return Fail(session, parsed.status());
    address = ToString(*parsed);
    if (parsed->scheme == Scheme::kSsh) {
      const auto key = ConfirmedHostKey(session, *parsed);
      if (!key.ok()) return Fail(session, key.status());
      host_key = *key;
    }
  }
  bool changed = false;
  const absl::Status registered = Register(**controller, options, address, host_key, changed);
  if (!registered.ok()) return Fail(session, registered);
  if (!session.output.json) {
    session.output.Line(absl::StrCat(changed ? session.output.Paint(Tone::kGood, "changed  ")
                                             : session.output.Paint(Tone::kQuiet, "as it is "),
                                     " controller: ", options.host, " at ", address));
  }
  return CheckHosts(session, {options.host}, "");
}

int UpgradeHost(Session& session, const HostsOptions& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto target = TargetOf(options.ssh);
  if (!target.ok()) return Fail(session, target.status());
  const auto installed = Install(session, **controller, options, *target, /*replace=*/true);
  if (!installed.ok()) return Fail(session, installed.status());
  return CheckHosts(session, {options.host}, "");
}

int RemoveHost(Session& session, const HostsOptions& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::RemoveHostRequest request;
  request.set_name(HostName(options.host));
  request.set_request_id(client::NewRequestId());
  const auto removed = (*controller)->Call(&pb::HostService::Stub::RemoveHost, request);
  // Forgotten already: what stands on the host may be left to remove.
  if (!removed.ok() && !(absl::IsNotFound(removed.status()) && !options.ssh.empty())) {
    return Fail(session, removed.status());
  }
  if (!options.ssh.empty()) {
    const auto target = TargetOf(options.ssh);
    if (!target.ok()) return Fail(session, target.status());
    const auto info = (*controller)->GetServerInfo();
    if (!info.ok()) return Fail(session, info.status());
    const auto installer = HostInstaller::Connect(session, *target);
    if (!installer.ok()) return Fail(session, installer.status());
    HostInstaller::SetupArguments arguments;
    arguments.controller_key = info->ssh_public_key();
    arguments.remove = true;
    const auto report = (*installer)->RunSetup(arguments);
    if (!report.ok()) return Fail(session, report.status());
    ShowReport(session, *report);
  }
  if (!session.output.json) {
    session.output.Line(absl::StrCat(options.host, " is forgotten; its applications go on running",
                                     options.ssh.empty() ? ", and so does its executor" : ""));
  }
  return kExitOk;
}

}  // namespace slipway::cli
