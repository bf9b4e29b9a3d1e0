// The history, held against tampering by whoever has the database: its head is signed and kept by every host, so that a chain
// that was written anew from some row on no longer fits what the hosts remember.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "controller/access/certificates.h"
#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::controller {

// Safe from several threads.
class Audit {
 public:
  Audit(Store& store, Certificates& certificates, Fleet& fleet, Clock& clock)
      : store_(store), certificates_(certificates), fleet_(fleet), clock_(clock) {}

  // The present end of the chain, signed by the authority.
  absl::StatusOr<xpb::HistoryHead> SignedHead();
  // Walks the chain and asks every host for the head that it keeps.
  absl::StatusOr<pb::VerifyHistoryResponse> Verify();
  // With a head that a host keeps; empty when the chain of the store still goes through it.
  std::string ProblemWith(const xpb::HistoryHead& kept);

 private:
  Store& store_;
  Certificates& certificates_;
  Fleet& fleet_;
  Clock& clock_;
};

}  // namespace slipway::controller
