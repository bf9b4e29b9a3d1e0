// One look at a slot: are its containers the same and alive, is the port theirs, does the probe
// succeed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/struct.pb.h>

#include "common/cancellation.h"
#include "common/protos.h"
#include "executor/drivers/http_client.h"
#include "executor/drivers/workload.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::executor {

struct ProbeResult {
  bool success = false;
  // What was seen instead of a success, and the body that came, at most 2 KiB.
  std::string failure;
  std::string body;
  // Docker gave no answer, so nothing was learned about the slot.
  bool inconclusive = false;
};

// True when each key of `wanted` is in the JSON object with an equal value, objects compared the
// same way and everything else exactly. False for what is not JSON.
bool JsonContains(absl::string_view body, const google::protobuf::Struct& wanted);

// An HTTP answer against the spec; `failure` says the first thing that is wrong.
ProbeResult JudgeHttp(const HttpResponse& response, const pb::HttpProbe& wanted);

// Probes one slot again and again. Remembers how its containers were when it was made.
class SlotProbe {
 public:
  SlotProbe(Workload& workload, std::string app, pb::Slot slot, pb::HealthSpec spec,
            std::string address, uint32_t port, Cancellation* cancellation);

  // CONTAINER_DIED when a container that was there is gone, has stopped or was restarted; START
  // when there is none at all.
  absl::Status CheckAlive();
  // PORT_TAKEN when a container that is not of the slot publishes the port. NOT_FOUND while none
  // does.
  absl::Status CheckPortOwner();
  ProbeResult Probe();
  // True when the probe itself is a question to Docker.
  bool NeedsDocker() const;
  // Of the container that died, or else of the first one.
  std::vector<std::string> Tail();

 private:
  ProbeResult ProbeHttp();
  ProbeResult ProbeTcp();
  ProbeResult ProbeCommand();
  ProbeResult ProbeDocker();
  absl::Status Compare(const ObservedContainer& before, const ObservedSlot& now);

  Workload& workload_;
  const std::string app_;
  const pb::Slot slot_;
  const pb::HealthSpec spec_;
  const std::string address_;
  const uint32_t port_;
  Cancellation* const cancellation_;
  std::optional<ObservedSlot> first_;
  ObservedSlot last_;
  std::string dead_;
};

}  // namespace slipway::executor
