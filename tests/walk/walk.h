// A long history of simulated hosts and their controller: people deploy, break, roll back,
// reconfigure, cordon and remove hosts, machines crash, stop, restart and have full disks, and after
// every step it is checked that what nginx serves is what journals and store say, and that nothing
// is left over.
//
// Admission, store, decider, steps, journal, release store and nginx driver are the real ones; a
// crash discards them, an executor's in the middle of a step and the controller's between any two
// writes, and opens them again from what was on the disk. The same seed gives the same walk, but for
// what depends on the order of threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/walk/walked_controller.h"
#include "tests/walk/walked_host.h"

namespace slipway::testing {

// What goes wrong during one deployment: at the Nth outward effect of any of its hosts, 0 for never.
struct WalkFaults {
  int crash_at = 0;
  // The effect at which it crashes takes place.
  bool crash_after = false;
  int suspend_at = 0;
  int docker_away_at = 0;
  int docker_back_at = 0;
  // All containers stop with Docker, and are started again when it is back.
  bool docker_stops_containers = false;
  int nginx_restart_at = 0;
  // The container that does not serve yet ends.
  int candidate_dies_at = 0;
  // Nothing can be written any more, on any host and by the controller.
  int disk_full_at = 0;
  int disk_free_at = 0;
  // At the Nth turn of the controller.
  int cancel_at = 0;
  // Somebody rolls back on a host between two turns.
  int host_rollback_at = 0;
  // At the Nth step that is sent: what came of it is never known.
  int answer_lost_at = 0;
  // The controller dies at each moment before and after a write with this chance, in percent.
  int controller_dies = 0;
  // And at the Nth such moment.
  int controller_dies_at = 0;
  bool nginx_refuses = false;
  // It waits for a person before the first switch, who lets it go on or aborts it.
  bool hold_before_flip = false;

  // Nothing but deaths of our own programs: those must never be noticed.
  bool OursAlone() const {
    return docker_away_at == 0 && nginx_restart_at == 0 && !nginx_refuses && cancel_at == 0 &&
           host_rollback_at == 0 && candidate_dies_at == 0 && disk_full_at == 0 &&
           answer_lost_at == 0 && !hold_before_flip;
  }
};

class Walk {
 public:
  explicit Walk(uint64_t seed, int hosts = 1);
  ~Walk();

  struct Application {
    std::string name;
    pb::ApplicationSpec spec;
    // By host: the release that ought to serve; empty when none does.
    std::map<std::string, std::string> serving;
    // Hosts where the last deployment ended so that a person must look, or where the container was
    // killed: what serves there is not promised before the next success.
    std::set<std::string> attention;

    // A release ought to serve on this host.
    bool PromisedOn(const std::string& host) const {
      const auto found = serving.find(host);
      return found != serving.end() && !found->second.empty() && !attention.contains(host);
    }
  };

  // One thing that people or machines do, chosen at random, and the checks after it. False at the
  // first violation.
  bool Step();
  // The same by name, for histories that are told and not walked; CheckQuiet() is the caller's.
  // Deploys the application's specification as it stands, and returns the release's name.
  std::string Deploy(Application& app, const Program& program, const WalkFaults& faults);
  // Two applications at the same time.
  void DeployAll(const WalkFaults& faults);
  // A second deployment waits for the first.
  void DeployTwice(Application& app, const WalkFaults& faults);
  void RollBack(Application& app, const WalkFaults& faults);
  // True when it succeeded.
  bool RollBackOnHost(Application& app, size_t host = 0);
  void CrashInRollbackOnHost(Application& app, int effect, size_t host = 0);
  void RestartExecutor(size_t host = 0);
  // All containers of a host stop and are started again.
  void RestartDocker(size_t host = 0);
  void Cordon(size_t host);
  // It catches up.
  void Uncordon(size_t host, const WalkFaults& faults);
  // An older version, started by somebody's script, serves on the first slot's port.
  void RunOlderVersion(Application& app);
  void LetTimePass(std::chrono::minutes time);
  // The first step of a deployment alone; from several threads for different applications.
  absl::StatusOr<xpb::StepResult> Preflight(const Application& app);
  // Called before each outward effect, from whatever thread makes it.
  std::function<void(const std::string& effect)> on_effect;
  void CheckQuiet();

  Application& App(size_t index) { return applications_.at(index); }
  WalkedHost& Host(size_t index = 0) { return *hosts_.at(index); }
  // What requests to the application's site reach; nullptr when nobody listens there.
  const SimulatedContainer* Serving(const Application& app, size_t host = 0) const {
    return hosts_.at(host)->Serving(app.name);
  }
  SimulatedNginx& nginx() { return Host().nginx(); }
  SimulatedDocker& docker() { return Host().docker(); }
  executor::Steps& steps() { return Host().steps(); }
  executor::Journal& journal() { return Host().journal(); }
  controller::Store& store() { return controller_->store(); }
  // How the last deployment ended.
  const controller::DeploymentRecord& Last() const { return last_; }
  bool InOrder() const { return violations_.empty(); }
  // The violations, and the last steps before them.
  std::string Report() const;

 private:
  using Runs = std::vector<std::unique_ptr<ActiveRun>>;
  enum class Turn { kGoesOn, kEnded, kControllerDied };

  bool Gate(WalkedHost& host, const std::string& effect);
  void MeetFaults(WalkedHost& host, int now);
  static void FillDisk(bool full);
  int Pick(int count);
  bool Chance(int percent);
  Application& AnyApplication();
  size_t AnyHost();
  Application& ByName(const std::string& app);
  WalkedHost& HostNamed(const std::string& name);

  // Actions.
  void Act(Application& app);
  void DeployGood(Application& app);
  void Reconfigure(Application& app);
  void ReconfigureFleet(Application& app);
  void ChangeFleet(Application& app);
  void EditFile(Application& app);
  void KillContainer(Application& app);
  void RestartNginx(WalkedHost& host);
  void MendFiles(WalkedHost& host);
  void EndWarmth();
  void Crash(WalkedHost& host);
  WalkFaults SomeFaults();
  Program SomeProgram();
  void MakeSound();

  // Makes a release of the specification as it stands.
  std::string MakeRelease(Application& app, const Program& program);
  // Asks the admission, and remembers the deployment to judge it. Nothing when there is none.
  void Admit(Application& app, pb::DeploymentKind kind, const std::string& release,
             std::vector<std::string> hosts = {}, bool hold_before_flip = false);
  // Runs all that was admitted to its end, with the real decider.
  void RunAll(const WalkFaults& faults);
  Turn TakeTurn(ActiveRun& run);
  bool Record(controller::Transition transition);
  bool ControllerDies();
  void AskPeople(ActiveRun& run);
  void Send(ActiveRun& run);
  controller::RolloutInput Execute(const std::string& host, const controller::Dispatch& dispatch);
  void JudgeEnded();
  void Judge(Application& app, const controller::DeploymentRecord& state);

  // Checks.
  void CheckTraffic();
  void CheckTrafficOf(WalkedHost& host);
  void CheckStore();
  void CheckApplication(WalkedHost& host, const Application& app);
  void CheckContainers(WalkedHost& host, const Application& app, const SimulatedContainer& serving);
  void Violate(const std::string& what);
  void Note(const std::string& what);

  std::mt19937_64 random_;
  TemporaryFolder folder_;
  SkippingClock clock_;
  std::vector<std::unique_ptr<WalkedHost>> hosts_;
  std::unique_ptr<WalkedController> controller_;
  std::vector<Application> applications_;
  std::set<std::string> cordoned_;
  int last_release_ = 0;
  int last_transition_ = 0;
  controller::DeploymentRecord last_;
  // Application and id of what was admitted and not judged yet.
  std::vector<std::pair<std::string, std::string>> admitted_;

  // Host and application whose last deployment met a full disk: what came of a step may not have
  // been written down there, and its intent is open until the next deployment.
  std::set<std::pair<std::string, std::string>> unwritten_;

  // Of the action under way.
  WalkFaults faults_;
  std::atomic<int> effects_{0};
  int sent_ = 0;
  int writes_ = 0;
  // Where somebody rolled back meanwhile, by host and application: before its last look at that host
  // or after it, which is known to nginx alone.
  std::set<std::pair<std::string, std::string>> rolled_back_;

  std::vector<std::string> log_;
  std::vector<std::string> violations_;
};

}  // namespace slipway::testing
