#include "clients/cli/host_installer.h"

#include <sys/utsname.h>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <google/protobuf/util/json_util.h>

#include "clients/cli/terminal.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kRootBinary[] = "/usr/lib/slipway/slipway-executor";

// A word for the other side's shell; false unless it is of characters that mean nothing to any.
bool IsPlain(absl::string_view word) {
  return !word.empty() && word.find_first_not_of(
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                              "+/=@._:,[]-") == absl::string_view::npos;
}

absl::StatusOr<std::string> Words(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) {
    for (const absl::string_view part : absl::StrSplit(word, ' ')) {
      if (!IsPlain(part)) {
        return absl::InvalidArgumentError(absl::StrCat("'", word, "' cannot be sent to the host"));
      }
    }
    quoted.push_back(absl::StrCat("'", word, "'"));
  }
  return absl::StrJoin(quoted, " ");
}

}  // namespace

absl::StatusOr<fs::path> FindExecutor(const std::string& named) {
  if (!named.empty()) {
    std::error_code unknown;
    if (fs::is_regular_file(named, unknown)) return fs::path(named);
    return Error(absl::StatusCode::kNotFound, "NO_EXECUTOR", absl::StrCat("there is no ", named));
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> places = {here / "slipway-executor",
                                  here / "../lib/slipway/slipway-executor",
                                  here / "../../executor/slipway-executor"};
  for (const fs::path& place : places) {
    if (fs::is_regular_file(place, error)) return place.lexically_normal();
  }
  return Error(absl::StatusCode::kNotFound, "NO_EXECUTOR",
               absl::StrCat("slipway-executor is neither beside slipway (", here.string(),
                            ") nor in ../lib/slipway"),
               "name it: `--executor FILE`");
}

std::function<bool(const SshHostKey&)> AskAboutHostKey(const std::string& host) {
  if (!CanAsk()) return nullptr;
  return [host](const SshHostKey& key) {
    return Confirm(absl::StrCat("The SSH host key of ", host, " is ", key.type, " ",
                                key.fingerprint,
                                "\nCompare it on the host's console. Is it the right one?"));
  };
}

absl::StatusOr<std::unique_ptr<HostInstaller>> HostInstaller::Connect(const Session& session,
                                                                      const Address& target) {
  SshOptions options = session.Ssh();
  if (options.pinned_fingerprint.empty()) options.accept_unknown = AskAboutHostKey(target.host);
  SLIPWAY_ASSIGN_OR_RETURN(auto ssh,
                           SshSession::Connect(target.user, target.host, target.port, options));
  std::unique_ptr<HostInstaller> installer(new HostInstaller(std::move(ssh)));
  SLIPWAY_RETURN_IF_ERROR(installer->Probe());
  return installer;
}

HostInstaller::~HostInstaller() {
  if (!folder_.empty()) ssh_->Run(absl::StrCat("rm -rf '", folder_, "'")).status().IgnoreError();
}

absl::StatusOr<std::string> HostInstaller::Run(const std::string& command,
                                               absl::string_view input) {
  SLIPWAY_ASSIGN_OR_RETURN(const SshSession::Result result, ssh_->Run(command, input));
  if (result.exit_code == 0) return result.output;
  // What slipway-executor itself says has its own name before it and its cure below.
  const std::string said(absl::StripAsciiWhitespace(result.error));
  const size_t cure = said.find("\n  what to do: ");
  return Error(
      absl::StatusCode::kFailedPrecondition, "HOST_REFUSED",
      absl::StrCat("on the host: ", said.empty() ? absl::StrCat("exit code ", result.exit_code)
                                                 : said.substr(0, cure)),
      cure == std::string::npos ? "" : said.substr(cure + 15));
}

std::string HostInstaller::AsRoot(const std::string& command) const {
  return by_sudo_ ? absl::StrCat("sudo -n ", command) : command;
}

absl::Status HostInstaller::Probe() {
  SLIPWAY_ASSIGN_OR_RETURN(
      const std::string said,
      Run(absl::StrCat(
          "id -u; uname -m; if sudo -n true 2>/dev/null; then echo sudo; else echo none; fi; "
          "if dpkg-query --search ",
          kRootBinary, " >/dev/null 2>&1; then echo packaged; else echo own; fi; sha256sum ",
          kRootBinary, " \"$HOME/.local/share/slipway/slipway-executor\" 2>/dev/null || true")));
  const std::vector<std::string> lines = absl::StrSplit(said, '\n', absl::SkipEmpty());
  if (lines.size() < 4) return absl::FailedPreconditionError("the host answers in no known way");
  by_sudo_ = lines[0] != "0" && lines[2] == "sudo";
  root_ = lines[0] == "0" || by_sudo_;
  machine_ = lines[1];
  packaged_ = root_ && lines[3] == "packaged";
  for (size_t i = 4; i < lines.size(); ++i) {
    const std::vector<std::string> parts = absl::StrSplit(lines[i], absl::MaxSplits("  ", 1));
    const bool is_root_binary = parts.size() == 2 && parts[1] == kRootBinary;
    if (parts.size() == 2 && is_root_binary == root_) {
      installed_digest_ = parts[0];
      if (IsPlain(parts[1])) program_ = parts[1];
    }
  }
  return absl::OkStatus();
}

absl::Status HostInstaller::Upload(const fs::path& executor) {
  utsname ours{};
  uname(&ours);
  if (machine_ != ours.machine) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "OTHER_MACHINE",
        absl::StrCat("the host is ", machine_, ", this slipway-executor is ", ours.machine),
        "name one that was built for it: `--executor FILE`");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(executor));
  const std::string digest = absl::BytesToHexString(Sha256Of(bytes));
  if (digest == installed_digest_) return absl::OkStatus();
  if (packaged_) {
    return Error(absl::StatusCode::kFailedPrecondition, "IS_PACKAGED",
                 "the host has another slipway-executor, which came with a package",
                 "on the host: apt-get install slipway-executor");
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      const std::string said,
      Run("umask 077; d=$(mktemp -d \"$HOME/.slipway-XXXXXXXX\" 2>/dev/null || mktemp -d) && "
          "cat >\"$d/slipway-executor\" && chmod 755 \"$d\" \"$d/slipway-executor\" && "
          "sha256sum \"$d/slipway-executor\"",
          bytes));
  const std::vector<std::string> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(said), absl::MaxSplits("  ", 1));
  if (parts.size() != 2 || parts[0] != digest || !IsPlain(parts[1])) {
    return absl::UnavailableError("slipway-executor did not arrive as it was sent");
  }
  program_ = parts[1];
  folder_ = fs::path(program_).parent_path();
  return absl::OkStatus();
}

absl::StatusOr<xpb::SetupReport> HostInstaller::RunSetup(const SetupArguments& arguments) {
  std::vector<std::string> words = {program_, "setup"};
  if (!arguments.controller_key.empty()) {
    words.insert(words.end(), {"--controller-key", arguments.controller_key});
  }
  if (!arguments.tls_listen.empty()) {
    words.insert(words.end(), {"--tls-listen", arguments.tls_listen});
  }
  if (arguments.start) words.emplace_back("--start");
  if (arguments.restart) words.emplace_back("--restart");
  if (arguments.remove) words.emplace_back("--remove");
  if (program_.empty()) return absl::FailedPreconditionError("slipway-executor is not on the host");
  SLIPWAY_ASSIGN_OR_RETURN(const std::string command, Words(words));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string said, Run(AsRoot(command)));
  xpb::SetupReport report;
  if (!google::protobuf::util::JsonStringToMessage(said, &report).ok()) {
    return absl::FailedPreconditionError("slipway-executor setup answers in no known way");
  }
  return report;
}

absl::StatusOr<std::string> HostInstaller::AskForCertificate(const xpb::SetupReport& report) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string command,
                           Words({report.enrol_command().begin(), report.enrol_command().end()}));
  return Run(AsRoot(command));
}

absl::Status HostInstaller::InstallCertificate(const xpb::SetupReport& report,
                                               const std::string& certificate_pem,
                                               const std::string& authority_pem) {
  std::vector<std::string> words(report.enrol_command().begin(), report.enrol_command().end());
  words.emplace_back("--install");
  SLIPWAY_ASSIGN_OR_RETURN(const std::string command, Words(words));
  return Run(AsRoot(command), absl::StrCat(certificate_pem, authority_pem)).status();
}

}  // namespace slipway::cli
