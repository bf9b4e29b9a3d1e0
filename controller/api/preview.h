// The plan: what a deployment would change, found out without changing anything.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "controller/catalog/releases.h"
#include "controller/rollout/admission.h"

namespace slipway::controller {

// Safe from several threads.
class Preview {
 public:
  Preview(Store& store, const Applications& applications, const Releases& releases,
          Admission& admission, Admission::HostLookup hosts)
      : store_(store),
        applications_(applications),
        releases_(releases),
        admission_(admission),
        hosts_(std::move(hosts)) {}

  // A host that does not answer is in the plan with that as its problem.
  absl::StatusOr<pb::Plan> Of(const Wish& wish);
  // Of a deployment of a release that is not made yet. INVALID_ARGUMENT as ApplyApplication would be.
  absl::StatusOr<pb::Plan> Of(const ReleaseDraft& draft, const pb::ApplicationSpec& spec,
                              const HostLabels& known_hosts, bool skip_offline);

 private:
  absl::StatusOr<pb::Plan> Compose(const ReleaseRecord& release, const pb::ApplicationSpec& spec,
                                   pb::DeploymentKind kind, bool skip_offline);
  // What the hosts say of it.
  void AskHosts(const xpb::PlanRequest& request, bool skip_offline, pb::Plan& plan);
  absl::StatusOr<pb::HostPlan> Ask(const xpb::PlanRequest& request, const std::string& host);
  absl::Status CompareWithServing(const ReleaseRecord& release, const std::string& serving,
                                  pb::Plan& plan);

  Store& store_;
  const Applications& applications_;
  const Releases& releases_;
  Admission& admission_;
  const Admission::HostLookup hosts_;
};

}  // namespace slipway::controller
