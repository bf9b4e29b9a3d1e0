// Which deployments begin: asked by the API, decided here, run by the engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "controller/fleet/target.h"
#include "controller/rollout/attendance.h"
#include "controller/rollout/engine.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct Wish {
  std::string app;
  // Empty: for a rollback, the previous good one.
  std::string release;
  pb::DeploymentKind kind = pb::DEPLOYMENT_KIND_DEPLOY;
  bool force = false;
  // Shared services, see CreateDeploymentRequest.
  std::vector<std::string> update_services;
  // It stops before the first switch.
  bool hold_before_flip = false;
  // Goes on without hosts that do not answer.
  bool skip_offline = false;
  // Nobody waits for its end, so it cannot be abandoned.
  bool detached = false;
  // For DEPLOYMENT_KIND_RECONCILE: these alone.
  std::vector<std::string> hosts;
  Actor actor;
};

// Who takes part in a deployment, and who does not.
struct Roster {
  // Canaries first.
  std::vector<std::string> hosts;
  uint32_t canaries = 0;
  std::vector<LeftOut> left_out;
  // Of `hosts`, in their order.
  std::vector<xpb::ApplicationState> states;
};

struct Admitted {
  // Nothing when every host was just observed on this release.
  std::optional<DeploymentRecord> deployment;
};

// The release that served before `present`: a rollback takes away everything above what it went to, so that the next one
// does not go back to the broken release. `served` is newest first. Empty when there is none.
std::string PreviousRelease(const std::vector<DeploymentRecord>& served,
                            const std::string& present);

// Safe from several threads.
class Admission {
 public:
  using HostLookup = std::function<std::shared_ptr<ExecutorClient>(const std::string& host)>;

  // `targets` gives hosts that are being connected to a moment for it.
  Admission(Store& store, Engine& engine, Attendance& attendance, HostLookup hosts,
            TargetLookup targets, Clock& clock)
      : store_(store),
        engine_(engine),
        attendance_(attendance),
        hosts_(std::move(hosts)),
        targets_(std::move(targets)),
        clock_(clock) {}

  // The release that the wish means; for a rollback to the version that was taken over one that is not
  // in the store yet. FAILED_PRECONDITION (reason NO_PREVIOUS_RELEASE).
  absl::StatusOr<ReleaseRecord> ReleaseFor(const Wish& wish);
  // Starts it, or puts it into the queue while another one runs.
  absl::StatusOr<Admitted> Admit(const Wish& wish, const Request& request);
  // FAILED_PRECONDITION (reason CANCEL_TOO_LATE) when it has ended, or can only be rolled back.
  absl::StatusOr<DeploymentRecord> Cancel(const std::string& app, const std::string& id,
                                          const Request& request, const Actor& actor);
  // Lets a paused deployment go on. FAILED_PRECONDITION (reason NOT_PAUSED).
  absl::StatusOr<DeploymentRecord> Resume(const std::string& app, const std::string& id,
                                          const Request& request, const Actor& actor);
  // Starts the deployment that waits, if its turn has come: call it whenever a deployment of the application has ended.
  absl::Status StartQueued(const std::string& app);
  // Whatever waits and whose turn has come; for the start of the controller, as is ExpectAll().
  absl::Status StartAllQueued();
  // What must not go on without its client gives that one a moment to come back.
  absl::Status ExpectAll();
  // Cancels a deployment whose client is gone, unless it waits for a person or is beyond that.
  void Abandon(const std::string& app, const std::string& id);
  std::vector<Target> Targets(const pb::ApplicationSpec& spec) { return targets_(spec); }
  // Asks every host of the spec. FAILED_PRECONDITION when nobody could take part (reason NO_HOSTS), or when some do not answer
  // and may not be skipped (HOSTS_OFFLINE).
  absl::StatusOr<Roster> Muster(const pb::ApplicationSpec& spec, const Wish& wish);

 private:
  // The record of the version that was taken over, not stored yet. FAILED_PRECONDITION (reason
  // NO_PREVIOUS_RELEASE) unless it is warm on every one of these hosts.
  absl::StatusOr<ReleaseRecord> AdoptedRelease(const std::string& app,
                                               const std::vector<xpb::ApplicationState>& states);

  using Answers = std::vector<absl::StatusOr<xpb::ApplicationState>>;

  // Makes sure that a deployment that was admitted before runs, or waits in the queue.
  absl::Status Revive(const DeploymentRecord& deployment);
  // What the hosts say now, in their order.
  Answers Inspect(const std::string& app, const std::vector<std::string>& hosts);

  Store& store_;
  Engine& engine_;
  Attendance& attendance_;
  const HostLookup hosts_;
  const TargetLookup targets_;
  Clock& clock_;
};

}  // namespace slipway::controller
