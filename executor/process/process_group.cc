#include "executor/process/process_group.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "common/status.h"

namespace slipway::executor {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Moves a descriptor to where the child expects it. The three sources are above 2 (see Start), so
// none is overwritten.
void Place(int from, int to) {
  if (dup2(from, to) < 0) _exit(126);
}

// Between fork and exec: only async-signal-safe calls, because other threads may hold any lock,
// malloc's included.
[[noreturn]] void RunChild(const ChildSetup& setup, char* const* argv, char* const* environment,
                           pid_t parent, int error_pipe) {
  const auto fail = [error_pipe] {
    const int error = errno;
    [[maybe_unused]] const ssize_t wrote = write(error_pipe, &error, sizeof(error));
    _exit(126);
  };
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before prctl; then nobody would ever send the signal.
  if (getppid() != parent) _exit(126);
  Place(setup.standard_input, 0);
  Place(setup.standard_output, 1);
  Place(setup.standard_error, 2);
  // Libraries (libssh, libgrpc) open descriptors without close-on-exec.
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  // The daemons block SIGTERM and ignore SIGPIPE; both would be inherited, and a TERM would never
  // arrive.
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) {
    if (signal_number == SIGKILL || signal_number == SIGSTOP) continue;
    signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!setup.folder.empty() && chdir(setup.folder.c_str()) != 0) fail();
  execve(setup.program.c_str(), argv, environment);
  fail();
  _exit(126);
}

// kill(-group, 0) would count zombies, which stay until whoever inherited them gets round to
// reaping.
bool HasLivingMember(pid_t group) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry->path().filename().string(), &pid)) continue;
    const auto stat = ReadFile(entry->path() / "stat");
    if (!stat.ok()) continue;
    // `PID (COMMAND) STATE PARENT GROUP`; the command may hold anything.
    const std::vector<absl::string_view> fields = absl::StrSplit(
        absl::string_view(*stat).substr(stat->rfind(')') + 1), ' ', absl::SkipEmpty());
    int member_of = 0;
    if (fields.size() > 2 && fields[0] != "Z" && fields[0] != "X" &&
        absl::SimpleAtoi(fields[2], &member_of) && member_of == group) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<ProcessGroup> ProcessGroup::Start(const ChildSetup& setup) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const std::vector<char*> argv = Pointers(setup.argv);
  const std::vector<char*> environment = Pointers(setup.environment);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return ErrnoError("fork");
  if (child == 0) RunChild(setup, argv.data(), environment.data(), parent, write_end.get());
  // Both sides do this, so that the group exists whoever runs first.
  setpgid(child, child);
  write_end.Reset();
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const int pidfd_error = errno;
  int exec_error = 0;
  ssize_t got = 0;
  do {
    got = read(read_end.get(), &exec_error, sizeof(exec_error));
  } while (got < 0 && errno == EINTR);
  if (got == 0 && pidfd) return ProcessGroup(child, std::move(pidfd));
  kill(-child, SIGKILL);
  waitpid(child, nullptr, 0);
  if (got == 0) return ErrnoError(pidfd_error, "pidfd_open");
  return ErrnoError(exec_error, absl::StrCat("start ", setup.program));
}

void ProcessGroup::Signal(int signal) const { kill(-leader_, signal); }

int ProcessGroup::Finish(std::chrono::milliseconds grace) {
  // While the leader is a zombie its number cannot belong to another group.
  if (grace.count() == 0) kill(-leader_, SIGKILL);
  int status = 0;
  while (waitpid(leader_, &status, 0) < 0 && errno == EINTR) {
  }
  // The others are not our children and nothing tells of their end. The group's number stays taken
  // while one of them lives.
  const auto kill_at = std::chrono::steady_clock::now() + grace;
  const auto give_up_at = kill_at + std::chrono::seconds(1);
  while (kill(-leader_, 0) == 0 && HasLivingMember(leader_) &&
         std::chrono::steady_clock::now() < give_up_at) {
    if (std::chrono::steady_clock::now() >= kill_at) kill(-leader_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace slipway::executor
