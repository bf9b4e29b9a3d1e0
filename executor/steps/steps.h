// What each command does on this host, one function per step; the protocol is in docs/switch.md.
// Steps look before they act, so that any of them may be run again after a crash.
//
// Not thread-safe per application: Operations runs one at a time. Different applications run at
// once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "common/mutex.h"
#include "common/protos.h"
#include "executor/drivers/health.h"
#include "executor/drivers/nginx.h"
#include "executor/drivers/proc.h"
#include "executor/drivers/release_store.h"
#include "executor/drivers/static_site.h"
#include "executor/drivers/workload.h"
#include "executor/journal.h"
#include "executor/operations.h"
#include "executor/paths.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::executor {

struct HostSettings {
  // Where slots publish and nginx proves, IPv4.
  std::string address = "127.0.0.1";
  // Two proof ports per application are taken from here upwards.
  uint32_t first_proof_port = 18700;
  // Preflight fails below this much free space, in bytes.
  uint64_t least_free_bytes = uint64_t{256} << 20;
  std::string compose_version;
};

// Everything a step works with. All of it outlives Steps.
struct StepParts {
  Journal& journal;
  ReleaseStore& releases;
  // Of applications that run in containers; `site` is that of the others.
  Workload& workload;
  StaticSite& site;
  NginxDriver& nginx;
  HealthGate& health;
  Clock& clock;
  Paths paths;
  ProcReader proc;
  HostSettings settings;
};

// What came of a step, before it is put into the wire's form.
struct StepOutcome {
  absl::Status status;
  // One line for people.
  std::string summary;
  pb::Evidence evidence;
};

class Steps {
 public:
  explicit Steps(StepParts parts) : parts_(std::move(parts)) {}

  xpb::StepResult Run(const xpb::ExecuteRequest& request, const StepCall& call);

  // After a restart, before anything else is served: each switch that was interrupted is finished
  // or taken back, proven; one that a later switch has superseded is closed and nothing is done.
  void Recover();
  // How often it did which, since the start: finished, taken_back, superseded, or open, which is
  // left to the operation's next call.
  const std::map<std::string, uint64_t>& Recovered() const { return recovered_; }

  // Back to the warm slot, or else to the newest proven release that does not serve. `release` is
  // what serves then. A release is proven once a deployment of it was confirmed.
  xpb::StepResult RollBack(const std::string& app, const StepCall& call, std::string* release);

  // Stops the slot whose warm time is over, unless it serves. Answers what was stopped, empty when
  // nothing was.
  absl::StatusOr<std::vector<std::string>> EndWarmth(const std::string& app, pb::Slot slot);

  // Touches nothing that runs. With a manifest: also what that release's compose file means here.
  pb::HostPlan Plan(const xpb::PlanRequest& request);
  // Writes the placeholder of an application that was never deployed on this host, see
  // NginxDriver::PlacePlaceholder(). The caller makes sure that no operation of it runs.
  absl::StatusOr<PlacedFile> PlaceUpstream(const pb::ApplicationSpec& spec);
  // With the differences that the last Compare() has found.
  absl::StatusOr<xpb::ApplicationState> Inspect(const std::string& app);
  // Looks for what differs from what was deployed: files, nginx's own word, containers, images. What
  // was seen while something was being changed counts for nothing: `idle` is asked before and
  // after, and so are the facts. True when the answer is another one than the last time.
  absl::StatusOr<bool> Compare(const std::string& app, const std::function<bool()>& idle);

  absl::StatusOr<StagedRelease> LoadStaged(const std::string& app,
                                           const std::string& release) const;
  // With each slot's own port, see PortOfSlot().
  NginxSite SiteOf(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts) const;
  // The port that the slot's containers publish; for an empty slot the one that `spec` gives it.
  // A change of the specification does not move a slot that runs.
  uint32_t PortOfSlot(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                      pb::Slot slot) const;
  // The slot is that of the version that was taken over, which has not been stopped yet.
  bool HoldsAdopted(const xpb::ApplicationFacts& facts, pb::Slot slot) const;
  // Somebody listens on its port, in a container or not.
  bool AdoptedRuns(const xpb::ApplicationFacts& facts, Cancellation* cancellation) const;
  // By the kind of application.
  Workload& WorkloadOf(const pb::ApplicationSpec& spec) const;
  // What serves, by nginx's own word; of a static site by its link.
  absl::StatusOr<LoadedConfig> Loaded(const xpb::ApplicationFacts& facts) const;
  // Puts two free ports for the proof into the facts. Those that nginx has loaded stay; otherwise
  // the specification's are taken, or the facts' as long as they are free.
  absl::Status ChooseProofPorts(const pb::ApplicationSpec& spec,
                                xpb::ApplicationFacts& facts) const;

 private:
  StepOutcome Dispatch(const xpb::ExecuteRequest& request, const StepCall& call);

  // drift.cc
  absl::StatusOr<std::vector<pb::Difference>> Differences(const xpb::ApplicationFacts& facts);
  // plan.cc
  pb::HostPlan PlanSite(const xpb::PlanRequest& request);
  absl::Status PlanServices(const xpb::PlanRequest& request, pb::HostPlan& plan);
  // preflight.cc
  StepOutcome Preflight(const xpb::PreflightCommand& command, const StepCall& call);
  absl::Status CheckHost(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                         pb::PreflightEvidence& evidence) const;
  // Answers which slot serves.
  absl::StatusOr<pb::Slot> LookAtNginx(const pb::ApplicationSpec& spec,
                                       xpb::ApplicationFacts& facts,
                                       pb::PreflightEvidence& evidence);
  // placeholder.cc
  absl::StatusOr<PlacedFile> WritePlaceholder(xpb::ApplicationFacts& facts, const NginxSite& site);
  absl::Status ForgetPlaceholderElsewhere(xpb::ApplicationFacts& facts, const NginxSite& site);
  void LookAtSlots(const pb::ApplicationSpec& spec, const std::string& wanted,
                   xpb::ApplicationFacts& facts, pb::PreflightEvidence& evidence);
  // The release that the slot runs, ready to serve and kept warm; empty when it is not.
  std::string WarmRelease(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                          pb::Slot slot) const;
  absl::Status ReserveProofPorts(const pb::ApplicationSpec& spec, xpb::ApplicationFacts& facts);
  absl::Status CheckCandidatePort(const pb::ApplicationSpec& spec,
                                  const xpb::ApplicationFacts& facts, pb::Slot candidate);
  // prepare.cc
  StepOutcome Stage(const xpb::StageCommand& command, const StepCall& call);
  StepOutcome Build(const StagedRelease& release, const StepCall& call);
  StepOutcome Shared(const StagedRelease& release, const std::vector<std::string>& update,
                     const StepCall& call);
  StepOutcome Start(const StagedRelease& release, pb::Slot slot, const StepCall& call);
  StepOutcome Remove(const std::string& app, pb::Slot slot, const StepCall& call);
  StepOutcome Health(const StagedRelease& release, pb::Slot slot, const StepCall& call);
  StepOutcome Hook(const StagedRelease& release, const std::string& hook, const StepCall& call);
  // serve.cc
  StepOutcome Switch(const std::string& wanted, pb::Slot to, const StepCall& call);
  SwitchOutcome CarryOut(const xpb::SwitchIntent& intent, const xpb::ApplicationFacts& facts);
  SwitchOutcome Settle(const xpb::SwitchIntent& intent, const xpb::ApplicationFacts& facts);
  StepOutcome FinishSwitch(const std::string& app, const xpb::SwitchIntent& intent,
                           const SwitchOutcome& outcome);
  // Lets what serves now be found by the services' names. `release` is empty for the version that was
  // taken over.
  absl::Status MoveNames(const xpb::ApplicationFacts& facts, const std::string& release,
                         pb::Slot to);
  // NOT_FOUND when there was no file.
  absl::StatusOr<std::string> TextToGoBackTo(const xpb::ApplicationFacts& facts,
                                             const LoadedConfig& loaded,
                                             absl::StatusOr<std::string> on_disk) const;
  absl::StatusOr<xpb::SwitchIntent> PlanSwitch(const xpb::ApplicationFacts& facts,
                                               const std::string& release, pb::Slot to,
                                               const LoadedConfig& loaded);
  // Waits, not for long, while nginx has not loaded what this application had loaded last.
  absl::StatusOr<LoadedConfig> AwaitNginx(const xpb::ApplicationFacts& facts, const StepCall& call);
  // OK when the slot can be sent requests.
  absl::Status CheckTarget(const xpb::ApplicationFacts& facts, pb::Slot to, const StepCall& call);
  // What the release was made with; what serves when it is empty or not on this host.
  pb::ApplicationSpec SpecOf(const xpb::ApplicationFacts& facts, const std::string& release) const;
  SwitchRequest RequestOf(const xpb::SwitchIntent& intent,
                          const xpb::ApplicationFacts& facts) const;
  StepOutcome Bake(const StagedRelease& release, pb::Slot slot, const StepCall& call);
  // recover.cc
  // Returns what came of it, as Recovered() counts it.
  std::string RecoverSwitch(const xpb::Intent& intent, const xpb::ApplicationFacts& facts);
  void CloseIntent(const xpb::Intent& intent, const xpb::StepResult& result);
  void EndLocalRollback(const xpb::Intent& intent, absl::string_view outcome);
  // rollback.cc
  StepOutcome GoBackToProven(const std::string& app, const StepCall& call, std::string* release);
  StepOutcome GoBackToAdopted(const xpb::ApplicationFacts& facts, pb::Slot target, pb::Slot left,
                              const StepCall& call);
  absl::Status RemoveIdleCandidate(const std::string& app, const StepCall& call);
  // After the switch of a rollback: the slot it left is warm, or stopped; workers of `release`.
  absl::Status FinishRollback(const std::string& app, const std::string& release, pb::Slot left,
                              const StepCall& call);
  // finish.cc
  StepOutcome Drain(const StagedRelease& release, pb::Slot slot, const StepCall& call);
  StepOutcome Retire(const StagedRelease& release, pb::Slot slot, const StepCall& call);
  StepOutcome Workers(const StagedRelease& release, const StepCall& call);
  absl::Status KeepMounted(const std::string& app, const xpb::ApplicationFacts& facts,
                           std::set<std::string>& kept, pb::PruneEvidence& evidence);
  StepOutcome Prune(const std::string& app, const xpb::PruneCommand& command, const StepCall& call);
  // Confirm() of the version that was taken over.
  absl::Status ConfirmAdopted(const xpb::ApplicationFacts& facts, pb::Slot slot,
                              const StepCall& call, pb::ConfirmEvidence& evidence);
  absl::Status NoteProven(const std::string& app, const std::string& release);
  StepOutcome Confirm(const std::string& app, const xpb::ConfirmCommand& command,
                      const StepCall& call);

  // Since the epoch, for what is kept over restarts.
  int64_t WallSeconds() const {
    return std::chrono::system_clock::to_time_t(parts_.clock.WallNow());
  }
  absl::Status KeepWhatSitesUse(const xpb::ApplicationFacts& facts, pb::Slot slot);
  absl::Status RefuseIfServing(const std::string& app, pb::Slot slot);
  // Stops the container that was taken over, when it has the slot's port, and forgets it. Returns
  // its id, or an empty string. The caller commits the facts.
  absl::StatusOr<std::string> StopAdopted(xpb::ApplicationFacts& facts, pb::Slot slot,
                                          const StepCall& call);
  // Before a slot is stopped: what began there while it served may end, also when it was left in a
  // hurry, by a local rollback or an undone deployment. At once when somebody has waited already.
  absl::Status LetFinish(const std::string& app, pb::Slot slot, const StepCall& call);
  absl::StatusOr<std::vector<std::string>> StopSlot(const std::string& app, pb::Slot slot,
                                                    const StepCall& call);

  // Asks until Docker answers, for as long as a restart of it takes, and returns the last answer.
  template <typename Ask>
  auto AwaitDocker(const StepCall& call, const Ask& ask) {
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    const auto end = std::min(parts_.clock.Now() + seconds(20), call.deadline);
    for (auto pause = milliseconds(50);; pause = std::min(pause * 2, milliseconds(1000))) {
      auto answer = ask();
      const bool cancelled = call.cancellation != nullptr && call.cancellation->IsCancelled();
      if (!absl::IsUnavailable(answer.status()) || cancelled || parts_.clock.Now() >= end) {
        return answer;
      }
      parts_.clock.SleepFor(pause);
    }
  }

  StepParts parts_;
  // Held from the choice of proof ports to their commit.
  Mutex proof_ports_mutex_;
  Mutex differences_mutex_;
  // By application, as last compared.
  std::map<std::string, std::vector<pb::Difference>> differences_
      SLIPWAY_GUARDED_BY(differences_mutex_);
  // Written by Recover() alone.
  std::map<std::string, uint64_t> recovered_ = {
      {"finished", 0}, {"taken_back", 0}, {"superseded", 0}, {"open", 0}};
};

CallContext ToContext(const StepCall& call);

}  // namespace slipway::executor
