// The ExecutorClient seam: how the rollout engine and the API reach one host. The real one speaks gRPC; tests record.
// Every call has a deadline of its own; UNAVAILABLE means that nothing is known of the outcome.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"
#include "common/protos.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::controller {

class ExecutorClient {
 public:
  using LogSink = std::function<void(const pb::LogLine&)>;

  virtual ~ExecutorClient() = default;

  // Runs a step to its end. Repeat it with the same operation id after UNAVAILABLE: the executor attaches or answers with
  // what it recorded. ABORTED with reason STALE_EPOCH when another owner has taken over.
  virtual absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                                  const LogSink& log) = 0;
  // NOT_FOUND when no such operation runs on the host.
  virtual absl::Status Cancel(const std::string& app, const std::string& operation_id) = 0;

  // Sends what the host lacks of a release's blobs.
  virtual absl::Status SendRelease(const std::string& manifest_digest) = 0;

  // `compare`: the host compares what runs and serves with what was deployed, first.
  virtual absl::StatusOr<xpb::InspectResponse> Inspect(const std::string& app, bool compare) = 0;
  virtual absl::StatusOr<pb::HostPlan> Plan(const xpb::PlanRequest& request) = 0;
  virtual absl::StatusOr<xpb::CheckResponse> Check(const xpb::CheckRequest& request) = 0;
  // UNIMPLEMENTED from a host whose executor is too old to know of it.
  virtual absl::StatusOr<xpb::PlaceUpstreamResponse> PlaceUpstream(
      const xpb::PlaceUpstreamRequest& request) = 0;
  // Until the sink answers false or the stream ends.
  virtual absl::Status StreamLogs(
      const xpb::StreamLogsRequest& request,
      const std::function<bool(const xpb::StreamLogsResponse&)>& sink) = 0;

  // Abandons the calls under way and all later ones: they return CANCELLED. The host goes on with what it does.
  virtual void Shutdown() = 0;
};

}  // namespace slipway::controller
