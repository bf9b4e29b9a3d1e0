// The ExecutorClient seam: how the rollout engine and the API reach one host. The real one speaks gRPC; tests record.
// Every call has a deadline of its own; UNAVAILABLE means that nothing is known of the outcome.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cancellation.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::controller {

class ExecutorClient {
 public:
  using LogSink = std::function<void(const v1::LogLine&)>;

  virtual ~ExecutorClient() = default;

  // Runs a step to its end. Repeat it with the same operation id after UNAVAILABLE: the executor attaches or answers with
  // what it recorded. ABORTED with reason STALE_EPOCH when another owner has taken over.
  virtual absl::StatusOr<slipway::executor::v1::StepResult> Execute(
      const slipway::executor::v1::ExecuteRequest& request, const LogSink& log) = 0;
  virtual absl::Status Cancel(const std::string& app, const std::string& operation_id) = 0;

  // Sends what the host lacks of a release's blobs.
  virtual absl::Status SendRelease(const std::string& manifest_digest) = 0;

  virtual absl::StatusOr<slipway::executor::v1::InspectResponse> Inspect(const std::string& app) = 0;
  virtual absl::StatusOr<v1::HostPlan> Plan(const slipway::executor::v1::PlanRequest& request) = 0;
  virtual absl::StatusOr<slipway::executor::v1::CheckResponse> Check(
      const slipway::executor::v1::CheckRequest& request) = 0;
  // Until the sink answers false or the stream ends.
  virtual absl::Status StreamLogs(
      const slipway::executor::v1::StreamLogsRequest& request,
      const std::function<bool(const slipway::executor::v1::StreamLogsResponse&)>& sink) = 0;
};

}  // namespace slipway::controller
