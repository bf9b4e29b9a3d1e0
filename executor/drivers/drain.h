// Waiting for the slot that served before: until nothing of nginx can reach it any more, or the
// deadline.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/cancellation.h"
#include "common/protos.h"
#include "executor/drivers/proc.h"

#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {

struct DrainRequest {
  // SwitchOutcome::old_workers. Those that have ended meanwhile, or whose number another process
  // has now, count as gone.
  std::vector<ProcessId> old_workers;
  // Of the old slot.
  std::string address = "127.0.0.1";
  uint32_t port = 0;
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);
  Cancellation* cancellation = nullptr;
};

// Drained: none of the old workers is left *and* no connection to the old port is ESTABLISHED. Both
// are needed: a client may have connected to an old worker and not spoken yet (no connection to the
// port, but one to come), and somebody else's reload may have taken the worker away from the list.
// The deadline is a result too, with what is left counted. CANCELLED, or INTERNAL when /proc cannot
// be read.
absl::StatusOr<pb::DrainEvidence> Drain(const ProcReader& proc, const DrainRequest& request);

}  // namespace slipway::executor
