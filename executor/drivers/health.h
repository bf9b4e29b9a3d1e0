// The health gate: is what runs in a slot ready to serve, and, after the switch, does it stay so.
// Probes are asked of the slot's own port, never through nginx.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "common/cancellation.h"
#include "common/clock.h"
#include "common/protos.h"
#include "executor/drivers/health_probe.h"
#include "executor/drivers/workload.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {

struct HealthRequest {
  std::string app;
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  // With its defaults filled in (common/spec.h).
  pb::HealthSpec spec;
  std::string address = "127.0.0.1";
  // The slot's.
  uint32_t port = 0;
  // The step's own deadline; the earlier of it and spec.timeout counts. Default: spec.timeout.
  Clock::Monotonic deadline = Clock::Monotonic::max();
  Cancellation* cancellation = nullptr;
};

struct HealthOutcome {
  // OK; UNHEALTHY with the last failure; CONTAINER_DIED; PORT_TAKEN when another container owns the
  // port; CANCELLED.
  absl::Status status;
  // Filled in whatever the status.
  pb::HealthEvidence evidence;
};

struct BakeOutcome {
  // OK; BAKE after spec.successes failures in a row; CONTAINER_DIED; CANCELLED.
  absl::Status status;
  pb::BakeEvidence evidence;
};

class HealthGate {
 public:
  HealthGate(Workload& workload, Clock& clock) : workload_(workload), clock_(clock) {}

  // Until spec.successes probes in a row were answered, spanning at least spec.stable. First pauses
  // are 25 ms, then they grow to spec.interval. Each round looks at the slot's containers first:
  // one that died or was restarted ends the gate at once.
  HealthOutcome Wait(const HealthRequest& request);

  // Probes for the whole time; a container that dies, or spec.successes failures in a row, end it
  // early. While Docker gives no answer, HTTP and TCP probes decide alone, and the others decide
  // nothing: Watch() goes on until Docker answers again, or to the request's deadline.
  BakeOutcome Watch(const HealthRequest& request, std::chrono::nanoseconds duration);

 private:
  Workload& workload_;
  Clock& clock_;
};

}  // namespace slipway::executor
