#include "tests/support/ssh_server.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "executor/process/process_runner.h"

namespace slipway::testing {
namespace {

[[noreturn]] void Give(const std::string& problem) {
  std::fprintf(stderr, "%s\n", problem.c_str());
  std::abort();
}

void Require(const absl::Status& status) {
  if (!status.ok()) Give(status.ToString());
}

}  // namespace

std::string RunTool(const std::vector<std::string>& argv) {
  executor::SystemProcessRunner runner;
  executor::Command command;
  command.argv = argv;
  const auto done = runner.Run(command);
  Require(done.status());
  if (!done->ok()) Give(absl::StrCat(absl::StrJoin(argv, " "), ": ", done->standard_error));
  return done->standard_output;
}

SshServer::SshServer(std::vector<std::string> settings) {
  // Test programs run side by side; each server has an address of its own.
  static int count = 0;
  address_ =
      absl::StrCat("127.", 10 + count++ % 200, ".", getpid() / 250 % 250, ".", 2 + getpid() % 250);
  NewHostKey();
  Authorize(MakeKey("user").string() + ".pub");
  std::string text = absl::StrCat(
      "Port ", port(), "\nListenAddress ", address_, "\nHostKey ", (folder() / "host_key").string(),
      "\nAuthorizedKeysFile ", (folder() / "authorized_keys").string(), "\nPidFile none\n",
      "StrictModes no\nUsePAM no\nPasswordAuthentication no\n",
      "KbdInteractiveAuthentication no\nLogLevel VERBOSE\n", "MaxStartups 100\nMaxSessions 1000\n");
  for (const std::string& line : settings) absl::StrAppend(&text, line, "\n");
  Require(WriteFileAtomically(folder() / "sshd_config", text));
  // Where sshd's unprivileged part lives; the package's service makes it.
  mkdir("/run/sshd", 0755);
}

SshServer::~SshServer() {
  Kill();
  if (reader_.joinable()) reader_.join();
}

void SshServer::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Give("pipe2");
  UniqueFd from(ends[0]);
  const UniqueFd to(ends[1]);
  const std::string config = folder() / "sshd_config";
  const char* argv[] = {"/usr/sbin/sshd", "-D", "-e", "-f", config.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  const int failed =
      posix_spawn(&pid_, argv[0], &actions, nullptr, const_cast<char**>(argv), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) Give("cannot start /usr/sbin/sshd: install openssh-server");
  if (reader_.joinable()) reader_.join();
  {
    MutexLock lock(mutex_);
    log_.clear();
  }
  reader_ = std::thread([this, fd = from.Release()] { ReadLog(UniqueFd(fd)); });
  AwaitLog("Server listening");
}

void SshServer::ReadLog(UniqueFd from) {
  char piece[4096];
  while (true) {
    const ssize_t got = read(from.get(), piece, sizeof piece);
    if (got <= 0) return;
    MutexLock lock(mutex_);
    log_.append(piece, static_cast<size_t>(got));
    changed_.NotifyAll();
  }
}

// The listener and its children's children.
std::vector<pid_t> SshServer::Family() const {
  std::vector<pid_t> all;
  if (pid_ == 0) return all;
  all.push_back(pid_);
  for (size_t i = 0; i < all.size(); ++i) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto stat = ReadFile(entry.path() / "stat");
      if (!stat.ok()) continue;
      const std::vector<std::string> words =
          absl::StrSplit(stat->substr(std::min(stat->size(), stat->rfind(')') + 2)), ' ');
      if (words.size() > 1 && words[1] == absl::StrCat(all[i])) {
        all.push_back(std::stoi(entry.path().filename().string()));
      }
    }
  }
  return all;
}

void SshServer::Kill() {
  const std::vector<pid_t> family = Family();
  for (const pid_t pid : family) kill(pid, SIGKILL);
  if (pid_ != 0) waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void SshServer::Freeze() {
  for (const pid_t pid : Family()) kill(pid, SIGSTOP);
}

void SshServer::Thaw() {
  for (const pid_t pid : Family()) kill(pid, SIGCONT);
}

SshOptions SshServer::Options() const {
  SshOptions options;
  options.key_files = {folder() / "user"};
  options.pinned_key = HostKey();
  options.known_hosts = folder() / "known_hosts";
  options.system_known_hosts = folder() / "system_known_hosts";
  return options;
}

std::string SshServer::user() const { return getpwuid(getuid())->pw_name; }

std::string SshServer::HostKey() const {
  const std::vector<std::string> words =
      absl::StrSplit(ReadFile(folder() / "host_key.pub").value(), ' ');
  return absl::StrCat(words[0], " ", absl::StripAsciiWhitespace(words[1]));
}

void SshServer::NewHostKey(const std::string& type) {
  std::filesystem::remove(folder() / "host_key");
  MakeKey("host_key", type);
}

std::filesystem::path SshServer::MakeKey(const std::string& name, const std::string& type,
                                         const std::string& passphrase) {
  RunTool({"ssh-keygen", "-q", "-t", type, "-N", passphrase, "-C", "", "-f", folder() / name});
  return folder() / name;
}

void SshServer::Authorize(const std::filesystem::path& public_key) {
  const auto known = ReadFile(folder() / "authorized_keys");
  Require(
      WriteFileAtomically(folder() / "authorized_keys",
                          absl::StrCat(known.ok() ? *known : "", ReadFile(public_key).value())));
}

std::string SshServer::FingerprintOf(const std::filesystem::path& public_key) {
  const std::vector<std::string> words =
      absl::StrSplit(RunTool({"ssh-keygen", "-l", "-f", public_key}), ' ');
  return words[1];
}

void SshServer::AwaitLog(const std::string& text, int times) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  MutexLock lock(mutex_);
  while (true) {
    int found = 0;
    for (size_t at = log_.find(text); at != std::string::npos; at = log_.find(text, at + 1))
      ++found;
    if (found >= times) return;
    if (!changed_.WaitUntil(mutex_, deadline))
      Give(absl::StrCat("sshd never said '", text, "':\n", log_));
  }
}

std::string SshServer::Log() {
  MutexLock lock(mutex_);
  return log_;
}

}  // namespace slipway::testing
