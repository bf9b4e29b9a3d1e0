// What was reported of commits: did their checks pass?
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "controller/store/store.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway::controller {

// Safe from several threads.
class Checks {
 public:
  Checks(Store& store, Clock& clock) : store_(store), clock_(clock) {}

  // The newest report of a name counts. INVALID_ARGUMENT for a name or commit that is none.
  absl::StatusOr<pb::Check> Report(const std::string& app, pb::Check check, const Actor& actor);
  absl::StatusOr<std::vector<pb::Check>> List(const std::string& app, const std::string& commit);
  // FAILED_PRECONDITION (reason CHECKS_MISSING) that names those that failed or were not reported.
  absl::Status RequirePassed(const pb::PolicySpec& policy, const std::string& app,
                             const std::string& commit);

 private:
  Store& store_;
  Clock& clock_;
};

}  // namespace slipway::controller
