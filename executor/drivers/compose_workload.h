// The Workload seam on compose and the Docker Engine: compose creates containers, for that is its
// trade; the engine is asked for everything that takes it a millisecond. How one file becomes
// several projects: compose_cut.h.
//
// No state in memory: what is there is found by labels. Thread-safe for different applications.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "executor/drivers/compose_cli.h"
#include "executor/drivers/compose_cut.h"
#include "executor/drivers/docker_engine.h"
#include "executor/drivers/release_store.h"
#include "executor/drivers/workload.h"
#include "executor/paths.h"

namespace slipway::executor {

class ComposeWorkload final : public Workload {
 public:
  // Slots publish on `address`.
  ComposeWorkload(ComposeCli compose, DockerEngine& engine, ReleaseStore& releases, Paths paths,
                  std::string address)
      : compose_(std::move(compose)),
        engine_(engine),
        releases_(releases),
        paths_(std::move(paths)),
        address_(std::move(address)) {}

  absl::Status Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                       absl::string_view env_file, const CallContext& call) override;
  absl::StatusOr<pb::BuildEvidence> Build(const StagedRelease& release,
                                          const CallContext& call) override;
  absl::StatusOr<std::vector<pb::ServicePlan>> PlanServices(const StagedRelease& release) override;
  absl::StatusOr<pb::SharedEvidence> EnsureShared(const StagedRelease& release,
                                                  const std::vector<std::string>& update,
                                                  const StagedRelease* previous,
                                                  const CallContext& call) override;
  absl::StatusOr<pb::StartEvidence> StartSlot(const StagedRelease& release, pb::Slot slot,
                                              const CallContext& call) override;
  absl::Status AnswerToNames(const StagedRelease& release, pb::Slot slot) override;
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
  absl::StatusOr<pb::PruneEvidence> Forget(const std::string& app,
                                           const std::vector<std::string>& releases,
                                           const std::vector<std::string>& kept) override;

 private:
  // compose_prepare.cc
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

  absl::Status JoinNetworks(const std::vector<DockerContainer>& containers, const CutResult& cut);

  // compose_shared.cc
  absl::Status EnsureResources(const StagedRelease& release, const CutResult& cut);
  absl::Status UpdateShared(const StagedRelease& release, const std::vector<std::string>& services,
                            const StagedRelease* previous, const CallContext& call);
  absl::Status AwaitHealthy(const std::string& project, const std::set<std::string>& services,
                            const CallContext& call);

  // compose_workers.cc
  absl::StatusOr<std::vector<DockerContainer>> RunningWorkers(const StagedRelease& release);
  absl::Status StartWorkers(const StagedRelease& release, const CallContext& call);
  absl::StatusOr<DockerContainer> CreateHookContainer(const StagedRelease& release,
                                                      const pb::Hook& hook, const std::string& key,
                                                      const CallContext& call);

  ComposeCli compose_;
  DockerEngine& engine_;
  ReleaseStore& releases_;
  const Paths paths_;
  const std::string address_;
};

ObservedContainer ToObserved(const DockerContainer& container);

// A shared service that runs from another definition than the release's. Not known, hence false, of
// an adopted installation's.
bool IsChanged(const DockerContainer& container, const CutResult& cut);

}  // namespace slipway::executor
