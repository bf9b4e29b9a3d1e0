#include "executor/process/process_runner.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/process/process_group.h"

namespace slipway::executor {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMaxOutput = 4 << 20;
constexpr size_t kMaxLine = 64 << 10;
constexpr std::chrono::seconds kGrace{2};
constexpr absl::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// One of the child's outputs: keeps the beginning, hands out lines.
class Output {
 public:
  Output(std::string& kept, const std::function<void(absl::string_view)>& on_line)
      : kept_(kept), on_line_(on_line) {}

  absl::Status Open(UniqueFd& child_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe");
    fd_ = UniqueFd(ends[0]);
    child_end = UniqueFd(ends[1]);
    if (fcntl(fd_.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoError("fcntl");
    return absl::OkStatus();
  }

  int fd() const { return fd_.get(); }

  // Reads what is there now.
  void Drain() {
    std::array<char, 1 << 16> buffer;
    while (fd_) {
      const ssize_t got = read(fd_.get(), buffer.data(), buffer.size());
      if (got > 0) {
        Take({buffer.data(), static_cast<size_t>(got)});
      } else if (got == 0) {
        fd_.Reset();
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  void Finish() {
    Drain();
    fd_.Reset();
    if (!line_.empty() && on_line_) on_line_(line_);
    line_.clear();
  }

 private:
  void Take(absl::string_view bytes) {
    absl::StrAppend(&kept_, bytes.substr(0, kMaxOutput - std::min(kMaxOutput, kept_.size())));
    if (!on_line_) return;
    while (!bytes.empty()) {
      const size_t end = bytes.find('\n');
      absl::StrAppend(&line_, bytes.substr(0, end));
      if (end == absl::string_view::npos && line_.size() < kMaxLine) return;
      on_line_(line_);
      line_.clear();
      if (end == absl::string_view::npos) return;
      bytes.remove_prefix(end + 1);
    }
  }

  UniqueFd fd_;
  std::string& kept_;
  const std::function<void(absl::string_view)>& on_line_;
  std::string line_;
};

std::string OwnVariable(const char* name, absl::string_view otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string(otherwise) : std::string(value);
}

// Looked up here, because execvp would use memory between fork and exec.
absl::StatusOr<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (access(name.c_str(), F_OK) == 0) return name;
    return absl::NotFoundError(absl::StrCat("no program ", name));
  }
  for (const auto folder : absl::StrSplit(OwnVariable("PATH", kDefaultPath), ':')) {
    std::string path = absl::StrCat(folder, "/", name);
    if (!folder.empty() && access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::NotFoundError(absl::StrCat("no program '", name, "' in PATH"));
}

// A file in memory instead of a pipe: nothing to write while the child runs, and no SIGPIPE when it
// does not read.
absl::StatusOr<UniqueFd> OpenInput(const std::string& text) {
  if (text.empty()) {
    UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null) return ErrnoError("/dev/null");
    return null;
  }
  UniqueFd memory(memfd_create("stdin", MFD_CLOEXEC));
  if (!memory) return ErrnoError("memfd_create");
  SLIPWAY_RETURN_IF_ERROR(WriteAll(memory.get(), text));
  if (lseek(memory.get(), 0, SEEK_SET) != 0) return ErrnoError("lseek");
  return memory;
}

std::vector<std::string> Environment(const Command& command) {
  std::map<std::string, std::string> all = {{"PATH", OwnVariable("PATH", kDefaultPath)},
                                            {"HOME", OwnVariable("HOME", "/")},
                                            {"LANG", OwnVariable("LANG", "C.UTF-8")}};
  for (const auto& [name, value] : command.environment) all[name] = value;
  std::vector<std::string> lines;
  lines.reserve(all.size());
  for (const auto& [name, value] : all) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

// Why the child was told to stop; kNone while it may run.
enum class Stop { kNone, kDeadline, kCancelled };

// Reads both outputs until the leader has ended; asks the group to end at the deadline or on
// cancellation.
Stop Supervise(const ProcessGroup& group, Output& out, Output& error, int cancel_event,
               SteadyClock::time_point deadline) {
  Stop stop = Stop::kNone;
  bool killed = false;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    std::array<pollfd, 4> polled = {pollfd{group.pidfd(), POLLIN, 0}, pollfd{out.fd(), POLLIN, 0},
                                    pollfd{error.fd(), POLLIN, 0},
                                    pollfd{stop == Stop::kNone ? cancel_event : -1, POLLIN, 0}};
    const auto wait = std::clamp<int64_t>(left.count(), 0, 1'000'000);
    poll(polled.data(), polled.size(), killed ? -1 : static_cast<int>(wait));
    out.Drain();
    error.Drain();
    if (polled[0].revents != 0) return stop;
    const bool cancelled = stop == Stop::kNone && polled[3].revents != 0;
    if (!cancelled && SteadyClock::now() < deadline) continue;
    if (stop == Stop::kNone) {
      stop = cancelled ? Stop::kCancelled : Stop::kDeadline;
      group.Signal(SIGTERM);
      deadline = SteadyClock::now() + kGrace;
    } else if (!killed) {
      group.Signal(SIGKILL);
      killed = true;
    }
  }
}

}  // namespace

std::string Command::ToString() const {
  std::vector<std::string> words;
  for (const std::string& word : argv) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 ||
             absl::string_view("-_./:=,@%+").find(static_cast<char>(c)) != absl::string_view::npos;
    });
    words.push_back(plain ? word
                          : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'"));
  }
  return absl::StrJoin(words, " ");
}

absl::StatusOr<ProcessResult> SystemProcessRunner::Run(const Command& command) {
  if (command.argv.empty()) return absl::InvalidArgumentError("an empty command");
  const auto deadline = SteadyClock::now() + command.timeout;
  if (command.cancellation != nullptr && command.cancellation->IsCancelled()) {
    return absl::CancelledError(absl::StrCat("cancelled before: ", command.ToString()));
  }
  ChildSetup setup;
  SLIPWAY_ASSIGN_OR_RETURN(setup.program, FindProgram(command.argv.front()));
  setup.argv = command.argv;
  setup.environment = Environment(command);
  setup.folder = command.folder;

  ProcessResult result;
  Output out(result.standard_output, command.on_line);
  Output error(result.standard_error, command.on_line);
  UniqueFd child_out;
  UniqueFd child_error;
  SLIPWAY_RETURN_IF_ERROR(out.Open(child_out));
  SLIPWAY_RETURN_IF_ERROR(error.Open(child_error));
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd input, OpenInput(command.standard_input));
  const UniqueFd cancel_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!cancel_event) return ErrnoError("eventfd");
  const CancellationHook hook(command.cancellation,
                              [fd = cancel_event.get()] { eventfd_write(fd, 1); });
  setup.standard_input = input.get();
  setup.standard_output = child_out.get();
  setup.standard_error = child_error.get();
  SLIPWAY_ASSIGN_OR_RETURN(ProcessGroup group, ProcessGroup::Start(setup));
  child_out.Reset();
  child_error.Reset();

  const Stop stop = Supervise(group, out, error, cancel_event.get(), deadline);
  result.exit_code = group.Finish(stop == Stop::kNone ? std::chrono::seconds(0) : kGrace);
  out.Finish();
  error.Finish();
  if (stop == Stop::kCancelled) {
    return absl::CancelledError(absl::StrCat("cancelled: ", command.ToString()));
  }
  if (stop == Stop::kDeadline) {
    return absl::DeadlineExceededError(absl::StrCat("took too long: ", command.ToString()));
  }
  return result;
}

}  // namespace slipway::executor
