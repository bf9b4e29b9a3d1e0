// The history, held against tampering by whoever has the database: its head is signed and kept by every host, so that a chain
// that was written anew from some row on no longer fits what the hosts remember.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "controller/access/certificates.h"
#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/store/v1/records.pb.h"
#include "slipway/v1/deployments.pb.h"

namespace slipway::controller {

// Says in the store, signed, that what came after this row of the history was lost when a backup was restored: hosts may remember
// it. With a row in the history of its own. Unsigned, and so of no effect on what hosts remember, without a built-in authority.
absl::Status RecordRestore(Store& store, const Certificates& certificates,
                           const HistoryRecord& last, Time now, const Actor& actor,
                           const std::string& backup);

// Safe from several threads.
class Audit {
 public:
  Audit(Store& store, Certificates& certificates, Fleet& fleet, Clock& clock)
      : store_(store), certificates_(certificates), fleet_(fleet), clock_(clock) {}

  // The present end of the chain, signed by the authority.
  absl::StatusOr<xpb::HistoryHead> SignedHead();
  // Walks the chain and asks every host for the head that it keeps.
  absl::StatusOr<pb::VerifyHistoryResponse> Verify();
  // With a head that a host keeps; empty when the chain of the store still goes through it, or when it was lost by a restore.
  std::string ProblemWith(const xpb::HistoryHead& kept);
  // It is from between a backup and the time when that was restored.
  bool WasLostByRestore(const xpb::HistoryHead& kept);

 private:
  // Nothing when there was none, or somebody else has written it.
  std::optional<store::v1::RestoreRecord> Restored();

  Store& store_;
  Certificates& certificates_;
  Fleet& fleet_;
  Clock& clock_;
};

}  // namespace slipway::controller
