// The Workload seam: the containers (or files) of one application on this host. The compose driver
// and the static site are its implementations; tests record. Nothing here knows of epochs or the
// journal.
//
// What is not abstract needs services and containers. A kind of application that has none need not
// implement it: what there is nothing to do for is done at once, what only a container can do is
// refused with FAILED_PRECONDITION.
//
// Everything that an implementation creates has a deterministic name and labels (see
// executor/paths.h), so that Observe() finds it without any memory, also after a crash.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"
#include "common/protos.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/deployments.pb.h"
#include "slipway/v1/evidence.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway::executor {

// A release that stands unpacked on this host.
struct StagedRelease {
  std::string app;
  std::string release;
  pb::ApplicationSpec spec;
  // For Prepare(): what its compose file may do, see compose_policy.h.
  std::vector<std::string> allowances = {};
  // Only looked at, by a plan: values of the env file stay out of everything that is generated.
  bool planned = false;
};

// How a long call is bounded, stopped and heard.
struct CallContext {
  std::chrono::steady_clock::time_point deadline;
  Cancellation* cancellation = nullptr;
  std::function<void(absl::string_view line)> on_line;
};

struct ObservedContainer {
  std::string id;
  std::string service;
  std::string release;
  bool running = false;
  int restart_count = 0;
  // Of one that has ended, where Docker says it.
  std::optional<int> exit_code;
  // starting, healthy, unhealthy; empty without a health check.
  std::string health;
  // When it last started, as Docker says it; another value means that it was restarted.
  std::string started_at;
};

struct ObservedSlot {
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  std::vector<ObservedContainer> containers;

  bool AllRunning() const;
};

class Workload {
 public:
  virtual ~Workload() = default;

  // Turns the unpacked release's definition into what the calls below need; idempotent. Wrong
  // input: INVALID_COMPOSE_FILE. When it returns, the env file stands in the release, byte for
  // byte.
  virtual absl::Status Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                               absl::string_view env_file, const CallContext& call) = 0;
  // POLICY when what Prepare() found is no longer allowed by `release.allowances`.
  virtual absl::Status CheckAllowances(const StagedRelease& release);
  virtual absl::StatusOr<pb::BuildEvidence> Build(const StagedRelease& release,
                                                  const CallContext& call);
  // What a deployment of the prepared release would do with each service: fills in the plan's
  // services, state and notes.
  virtual absl::Status PlanServices(const StagedRelease& release, pb::HostPlan& plan);
  // Starts the shared services that are absent and waits for their health checks. Of the changed
  // ones it replaces those that `update` names, and leaves the others alone; when that fails, the
  // previous release's definition (null: there is none) is put back.
  virtual absl::StatusOr<pb::SharedEvidence> EnsureShared(const StagedRelease& release,
                                                          const std::vector<std::string>& update,
                                                          const StagedRelease* previous,
                                                          const CallContext& call);
  // Starts the release in the slot; a slot that already runs it is left alone, one that runs
  // another is replaced.
  virtual absl::StatusOr<pb::StartEvidence> StartSlot(const StagedRelease& release, pb::Slot slot,
                                                      const CallContext& call) = 0;
  // Lets the slot answer to the services' names for shared services and workers; the other one no
  // longer does.
  virtual absl::Status AnswerToNames(const StagedRelease& release, pb::Slot slot);
  // The same for a container that was taken over and stands for `slot`: it answers to the names, and
  // the other slot, which runs `release`, no longer does.
  virtual absl::Status AdoptedAnswers(const StagedRelease& release, const std::string& container,
                                      pb::Slot slot);
  // Such a container is no longer found by the names of `release`'s services. Connections to it end.
  virtual absl::Status AdoptedLeavesNames(const StagedRelease& release,
                                          const std::string& container);
  // Stops and removes the slot's containers; answers their ids. A slot that is not there is fine.
  virtual absl::StatusOr<std::vector<std::string>> RemoveSlot(const std::string& app, pb::Slot slot,
                                                              const CallContext& call) = 0;
  // What differs, where the release serves from the slot, from how the calls above left it: of the
  // slot, of the shared services, and of the workers when `workers` is set. Touches nothing.
  virtual absl::StatusOr<std::vector<pb::Difference>> Differences(const StagedRelease& release,
                                                                  pb::Slot slot, bool workers) = 0;
  // `cancellation` (may be null) gives up a look that Docker does not answer.
  virtual absl::StatusOr<ObservedSlot> Observe(const std::string& app, pb::Slot slot,
                                               Cancellation* cancellation) = 0;
  // Waits until a container of the slot ends and says which and how, as `service web ended, exit
  // code 3`; empty when told to stop. Here: knows of no events, and waits to be told.
  virtual std::string AwaitDeath(const std::string& app, pb::Slot slot, Cancellation& stop);
  // The container that publishes the port, by whatever project; NOT_FOUND when Docker knows of
  // none.
  virtual absl::StatusOr<ObservedContainer> OwnerOfPort(uint32_t port);
  // PREFLIGHT when containers of another application stand in a project that would be this one's.
  virtual absl::Status CheckProjects(const pb::ApplicationSpec& spec);
  // Stops one container of an adopted installation.
  virtual absl::Status StopContainer(const std::string& id, const CallContext& call);

  // Stops the workers of other releases, then starts these; never two at once. When one does not
  // start, the previous release's is started again.
  virtual absl::StatusOr<pb::WorkersEvidence> ReplaceWorkers(const StagedRelease& release,
                                                             const StagedRelease* previous,
                                                             const CallContext& call);
  // Runs the hook in a container of its own and waits for its end. The container is the record:
  // with the same key it is never started a second time, and its exit code is answered again. It
  // stays until a hook with another key runs.
  virtual absl::StatusOr<pb::HookEvidence> RunHook(const StagedRelease& release,
                                                   const pb::Hook& hook, const std::string& key,
                                                   const CallContext& call);
  // Exit code of a command in a running container.
  virtual absl::StatusOr<int> RunInContainer(const std::string& container,
                                             const std::vector<std::string>& argv,
                                             std::chrono::nanoseconds timeout);
  // The last lines of a container's output, oldest first.
  virtual std::vector<std::string> Tail(const std::string& container, int lines);
  // Until the sink answers false, or the output ends when `follow` is not set.
  virtual absl::Status StreamLogs(
      const std::string& app, pb::Slot slot, const std::string& service, bool follow, int tail,
      const std::function<bool(absl::string_view service, absl::string_view line)>& sink);
  // Those of the releases of which a container, whoever made it and whether it runs or not, has files
  // mounted, and which container.
  virtual absl::StatusOr<std::map<std::string, std::string>> MountedReleases(
      const std::string& app, const std::vector<std::string>& releases);
  // Removes what belongs to these releases and to no other: generated files and images.
  virtual absl::StatusOr<pb::PruneEvidence> Forget(const std::string& app,
                                                   const std::vector<std::string>& releases,
                                                   const std::vector<std::string>& kept);
};

}  // namespace slipway::executor
