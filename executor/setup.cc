#include "executor/setup.h"

#include <algorithm>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <grp.h>

#include "common/file.h"
#include "common/status.h"
#include "common/version.h"
#include "executor/credentials.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

constexpr char kNginxFolder[] = "/etc/nginx/conf.d";

absl::Status Lacking(absl::string_view what, absl::string_view cure) {
  return Error(absl::StatusCode::kFailedPrecondition, "HOST_LACKS", what, cure);
}

mode_t ModeOf(const fs::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

}  // namespace

Setup::Setup(ProcessRunner& runner, SetupOptions options)
    : runner_(runner), options_(std::move(options)), layout_(LayoutFor(options_)) {}

fs::path Setup::At(const fs::path& path) const { return options_.root / path.relative_path(); }

void Setup::Note(const std::string& subject, bool changed, const std::string& text) {
  xpb::SetupStep& step = *report_.add_steps();
  step.set_subject(subject);
  step.set_changed(changed);
  step.set_text(text);
}

absl::StatusOr<ProcessResult> Setup::Call(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  command.timeout = std::chrono::minutes(1);
  // systemctl --user finds its manager by it.
  if (const char* runtime = getenv("XDG_RUNTIME_DIR"); runtime != nullptr) {
    command.environment["XDG_RUNTIME_DIR"] = runtime;
  }
  return runner_.Run(command);
}

absl::Status Setup::Must(std::vector<std::string> argv) {
  const std::string shown = absl::StrJoin(argv, " ");
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult done, Call(std::move(argv)));
  if (done.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("`", shown, "` fails: ", done.standard_error, done.standard_output));
}

bool Setup::MayRun(std::vector<std::string> argv) {
  argv.insert(argv.begin(), {"sudo", "-n", "-l"});
  const auto listed = Call(std::move(argv));
  return listed.ok() && listed->ok();
}

absl::StatusOr<bool> Setup::Put(const fs::path& path, const std::string& text, mode_t mode) {
  const fs::path there = At(path);
  const auto present = ReadFile(there);
  if (present.ok() && *present == text && ModeOf(there) == mode) return false;
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(there.parent_path(), 0755));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(there, text, mode));
  return true;
}

bool Setup::HasSystemd() const {
  if (!fs::is_directory(At("/run/systemd/system"))) return false;
  if (options_.as_root) return true;
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && fs::exists(fs::path(runtime) / "systemd");
}

std::vector<std::string> Setup::Systemctl(std::vector<std::string> words) const {
  words.insert(words.begin(), "systemctl");
  if (!options_.as_root) words.insert(words.begin() + 1, "--user");
  return words;
}

bool Setup::IsPackaged() {
  if (!options_.as_root) return false;
  const auto owner = Call({"dpkg-query", "--search", layout_.binary});
  return owner.ok() && owner->ok();
}

absl::Status Setup::InstallBinary() {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(options_.binary));
  const bool packaged = IsPackaged();
  if (packaged && ReadFile(At(layout_.binary)).value_or("") != bytes) {
    return Error(absl::StatusCode::kFailedPrecondition, "IS_PACKAGED",
                 absl::StrCat(layout_.binary.string(), " came with a package, and is not this one"),
                 "on the host: apt-get install slipway-executor");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const bool changed, Put(layout_.binary, bytes, 0755));
  if (!packaged && !layout_.link.empty()) LinkBinary();
  Note("binary", changed,
       absl::StrCat(layout_.binary.string(), ", version ", kVersion, packaged ? ", packaged" : ""));
  return absl::OkStatus();
}

void Setup::LinkBinary() {
  std::error_code error;
  if (fs::read_symlink(At(layout_.link), error) == layout_.binary) return;
  MakeFolders(At(layout_.link).parent_path(), 0755).IgnoreError();
  fs::remove(At(layout_.link), error);
  fs::create_symlink(layout_.binary, At(layout_.link), error);
}

absl::Status Setup::MakeUser() {
  if (!options_.as_root) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult known, Call({"getent", "passwd", options_.user}));
  if (!known.ok()) {
    // A controller on this machine brings the group with it.
    SLIPWAY_RETURN_IF_ERROR(Must({"groupadd", "--system", "--force", options_.user}));
    SLIPWAY_RETURN_IF_ERROR(
        Must({"useradd", "--system", "--gid", options_.user, "--home-dir", "/var/lib/slipway",
              "--no-create-home", "--shell", "/usr/sbin/nologin", options_.user}));
    // No password that fits, and not locked: sshd lets no locked account in, by key neither.
    SLIPWAY_RETURN_IF_ERROR(Must({"usermod", "--password", "*", options_.user}));
  }
  Note("user", !known.ok(), options_.user);
  std::vector<std::string> wanted;
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult has, Call({"id", "-nG", options_.user}));
  const std::vector<std::string> groups =
      absl::StrSplit(has.standard_output, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  for (const char* group : {"docker", "adm"}) {
    SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult exists, Call({"getent", "group", group}));
    if (!exists.ok()) {
      return Lacking(absl::StrCat("there is no group ", group),
                     std::string(group) == "docker"
                         ? "install Docker Engine: apt-get install docker.io"
                         : "groupadd --system adm");
    }
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) wanted.emplace_back(group);
  }
  if (!wanted.empty()) {
    SLIPWAY_RETURN_IF_ERROR(
        Must({"usermod", "--append", "--groups", absl::StrJoin(wanted, ","), options_.user}));
  }
  Note("groups", !wanted.empty(), "docker, adm");
  return absl::OkStatus();
}

absl::Status Setup::MakeMissingFolders() {
  const fs::path state = At(layout_.state);
  const bool is_new = !fs::is_directory(state);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(state.parent_path(), 0755));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(state, 0711));
  if (options_.as_root && is_new) {
    SLIPWAY_RETURN_IF_ERROR(
        Must({"chown", absl::StrCat(options_.user, ":", options_.user), state.string()}));
  }
  Note("folders", is_new, layout_.state.string());
  return absl::OkStatus();
}

absl::Status Setup::WriteConfig() {
  // A person's from now on.
  const bool is_new = !fs::exists(At(layout_.config));
  if (is_new) {
    const bool may_test = options_.as_root || MayRun({"/usr/sbin/nginx", "-t"});
    SLIPWAY_RETURN_IF_ERROR(
        Put(layout_.config, ConfigText(options_, layout_, may_test), 0644).status());
  }
  bool changed = is_new;
  if (!is_new && !options_.tls_listen.empty()) {
    // A person's file: what is missing is added, what is there stays.
    SLIPWAY_ASSIGN_OR_RETURN(std::string text, ReadFile(At(layout_.config)));
    const std::string line = absl::StrCat("tls_listen: \"", options_.tls_listen, "\"\n");
    const bool known = absl::StrContains(absl::StrCat("\n", text), absl::StrCat("\n", line));
    if (!known && absl::StrContains(absl::StrCat("\n", text), "\ntls_listen:")) {
      return Lacking(absl::StrCat(layout_.config.string(), " names another tls_listen"),
                     absl::StrCat("let it be: ", line));
    }
    if (!known) {
      if (!text.empty() && text.back() != '\n') text += '\n';
      SLIPWAY_RETURN_IF_ERROR(Put(layout_.config, text + line, 0644).status());
      changed = true;
    }
  }
  Note("config", changed, layout_.config.string());
  return absl::OkStatus();
}

absl::Status Setup::WriteSudoers() {
  if (!options_.as_root) return absl::OkStatus();
  if (!fs::exists(At("/usr/sbin/visudo"))) {
    return Lacking("there is no sudo, by which the executor tests and reloads nginx",
                   "apt-get install sudo");
  }
  const std::string text = SudoersText(options_);
  const auto present = ReadFile(At(layout_.sudoers));
  if (present.ok() && *present == text) {
    Note("sudoers", false, layout_.sudoers.string());
    return absl::OkStatus();
  }
  // Checked before it counts: a broken file in this folder would take sudo away from everybody. sudo leaves files with a dot
  // in their name alone.
  const fs::path draft = absl::StrCat(layout_.sudoers.string(), ".new");
  SLIPWAY_RETURN_IF_ERROR(Put(draft, text, 0440).status());
  const absl::Status good = Must({"visudo", "-c", "-f", At(draft).string()});
  std::error_code error;
  if (!good.ok()) {
    fs::remove(At(draft), error);
    return good;
  }
  fs::rename(At(draft), At(layout_.sudoers), error);
  if (error)
    return absl::UnavailableError(absl::StrCat(layout_.sudoers.string(), ": ", error.message()));
  Note("sudoers", true, layout_.sudoers.string());
  return absl::OkStatus();
}

absl::Status Setup::OpenNginxFolder() {
  const fs::path folder = At(kNginxFolder);
  if (!fs::is_directory(folder)) {
    return Lacking(absl::StrCat("there is no ", kNginxFolder),
                   "install nginx: apt-get install nginx");
  }
  if (!options_.as_root) {
    const bool open = access(folder.c_str(), W_OK | X_OK) == 0;
    if (!open) {
      return Lacking(absl::StrCat(kNginxFolder, " may not be written by ", options_.user),
                     absl::StrCat("let root say: chgrp ", options_.user, " ", kNginxFolder,
                                  " && chmod g+rwxs ", kNginxFolder));
    }
    Note("nginx", false, absl::StrCat(kNginxFolder, " may be written"));
    return absl::OkStatus();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult owner, Call({"stat", "-c", "%G", folder.string()}));
  const bool ours = absl::StartsWith(owner.standard_output, absl::StrCat(options_.user, "\n"));
  const bool changed = !ours || ModeOf(folder) != 02775;
  if (changed) {
    SLIPWAY_RETURN_IF_ERROR(Must({"chgrp", options_.user, folder.string()}));
    SLIPWAY_RETURN_IF_ERROR(Must({"chmod", "2775", folder.string()}));
  }
  Note("nginx", changed, absl::StrCat(kNginxFolder, " may be written by group ", options_.user));
  return absl::OkStatus();
}

// Debian's and nginx's own packages include the folder; a configuration of somebody's own is theirs to change.
void Setup::NoteInclude() {
  const std::string wanted = absl::StrCat("include ", kNginxFolder, "/*.conf;");
  const std::string text = ReadFile(At("/etc/nginx/nginx.conf")).value_or("");
  bool included = false;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    included = included || absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), wanted);
  }
  Note("include", false,
       included ? absl::StrCat("nginx.conf has `", wanted, "`")
                : absl::StrCat("nginx.conf has no `", wanted,
                               "`: add it to the http block, or `include FILE;` to each site"));
}

absl::Status Setup::AuthorizeController() {
  if (options_.controller_key.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string line,
                           AuthorizedLine(options_.controller_key, layout_.socket));
  const auto present = ReadFile(At(layout_.authorized_keys));
  std::string text = present.ok() ? *present : "";
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const bool known = std::find(lines.begin(), lines.end(), line) != lines.end();
  if (!known) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    absl::StrAppend(&text, line, "\n");
    const fs::path folder = At(layout_.authorized_keys).parent_path();
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder, options_.as_root ? 0755 : 0700));
    // As root the file stays root's: whoever has the account does not change who may come in.
    SLIPWAY_RETURN_IF_ERROR(
        Put(layout_.authorized_keys, text, options_.as_root ? 0644 : 0600).status());
  }
  Note("ssh", !known, "the controller's key may forward to the socket, and nothing else");
  return absl::OkStatus();
}

absl::Status Setup::WriteUnit() {
  if (!HasSystemd()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const bool changed,
                           Put(layout_.unit, UnitText(options_, layout_), 0644));
  if (changed) SLIPWAY_RETURN_IF_ERROR(Must(Systemctl({"daemon-reload"})));
  if (!options_.as_root) Call({"loginctl", "enable-linger"}).status().IgnoreError();
  Note("unit", changed, layout_.unit.string());
  return absl::OkStatus();
}

absl::Status Setup::StartService() {
  if (!HasSystemd()) {
    report_.set_start_hint(
        absl::StrCat("no systemd runs here. Let whatever starts this host's services run, as user ",
                     options_.user, " with the groups docker and adm: ", layout_.binary.string(),
                     " serve --config ", layout_.config.string()));
    report_.set_running(fs::exists(At(layout_.socket)));
    return absl::OkStatus();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult active,
                           Call(Systemctl({"is-active", "--quiet", "slipway-executor"})));
  const bool act = options_.start && (!active.ok() || options_.restart);
  if (act) {
    SLIPWAY_RETURN_IF_ERROR(Must(Systemctl({"enable", "slipway-executor"})));
    SLIPWAY_RETURN_IF_ERROR(Must(Systemctl({"restart", "slipway-executor"})));
  }
  report_.set_running(active.ok() || act);
  Note("service", act, report_.running() ? "runs" : "does not run yet");
  return absl::OkStatus();
}

absl::Status Setup::Install() {
  SLIPWAY_RETURN_IF_ERROR(InstallBinary());
  SLIPWAY_RETURN_IF_ERROR(MakeUser());
  SLIPWAY_RETURN_IF_ERROR(MakeMissingFolders());
  SLIPWAY_RETURN_IF_ERROR(OpenNginxFolder());
  NoteInclude();
  SLIPWAY_RETURN_IF_ERROR(WriteSudoers());
  SLIPWAY_RETURN_IF_ERROR(WriteConfig());
  SLIPWAY_RETURN_IF_ERROR(AuthorizeController());
  SLIPWAY_RETURN_IF_ERROR(WriteUnit());
  return StartService();
}

// The state folder stays: the releases in it are what runs.
absl::Status Setup::Remove() {
  if (HasSystemd() && fs::exists(At(layout_.unit))) {
    SLIPWAY_RETURN_IF_ERROR(Must(Systemctl({"disable", "--now", "slipway-executor"})));
  }
  const bool packaged = IsPackaged();
  for (const auto& [subject, path, dpkgs] :
       {std::tuple{"unit", layout_.unit, false}, std::tuple{"sudoers", layout_.sudoers, false},
        std::tuple{"link", layout_.link, packaged},
        std::tuple{"binary", layout_.binary, packaged}}) {
    if (path.empty() || dpkgs) continue;
    std::error_code error;
    Note(subject, fs::remove(At(path), error), absl::StrCat(path.string(), " removed"));
  }
  auto keys = ReadFile(At(layout_.authorized_keys));
  if (keys.ok() && !options_.controller_key.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string line,
                             AuthorizedLine(options_.controller_key, layout_.socket));
    std::vector<std::string> lines = absl::StrSplit(*keys, '\n');
    const bool known = std::erase(lines, line) > 0;
    if (known) {
      SLIPWAY_RETURN_IF_ERROR(Put(layout_.authorized_keys, absl::StrJoin(lines, "\n"),
                                  ModeOf(At(layout_.authorized_keys)))
                                  .status());
    }
    Note("ssh", known, "the controller's key removed");
  }
  if (HasSystemd()) SLIPWAY_RETURN_IF_ERROR(Must(Systemctl({"daemon-reload"})));
  return absl::OkStatus();
}

absl::StatusOr<xpb::SetupReport> Setup::Run() {
  report_.Clear();
  if (options_.tls_listen.find_first_not_of("0123456789abcdefABCDEF.:[]") != std::string::npos) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
                 "the address to listen on is not ADDRESS:PORT");
  }
  report_.set_user(options_.user);
  report_.set_socket(layout_.socket);
  report_.set_version(kVersion);
  SLIPWAY_RETURN_IF_ERROR(options_.remove ? Remove() : Install());
  // One that has ended is as good as none: the controller cannot renew what it no longer believes.
  const auto present = Credentials(Paths(At(layout_.state)).Tls()).Present();
  if (present) report_.set_certificate(present->serial);
  report_.set_enrolled(present && present->not_after > std::chrono::system_clock::now());
  std::vector<std::string> enrol = {layout_.binary, "enrol", "--config", layout_.config};
  if (options_.as_root) enrol.insert(enrol.begin(), {"runuser", "-u", options_.user, "--"});
  report_.mutable_enrol_command()->Add(enrol.begin(), enrol.end());
  return report_;
}

}  // namespace slipway::executor
