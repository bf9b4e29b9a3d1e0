// A host as the executor contract describes it, in memory: slots, what is loaded, a fence, and results that are remembered
// by operation id. Tests script its failures and ask it what was really done. Safe from several threads.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "common/protos.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::controller {

class SimulatedHost {
 public:
  explicit SimulatedHost(std::string name) : name_(std::move(name)) {}

  // As ExecutorService.Execute: runs, or repeats the recorded result, or refuses a stale epoch.
  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request);
  xpb::ApplicationState Inspect(const std::string& app);

  // The step (`health`, `undo:start`...) fails from now on.
  void Fail(const std::string& step, pb::FailureReason reason, bool restored = true);
  void Succeed(const std::string& step);
  // As `slipway-executor rollback` would: takes a higher epoch and goes back.
  void RollBackLocally();
  // Serves this release on blue.
  void Serve(const std::string& release);
  // Something differs from what was deployed, until a deployment has ended here.
  void Differ(const pb::Difference& difference);
  // An older version that somebody else started, which serves on blue's port.
  void Adopt();

  // Those that it was told anything of.
  std::vector<std::string> Applications();
  std::string ActiveRelease();
  pb::Slot ActiveSlot();
  uint64_t Epoch();
  uint64_t Lead();
  bool Runs(pb::Slot slot);
  // Steps that had an effect, in order, each with its operation id's step word.
  std::vector<std::string> Deeds();
  // What must never happen and did; empty when all is well.
  std::vector<std::string> Violations();
  std::string LastEnvFile();

 private:
  xpb::StepResult Perform(const xpb::ExecuteRequest& request, const std::string& step)
      SLIPWAY_REQUIRES(mutex_);
  void Preflight(const std::string& release, pb::PreflightEvidence& seen) SLIPWAY_REQUIRES(mutex_);
  void Switch(const xpb::SwitchCommand& command, xpb::StepResult& result) SLIPWAY_REQUIRES(mutex_);

  const std::string name_;
  Mutex mutex_;
  std::vector<pb::Difference> differences_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<std::string> applications_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t epoch_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t lead_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t generation_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint32_t adopted_port_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  pb::Slot active_ SLIPWAY_GUARDED_BY(mutex_) = pb::SLOT_UNSPECIFIED;
  // Releases that have served: a local rollback goes to no other.
  std::set<std::string> proven_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<pb::Slot, std::string> slots_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<std::string, std::pair<pb::FailureReason, bool>> failures_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<std::string, std::pair<std::string, xpb::StepResult>> results_
      SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::string> deeds_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::string> violations_ SLIPWAY_GUARDED_BY(mutex_);
  std::string env_file_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
