// Which deployments begin: asked by the API, decided here, run by the engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
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
  Actor actor;
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

  Admission(Store& store, Engine& engine, HostLookup hosts, Clock& clock)
      : store_(store), engine_(engine), hosts_(std::move(hosts)), clock_(clock) {}

  // The release that the wish means. FAILED_PRECONDITION (reason NO_PREVIOUS_RELEASE).
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
  // Whatever waits and whose turn has come; for the start of the controller.
  absl::Status StartAllQueued();
  // What the hosts of a spec say now; those that do not answer are left out.
  std::vector<xpb::ApplicationState> Inspect(const pb::ApplicationSpec& spec);

 private:
  Store& store_;
  Engine& engine_;
  const HostLookup hosts_;
  Clock& clock_;
};

}  // namespace slipway::controller
