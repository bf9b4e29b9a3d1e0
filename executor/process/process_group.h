// One child in a process group of its own: fork, exec and the end of the group. Used by
// process_runner.cc alone.
#pragma once

#include <chrono>
#include <string>
#include <sys/types.h>
#include <vector>

#include "absl/status/statusor.h"

#include "common/file.h"

namespace slipway::executor {

struct ChildSetup {
  std::string program;
  std::vector<std::string> argv;
  // NAME=value
  std::vector<std::string> environment;
  std::string folder;
  int standard_input = -1;
  int standard_output = -1;
  int standard_error = -1;
};

class ProcessGroup {
 public:
  // Forks and execs; an exec that fails is this call's error. The calling thread must outlive the
  // child: the kernel kills the child when the thread that forked it ends (see process_runner.h).
  static absl::StatusOr<ProcessGroup> Start(const ChildSetup& setup);

  // Readable when the leader has ended.
  int pidfd() const { return pidfd_.get(); }
  void Signal(int signal) const;
  // Waits for the leader, which must have ended, lets the others have `grace` to end by themselves,
  // kills what is left, and answers the leader's exit code (128 + N for signal N).
  int Finish(std::chrono::milliseconds grace);

 private:
  ProcessGroup(pid_t leader, UniqueFd pidfd) : leader_(leader), pidfd_(std::move(pidfd)) {}

  pid_t leader_;
  UniqueFd pidfd_;
};

}  // namespace slipway::executor
