// The ProcessRunner seam: the one place that starts programs. Commands are values (argv), compared
// in tests as values; no shell is ever involved.
//
// Children do not outlive a killed executor: each gets PR_SET_PDEATHSIG(SIGKILL). That signal comes
// when the *thread* that forked ends, and the thread that calls Run() waits in it until the child
// has ended, so it means the executor's death and nothing else. We want it: a compose command left
// over from before the crash would race with the one that the restarted executor runs after its
// probe. Grandchildren (compose as a CLI plugin) do not inherit it; systemd's
// KillMode=mixed ends them before it restarts the service.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"

namespace slipway::executor {

struct Command {
  // argv[0] is looked up in PATH.
  std::vector<std::string> argv;
  // The whole environment of the child but for PATH, HOME and LANG, which come from the executor's
  // own.
  std::map<std::string, std::string> environment;
  std::string folder;
  std::string standard_input;
  // At the end of it, or on cancellation, the process group gets SIGTERM and, two seconds later,
  // SIGKILL.
  std::chrono::nanoseconds timeout = std::chrono::minutes(1);
  Cancellation* cancellation = nullptr;
  // Called in Run()'s thread with each line of either output as it comes, without its newline, a
  // last one without newline included; a line of more than 64 KiB comes in pieces. May be empty.
  std::function<void(absl::string_view line)> on_line;

  // The argv in a form for people, quoted where needed.
  std::string ToString() const;
};

struct ProcessResult {
  // 128 + N when signal N ended it.
  int exit_code = 0;
  // At most 4 MiB each; what comes after is read and dropped.
  std::string standard_output;
  std::string standard_error;

  bool ok() const { return exit_code == 0; }
};

class ProcessRunner {
 public:
  virtual ~ProcessRunner() = default;

  // NOT_FOUND when there is no such program, DEADLINE_EXCEEDED, CANCELLED; a program that ran and
  // failed is a result. When it returns, no process of the group is left. Safe from several
  // threads.
  virtual absl::StatusOr<ProcessResult> Run(const Command& command) = 0;
};

// The real one. Has no state.
class SystemProcessRunner final : public ProcessRunner {
 public:
  absl::StatusOr<ProcessResult> Run(const Command& command) override;
};

}  // namespace slipway::executor
