// The Workload seam on compose and the Docker Engine: compose creates containers, for that is its
// trade; the engine is asked for everything that takes it a millisecond. How one file becomes
// several projects: compose_cut.h.
//
// No state in memory: what is there is found by labels. Thread-safe for different applications.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "executor/drivers/compose_cli.h"
#include "executor/drivers/compose_cut.h"
#include "executor/drivers/compose_findings.h"
#include "executor/drivers/docker_engine.h"
#include "executor/drivers/env_redactor.h"
#include "executor/drivers/env_tokens.h"
#include "executor/drivers/release_store.h"
#include "executor/drivers/workload.h"
#include "executor/paths.h"

namespace slipway::executor {

class ComposeWorkload final : public Workload {
 public:
  // Slots publish on `address`; containers are marked with `executor_id`, see executor_id.h.
  ComposeWorkload(ComposeCli compose, DockerEngine& engine, ReleaseStore& releases, Paths paths,
                  std::string address, std::string executor_id)
      : compose_(std::move(compose)),
        engine_(engine),
        releases_(releases),
        paths_(std::move(paths)),
        address_(std::move(address)),
        executor_id_(std::move(executor_id)) {}

  absl::Status Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                       absl::string_view env_file, const CallContext& call) override;
  absl::Status CheckAllowances(const StagedRelease& release) override;
  absl::StatusOr<pb::BuildEvidence> Build(const StagedRelease& release,
                                          const CallContext& call) override;
  absl::Status PlanServices(const StagedRelease& release, pb::HostPlan& plan) override;
  absl::StatusOr<pb::SharedEvidence> EnsureShared(const StagedRelease& release,
                                                  const std::vector<std::string>& update,
                                                  const StagedRelease* previous,
                                                  const CallContext& call) override;
  absl::StatusOr<pb::StartEvidence> StartSlot(const StagedRelease& release, pb::Slot slot,
                                              const CallContext& call) override;
  absl::Status AnswerToNames(const StagedRelease& release, pb::Slot slot) override;
  absl::Status AdoptedAnswers(const StagedRelease& release, const std::string& container,
                              pb::Slot slot) override;
  absl::Status AdoptedLeavesNames(const StagedRelease& release,
                                  const std::string& container) override;
  absl::StatusOr<std::vector<std::string>> RemoveSlot(const std::string& app, pb::Slot slot,
                                                      const CallContext& call) override;
  absl::StatusOr<std::vector<pb::Difference>> Differences(const StagedRelease& release,
                                                          pb::Slot slot, bool workers) override;
  absl::StatusOr<ObservedSlot> Observe(const std::string& app, pb::Slot slot,
                                       Cancellation* cancellation) override;
  std::string AwaitDeath(const std::string& app, pb::Slot slot, Cancellation& stop) override;
  absl::StatusOr<ObservedContainer> OwnerOfPort(uint32_t port) override;
  absl::Status CheckProjects(const pb::ApplicationSpec& spec) override;
  absl::Status StopContainer(const std::string& id, const CallContext& call) override;
  absl::StatusOr<pb::WorkersEvidence> ReplaceWorkers(const StagedRelease& release,
                                                     const StagedRelease* previous,
                                                     const CallContext& call) override;
  absl::StatusOr<pb::HookEvidence> RunHook(const StagedRelease& release, const pb::Hook& hook,
                                           const std::string& key,
                                           const CallContext& call) override;
  absl::StatusOr<int> RunInContainer(const std::string& container,
                                     const std::vector<std::string>& argv,
                                     std::chrono::nanoseconds timeout) override;
  std::vector<std::string> Tail(const std::string& container, int lines) override;
  absl::Status StreamLogs(
      const std::string& app, pb::Slot slot, const std::string& service, bool follow, int tail,
      const std::function<bool(absl::string_view service, absl::string_view line)>& sink) override;
  absl::StatusOr<std::map<std::string, std::string>> MountedReleases(
      const std::string& app, const std::vector<std::string>& releases) override;
  absl::StatusOr<pb::PruneEvidence> Forget(const std::string& app,
                                           const std::vector<std::string>& releases,
                                           const std::vector<std::string>& kept) override;

 private:
  // compose_prepare.cc
  absl::Status PrepareWith(const StagedRelease& release, const pb::Manifest& manifest,
                           absl::string_view env_file, const Environment& environment,
                           const EnvTokens& tokens, const EnvRedactor& redactor,
                           const CallContext& call);
  // What the host has of the file already, and with it the verdict over all findings.
  absl::Status CheckHostOf(const StagedRelease& release, const nlohmann::json& document,
                           const std::set<std::string>& named, ComposeFindings& findings);
  // For texts about the release; reads the env file that Prepare() kept.
  absl::StatusOr<EnvRedactor> RedactorOf(const StagedRelease& release) const;
  absl::StatusOr<nlohmann::json> Normalise(const StagedRelease& release,
                                           const pb::Manifest& manifest,
                                           const std::string& clean_env, uint32_t port,
                                           const CallContext& call);
  absl::StatusOr<CutResult> LoadCut(const std::string& app, const std::string& release) const;
  ComposeCli::Project ProjectFor(const StagedRelease& release, const std::string& name,
                                 const std::string& file) const;
  absl::StatusOr<std::string> BuildImage(const StagedRelease& release, const BuildPlan& plan,
                                         const CallContext& call);

  struct Death {
    std::string container;
    // As `service web ended, exit code 3`.
    std::string what;
  };
  // Waits until a container of the project ends; nothing when told to stop.
  std::optional<Death> AwaitDeathIn(const std::string& project, Cancellation& stop);

  // All at once, each with its own grace.
  absl::Status StopAll(const std::vector<DockerContainer>& containers,
                       const nlohmann::json* file = nullptr);

  absl::StatusOr<std::vector<std::string>> RemoveSlotContainers(const std::string& app,
                                                                pb::Slot slot);

  // compose_names.cc
  absl::Status LeaveFront(const std::string& app, pb::Slot slot);

  // compose_networks.cc
  absl::Status JoinNetworks(const std::vector<DockerContainer>& containers,
                            const StagedRelease& release, const CutResult& cut);
  // Of the slot, and the application's when none of its containers is left.
  absl::Status RemoveNetworks(const std::string& app, pb::Slot slot);
  // PREFLIGHT when the Engine has no addresses left for the networks that the release needs and that
  // are not there.
  absl::Status CheckAddresses(const StagedRelease& release, const CutResult& cut);

  // compose_owner.cc
  bool IsForeign(const DockerContainer& container) const;
  // PREFLIGHT when another executor made one of them.
  absl::Status RefuseForeign(const std::vector<DockerContainer>& containers) const;
  // Engine's List() and InspectAll(), refused as above.
  absl::StatusOr<std::vector<DockerContainer>> ListOwn(const DockerLabels& labels);
  absl::StatusOr<std::vector<DockerContainer>> InspectOwn(const DockerLabels& labels);

  // compose_plan.cc
  absl::Status FindServices(const StagedRelease& release, pb::HostPlan& plan);
  absl::Status NoteAnonymousVolumes(const CutResult& cut, pb::HostPlan& plan);

  // compose_storage.cc
  // State directories of the installation that the project belongs to, by path in the release: those
  // on record, then those that its containers have mounted.
  absl::StatusOr<std::map<std::string, std::string>> AdoptedState(const StagedRelease& release);
  absl::Status RecordAdopted(const std::string& app, const std::vector<PlannedBind>& binds) const;
  // What the release's own containers mount beside its tree.
  absl::Status MakeReleaseBinds(const StagedRelease& release, const pb::Manifest& manifest,
                                absl::string_view env_file, const CutResult& cut) const;
  // What outlives releases: state directories, and what is mounted over there.
  absl::Status MakeLastingBinds(const StagedRelease& release, const CutResult& cut) const;
  // Brings what these shared services mount to what the release has.
  absl::Status RefreshShared(const StagedRelease& release, const CutResult& cut,
                             const std::vector<std::string>& services) const;
  absl::StatusOr<pb::Manifest> ManifestOf(const StagedRelease& release) const;

  // compose_shared.cc
  absl::Status EnsureResources(const StagedRelease& release, const CutResult& cut);
  absl::Status UpdateShared(const StagedRelease& release, const std::vector<std::string>& services,
                            const StagedRelease* previous, const CallContext& call);
  absl::Status AwaitHealthy(const std::string& project, const std::set<std::string>& services,
                            const CallContext& call);

  // compose_workers.cc
  absl::StatusOr<std::vector<DockerContainer>> RunningWorkers(const StagedRelease& release);
  absl::Status StartWorkers(const StagedRelease& release, const CallContext& call);
  // Starts the services of the shared project that `absent` names and that are not there.
  absl::Status StartShared(const StagedRelease& release, const CutResult& cut,
                           const std::vector<std::string>& absent, const CallContext& call);
  absl::Status JoinFront(const StagedRelease& release, const CutResult& cut);
  // compose_jobs.cc
  // Runs the release's jobs that have not ended well yet.
  absl::Status RunJobs(const StagedRelease& release, const CutResult& cut,
                       pb::SharedEvidence& evidence, const CallContext& call);
  absl::StatusOr<DockerContainer> CreateJobContainer(const StagedRelease& release,
                                                     const CutResult& cut, const std::string& job,
                                                     const CallContext& call);
  // Starts the container unless it was started before, hands on its lines, and waits for its end. `what`
  // names it when it is stopped for the call's end.
  absl::StatusOr<int> RunToEnd(const DockerContainer& container, absl::string_view what,
                               const CallContext& call);
  absl::StatusOr<DockerContainer> CreateHookContainer(const StagedRelease& release,
                                                      const pb::Hook& hook, const std::string& key,
                                                      const CallContext& call);

  ComposeCli compose_;
  DockerEngine& engine_;
  ReleaseStore& releases_;
  const Paths paths_;
  const std::string address_;
  const std::string executor_id_;
};

// How long a container may take to end: as its compose file says, else as Docker was told, else 10 s.
// `file` is a document that may define the service, for one that an adopted installation started; may
// be null.
std::chrono::seconds GraceOf(const DockerContainer& container,
                             const nlohmann::json* file = nullptr);

// True when somebody asks for the serving slot's names on the front network: shared services, workers,
// jobs or hooks.
bool UsesFrontNetwork(const CutResult& cut);

ObservedContainer ToObserved(const DockerContainer& container);

// The first mount of which the source is one of the paths or lies in one; nothing when there is none. A
// directory above them does not count: who has mounted the whole host to watch it needs none of them.
std::optional<DockerMount> FindMounted(const std::vector<DockerMount>& mounts,
                                       const std::vector<std::filesystem::path>& paths);

}  // namespace slipway::executor
