// The plan: what a deployment would change, found out without changing anything.
#pragma once

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

 private:
  absl::Status CompareWithServing(const ReleaseRecord& release, const std::string& serving,
                                  pb::Plan& plan);

  Store& store_;
  const Applications& applications_;
  const Releases& releases_;
  Admission& admission_;
  const Admission::HostLookup hosts_;
};

}  // namespace slipway::controller
