#include "executor/drivers/workload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway::executor {
namespace {

absl::Status NeedsContainers(absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, "NO_CONTAINERS",
               absl::StrCat("this kind of application has no containers, and so no ", what));
}

}  // namespace

std::string Workload::AwaitDeath(const std::string&, pb::Slot, Cancellation& stop) {
  stop.WaitUntilCancelled();
  return "";
}

absl::StatusOr<pb::BuildEvidence> Workload::Build(const StagedRelease&, const CallContext&) {
  return pb::BuildEvidence();
}
absl::Status Workload::CheckAllowances(const StagedRelease&) { return absl::OkStatus(); }
absl::Status Workload::PlanServices(const StagedRelease&, pb::HostPlan&) {
  return absl::OkStatus();
}
absl::StatusOr<std::map<std::string, std::string>> Workload::MountedReleases(
    const std::string&, const std::vector<std::string>&) {
  return std::map<std::string, std::string>();
}
absl::StatusOr<pb::SharedEvidence> Workload::EnsureShared(const StagedRelease&,
                                                          const std::vector<std::string>&,
                                                          const StagedRelease*,
                                                          const CallContext&) {
  return pb::SharedEvidence();
}
absl::Status Workload::AnswerToNames(const StagedRelease&, pb::Slot) { return absl::OkStatus(); }
absl::Status Workload::AdoptedAnswers(const StagedRelease&, const std::string&, pb::Slot) {
  return absl::OkStatus();
}
absl::Status Workload::AdoptedLeavesNames(const StagedRelease&, const std::string&) {
  return absl::OkStatus();
}
absl::StatusOr<ObservedContainer> Workload::OwnerOfPort(uint32_t) {
  return absl::NotFoundError("no container publishes a port");
}
absl::Status Workload::CheckProjects(const pb::ApplicationSpec&) { return absl::OkStatus(); }
absl::StatusOr<pb::WorkersEvidence> Workload::ReplaceWorkers(const StagedRelease&,
                                                             const StagedRelease*,
                                                             const CallContext&) {
  return pb::WorkersEvidence();
}
absl::StatusOr<pb::PruneEvidence> Workload::Forget(const std::string&,
                                                   const std::vector<std::string>&,
                                                   const std::vector<std::string>&) {
  return pb::PruneEvidence();
}

absl::Status Workload::StopContainer(const std::string&, const CallContext&) {
  return NeedsContainers("container to stop");
}
absl::StatusOr<pb::HookEvidence> Workload::RunHook(const StagedRelease&, const pb::Hook&,
                                                   const std::string&, const CallContext&) {
  return NeedsContainers("hooks");
}
absl::StatusOr<int> Workload::RunInContainer(const std::string&, const std::vector<std::string>&,
                                             std::chrono::nanoseconds) {
  return NeedsContainers("command to run in one");
}
std::vector<std::string> Workload::Tail(const std::string&, int) { return {}; }
absl::Status Workload::StreamLogs(
    const std::string&, pb::Slot, const std::string&, bool, int,
    const std::function<bool(absl::string_view, absl::string_view)>&) {
  return NeedsContainers("output of their own: requests are in nginx's access log");
}

bool ObservedSlot::AllRunning() const {
  return !containers.empty() &&
         std::all_of(containers.begin(), containers.end(),
                     [](const ObservedContainer& container) { return container.running; });
}

}  // namespace slipway::executor
