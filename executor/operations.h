// Runs steps one at a time per application, each exactly as often as the journal says: fences old
// epochs, answers repeated calls from the record, attaches to what runs already, and lets a step go
// on when its caller has gone.
//
// Thread-safe. After a crash an interrupted switch is settled by Steps::Recover() before this
// serves; any other interrupted step is run again when its operation is asked for again, because
// steps look before they act.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/protos.h"
#include "executor/journal.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::executor {

// What a step is given beside its command.
struct StepCall {
  xpb::Operation operation;
  std::chrono::steady_clock::time_point deadline;
  Cancellation* cancellation = nullptr;
  std::function<void(absl::string_view line)> on_line;
};

// Runs one command to its end. It may be run again after a crash.
using StepFunction = std::function<xpb::StepResult(const xpb::ExecuteRequest&, const StepCall&)>;
// The word for a command: `preflight`, `switch`.
std::string StepWord(const xpb::ExecuteRequest& request);
// Of RunLocally(): nobody asks for such an operation again after a crash.
bool IsLocalOperation(absl::string_view operation_id);

class Operations {
 public:
  // Deadlines are judged on `clock`. `changed` is called after each operation, from its thread.
  Operations(Journal& journal, Clock& clock, StepFunction step, std::function<void()> changed);
  // Suspend()s what runs and waits for its end.
  ~Operations();

  // For the end of this process. Cancels what runs, and ends every call that waits for it with
  // UNAVAILABLE. A step that fails from then on has no recorded result: its intent stays open, and
  // the same operation, asked for again after the restart, continues it.
  void Suspend();

  // Answers when the step has ended; log lines from the time of the call on go to `on_line`, on the
  // calling thread, which answers false to leave (CANCELLED) while the step goes on. Errors as
  // executor.proto says.
  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                          const std::function<bool(absl::string_view)>& on_line);
  // True when it runs.
  bool Cancel(const std::string& app, const std::string& operation_id);
  // The running operation's id, or empty.
  std::string Running(const std::string& app) const;

  // Runs `work` for the application in place of operations: with an epoch of its own above all
  // seen, and with an intent in the journal that a restart finds when the work was cut short.
  // FAILED_PRECONDITION while an operation runs.
  absl::StatusOr<xpb::StepResult> RunLocally(
      const std::string& app, const std::function<xpb::StepResult(const StepCall&)>& work);

  // Does housekeeping for the application while no operation runs; one that comes meanwhile waits
  // for its end. False, and nothing done, when one runs.
  bool WhileIdle(const std::string& app, const std::function<void()>& work);

  // Since the start: epochs refused, and steps run again that a crash had interrupted.
  uint64_t StaleEpochs() const;
  uint64_t RunAgain() const;

 private:
  struct Run {
    std::string operation_id;
    std::string arguments_hash;
    Cancellation cancellation;
    std::thread thread;
    // The rest under Operations::mutex_.
    std::vector<std::string> lines;
    bool done = false;
    xpb::StepResult result;
    absl::Status failure;
  };

  void AwaitHousekeeping(const std::string& app) SLIPWAY_REQUIRES(mutex_);
  absl::Status Admit(const xpb::ExecuteRequest& request, const std::string& arguments_hash)
      SLIPWAY_REQUIRES(mutex_);
  // UNAVAILABLE when the system has no thread for it.
  absl::StatusOr<std::shared_ptr<Run>> Start(const xpb::ExecuteRequest& request,
                                             const std::string& arguments_hash)
      SLIPWAY_REQUIRES(mutex_);
  void RunStep(const xpb::ExecuteRequest& request, const std::shared_ptr<Run>& run);
  absl::Status RecordResult(const xpb::Operation& operation, const xpb::StepResult& result);
  absl::StatusOr<xpb::StepResult> Follow(const std::shared_ptr<Run>& run,
                                         const std::function<bool(absl::string_view)>& on_line);
  void JoinFinished() SLIPWAY_REQUIRES(mutex_);

  Journal& journal_;
  Clock& clock_;
  const StepFunction step_;
  const std::function<void()> changed_;
  mutable Mutex mutex_;
  CondVar progress_;
  std::map<std::string, std::shared_ptr<Run>> running_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Run>> finished_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<std::string> housekeeping_ SLIPWAY_GUARDED_BY(mutex_);
  bool suspended_ SLIPWAY_GUARDED_BY(mutex_) = false;
  uint64_t stale_epochs_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t run_again_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::executor
