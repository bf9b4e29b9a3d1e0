// Invitations: a secret of 15 minutes that makes one executor known, once.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/clock.h"
#include "controller/store/store.h"

namespace slipway::controller {

// Safe from several threads.
class Enrolments {
 public:
  Enrolments(Store& store, Clock& clock) : store_(store), clock_(clock) {}

  struct Invitation {
    std::string secret;
    Time expire_time;
  };
  absl::StatusOr<Invitation> Create(const std::string& host, const Actor& actor);
  // The host that it was for; of two who try, one gets an answer. UNAUTHENTICATED (reason BAD_ENROLMENT).
  absl::StatusOr<std::string> Redeem(absl::string_view secret, const std::string& origin);

 private:
  Store& store_;
  Clock& clock_;
};

}  // namespace slipway::controller
