// Brings hosts to what their application ought to serve: on a person's word, and by itself where the application's policy says so.
// What it does is a deployment of kind RECONCILE, with those hosts alone.
//
// By itself it tries a host once for each deployment, and again when the host has been away since: what fails is a person's to look
// at, and stays visible until it is mended.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "controller/fleet/convergence.h"
#include "controller/rollout/admission.h"
#include "controller/store/store.h"

namespace slipway::controller {

// Safe from several threads.
class Reconciler {
 public:
  Reconciler(Store& store, Convergence& convergence, Admission& admission);
  // Waits for the look that is under way.
  ~Reconciler();
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // From now on it looks by itself: whatever had to be resumed has been.
  void Start();
  // The host has come back, and may be tried again.
  void Returned(const std::string& host);
  // Something has changed: a deployment has ended, a host was uncordoned, has drifted, or got other labels.
  void Look();

  // Of `hosts`, or of every host that can be reached and is behind or differs. Nothing when there is none.
  // FAILED_PRECONDITION (reason BUSY) while a deployment is under way or waits; NOTHING_SERVES before the first one; INVALID_ARGUMENT
  // (OTHER_HOST) for a host that the application is not meant for.
  absl::StatusOr<std::optional<DeploymentRecord>> Reconcile(const std::string& app,
                                                            const std::vector<std::string>& hosts,
                                                            const Request& request,
                                                            const Actor& actor);

 private:
  void Run();
  void LookAtAll();
  absl::Status LookAt(const std::string& app);
  absl::StatusOr<std::optional<DeploymentRecord>> Admit(const Desired& desired,
                                                        const std::vector<std::string>& hosts,
                                                        const Request& request, const Actor& actor);

  Store& store_;
  Convergence& convergence_;
  Admission& admission_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool look_ SLIPWAY_GUARDED_BY(mutex_) = true;
  // (application, host): the deployment whose release it was tried to bring there, or the differences that were to be mended.
  std::map<std::pair<std::string, std::string>, std::string> tried_ SLIPWAY_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace slipway::controller
