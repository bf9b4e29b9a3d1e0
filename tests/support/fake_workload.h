// A Workload whose containers are whatever the test says, and which records nothing it is not asked
// about.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "executor/drivers/workload.h"

namespace slipway::testing {

class FakeWorkload : public executor::Workload {
 public:
  using Slot = executor::ObservedSlot;
  using Call = executor::CallContext;
  using Release = executor::StagedRelease;
  using Container = executor::ObservedContainer;

  // What Observe() answers; called each time.
  std::function<absl::StatusOr<Slot>()> observe = [this] {
    return Slot{pb::SLOT_BLUE, containers};
  };
  std::vector<Container> containers;
  absl::StatusOr<Container> port_owner = absl::NotFoundError("nobody");
  std::function<absl::StatusOr<int>(const std::vector<std::string>&)> run_in_container =
      [](const std::vector<std::string>&) { return 0; };
  std::vector<pb::Difference> differences;
  std::vector<std::string> tail = {"the last words"};

  absl::StatusOr<Slot> Observe(const std::string&, pb::Slot, Cancellation*) override {
    return observe();
  }
  absl::StatusOr<Container> OwnerOfPort(uint32_t) override { return port_owner; }
  absl::StatusOr<int> RunInContainer(const std::string&, const std::vector<std::string>& argv,
                                     std::chrono::nanoseconds) override {
    return run_in_container(argv);
  }
  std::vector<std::string> Tail(const std::string&, int) override { return tail; }

  absl::Status Prepare(const Release&, const pb::Manifest&, absl::string_view,
                       const Call&) override {
    return Unused();
  }
  absl::StatusOr<pb::BuildEvidence> Build(const Release&, const Call&) override { return Unused(); }
  absl::Status PlanServices(const Release&, pb::HostPlan&) override { return Unused(); }
  absl::StatusOr<pb::SharedEvidence> EnsureShared(const Release&, const std::vector<std::string>&,
                                                  const Release*, const Call&) override {
    return Unused();
  }
  absl::StatusOr<pb::StartEvidence> StartSlot(const Release&, pb::Slot, const Call&) override {
    return Unused();
  }
  absl::StatusOr<std::vector<pb::Difference>> Differences(const Release&, pb::Slot, bool) override {
    return differences;
  }
  absl::Status AnswerToNames(const Release&, pb::Slot) override { return Unused(); }
  absl::StatusOr<std::vector<std::string>> RemoveSlot(const std::string&, pb::Slot,
                                                      const Call&) override {
    return Unused();
  }
  absl::Status CheckProjects(const pb::ApplicationSpec&) override { return absl::OkStatus(); }
  absl::Status StopContainer(const std::string&, const Call&) override { return Unused(); }
  absl::StatusOr<pb::WorkersEvidence> ReplaceWorkers(const Release&, const Release*,
                                                     const Call&) override {
    return Unused();
  }
  absl::StatusOr<pb::HookEvidence> RunHook(const Release&, const pb::Hook&, const std::string&,
                                           const Call&) override {
    return Unused();
  }
  absl::Status StreamLogs(
      const std::string&, pb::Slot, const std::string&, bool, int,
      const std::function<bool(absl::string_view, absl::string_view)>&) override {
    return Unused();
  }
  absl::StatusOr<pb::PruneEvidence> Forget(const std::string&, const std::vector<std::string>&,
                                           const std::vector<std::string>&) override {
    return Unused();
  }

 private:
  static absl::Status Unused() { return absl::UnimplementedError("not part of this test"); }
};

}  // namespace slipway::testing
