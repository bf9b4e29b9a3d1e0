// A long history of one simulated host: people deploy, break, roll back and reconfigure, machines
// crash, stop and restart, and after every step it is checked that what nginx serves is what the
// journal says, and that nothing is left over.
//
// The decider, the steps, the journal, the release store and the nginx driver are the real ones; a
// crash discards them in the middle of a step and opens them again from the bytes that were on the
// disk. The same seed gives the same walk, but for what depends on the order of threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/rollout/decide.h"
#include "executor/drivers/health.h"
#include "executor/journal.h"
#include "executor/operations.h"
#include "executor/steps/steps.h"
#include "tests/support/temporary_folder.h"
#include "tests/walk/simulated_docker.h"
#include "tests/walk/simulated_nginx.h"

namespace slipway::testing {

// The machine's clock, but for the time that was slept or skipped.
class SkippingClock final : public Clock {
 public:
  Monotonic Now() override { return SystemClock().Now() + skipped(); }
  Wall WallNow() override {
    return SystemClock().WallNow() + std::chrono::duration_cast<Wall::duration>(skipped());
  }
  void SleepFor(std::chrono::nanoseconds time) override { skipped_ += time.count(); }
  bool WaitFor(std::chrono::nanoseconds time, Cancellation* cancellation) override {
    SleepFor(time);
    return cancellation != nullptr && cancellation->IsCancelled();
  }

 private:
  std::chrono::nanoseconds skipped() const { return std::chrono::nanoseconds(skipped_.load()); }

  std::atomic<int64_t> skipped_{0};
};

// What goes wrong during one deployment: at the Nth outward effect, 0 for never.
struct WalkFaults {
  int crash_at = 0;
  // The effect at which it crashes takes place.
  bool crash_after = false;
  int suspend_at = 0;
  int docker_away_at = 0;
  int docker_back_at = 0;
  int nginx_restart_at = 0;
  // The container that does not serve yet ends.
  int candidate_dies_at = 0;
  int cancel_at = 0;
  // Somebody rolls back on the host between two steps.
  int host_rollback_at = 0;
  bool controller_restarts = false;
  bool nginx_refuses = false;

  // Nothing but deaths of our own programs: those must never be noticed.
  bool OursAlone() const {
    return docker_away_at == 0 && nginx_restart_at == 0 && !nginx_refuses && cancel_at == 0 &&
           host_rollback_at == 0 && candidate_dies_at == 0;
  }
};

class Walk {
 public:
  explicit Walk(uint64_t seed);
  ~Walk();

  struct Application {
    std::string name;
    pb::ApplicationSpec spec;
    // The specification that each release was made with.
    std::map<std::string, pb::ApplicationSpec> specs;
    std::vector<std::string> served;
    // The release that ought to serve; empty when none does.
    std::string serving;
    uint64_t epoch = 0;
    // Its last deployment ended so that a person must look, or its container was killed: what
    // serves is not promised before the next success.
    bool attention = false;
  };

  // One thing that people or machines do, chosen at random, and the checks after it. False at the
  // first violation.
  bool Step();
  // The same by name, for histories that are told and not walked; CheckQuiet() is the caller's.
  // Deploys the application's specification as it stands, and returns the release's name.
  std::string Deploy(Application& app, const Program& program, const WalkFaults& faults);
  void RollBack(Application& app, const WalkFaults& faults);
  // True when it succeeded.
  bool RollBackOnHost(Application& app);
  void CrashInRollbackOnHost(Application& app, int effect);
  void RestartExecutor();
  // An older version, started by somebody's script, serves on the first slot's port.
  void RunOlderVersion(Application& app);
  void LetTimePass(std::chrono::minutes time);
  // The first step of a deployment alone; from several threads for different applications.
  absl::StatusOr<xpb::StepResult> Preflight(const Application& app);
  // Called before each outward effect, from whatever thread makes it.
  std::function<void(const std::string& effect)> on_effect;
  void CheckQuiet();

  Application& App(size_t index) { return applications_.at(index); }
  // What requests to the application's site reach; nullptr when nobody listens there.
  const SimulatedContainer* Serving(const Application& app) const {
    return docker_.OnPort(nginx_.PortFor(app.name));
  }
  SimulatedNginx& nginx() { return nginx_; }
  SimulatedDocker& docker() { return docker_; }
  executor::Steps& steps() { return *steps_; }
  executor::Journal& journal() { return *journal_; }
  // How the last deployment ended.
  const controller::DeploymentRecord& Last() const { return last_; }
  bool InOrder() const { return violations_.empty(); }
  // The violations, and the last steps before them.
  std::string Report() const;

 private:
  // The executor, from start to death.
  void Boot();
  void Crash();
  void Snapshot();
  void RestoreSnapshot();

  bool Gate(const std::string& effect);
  int Pick(int count);
  bool Chance(int percent);
  Application& AnyApplication();

  // Actions.
  void Reconfigure(Application& app);
  void EditFile(Application& app);
  void KillContainer(Application& app);
  void RestartNginx();
  void MendFiles();
  void EndWarmth();
  WalkFaults SomeFaults();
  Program SomeProgram();

  // Runs one deployment with the real decider to its end.
  void Run(Application& app, controller::DeploymentRecord state, const WalkFaults& faults);
  controller::RolloutInput Execute(const controller::Dispatch& dispatch);
  void Judge(Application& app, const controller::DeploymentRecord& state, const WalkFaults& faults);

  // Checks.
  void CheckTraffic();
  void CheckApplication(const Application& app);
  void Violate(const std::string& what);
  void Note(const std::string& what);

  std::mt19937_64 random_;
  TemporaryFolder folder_;
  SkippingClock clock_;
  std::string address_;
  executor::Paths paths_;
  SimulatedNginx nginx_;
  SimulatedDocker docker_;
  std::string manifest_digest_;

  std::unique_ptr<executor::Journal> journal_;
  std::unique_ptr<executor::ReleaseStore> releases_;
  std::unique_ptr<executor::StaticSite> site_;
  std::unique_ptr<executor::NginxDriver> driver_;
  std::unique_ptr<executor::HealthGate> health_;
  std::unique_ptr<executor::Steps> steps_;
  std::unique_ptr<executor::Operations> operations_;

  std::vector<Application> applications_;
  int last_release_ = 0;
  int last_deployment_ = 0;
  controller::DeploymentRecord last_;

  // Of the action under way.
  WalkFaults faults_;
  std::atomic<int> effects_{0};
  bool dead_ = false;
  bool suspended_ = false;
  std::map<std::string, std::string> snapshot_;

  std::vector<std::string> log_;
  std::vector<std::string> violations_;
};

}  // namespace slipway::testing
