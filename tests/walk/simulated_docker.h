// The Workload seam on containers in memory: what runs where, on which port, from which release.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "executor/drivers/workload.h"
#include "tests/walk/simulated_nginx.h"

namespace slipway::testing {

// What the program in a release does.
struct Program {
  bool starts = true;
  bool healthy = true;
  bool dies_when_it_serves = false;
  int hook_exit_code = 0;
};

struct SimulatedContainer {
  std::string id;
  std::string app;
  // slot, shared, worker, hook or adopted
  std::string role;
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  std::string release;
  uint32_t port = 0;
  bool running = true;
  int starts = 1;
  // Of a hook: the key of its run.
  std::string key;
  // Docker starts it again.
  bool starts_again = false;
  // Its program ended for no reason of ours.
  bool died = false;
};

class SimulatedDocker final : public executor::Workload {
 public:
  using Release = executor::StagedRelease;
  using Call = executor::CallContext;

  // `serves` says whether requests reach the port.
  SimulatedDocker(EffectGate gate, std::function<bool(const std::string& app, uint32_t)> serves)
      : gate_(std::move(gate)), serves_(std::move(serves)) {}

  std::map<std::string, Program> programs;
  std::vector<SimulatedContainer> containers;
  // The slot that each application's names lead to.
  std::map<std::string, pb::Slot> named;
  // The daemon is down; containers go on.
  bool away = false;

  const SimulatedContainer* OnPort(uint32_t port) const;
  // As a person with the docker command does.
  void Run(SimulatedContainer container);
  void Kill(uint32_t port);
  // The daemon ends, and with it all containers; those are started again when it is back.
  void StopAll();
  void ComeBack();

  absl::Status Prepare(const Release&, const pb::Manifest&, absl::string_view,
                       const Call&) override;
  absl::StatusOr<pb::BuildEvidence> Build(const Release& release, const Call& call) override;
  absl::StatusOr<std::map<std::string, std::string>> MountedReleases(
      const std::string& app, const std::vector<std::string>& releases) override;
  absl::StatusOr<pb::SharedEvidence> EnsureShared(const Release& release,
                                                  const std::vector<std::string>& update,
                                                  const Release* previous,
                                                  const Call& call) override;
  absl::StatusOr<pb::StartEvidence> StartSlot(const Release& release, pb::Slot slot,
                                              const Call& call) override;
  absl::Status AnswerToNames(const Release& release, pb::Slot slot) override;
  absl::StatusOr<std::vector<std::string>> RemoveSlot(const std::string& app, pb::Slot slot,
                                                      const Call& call) override;
  absl::StatusOr<std::vector<pb::Difference>> Differences(const Release& release, pb::Slot slot,
                                                          bool workers) override;
  absl::StatusOr<executor::ObservedSlot> Observe(const std::string& app, pb::Slot slot,
                                                 Cancellation* cancellation) override;
  absl::StatusOr<executor::ObservedContainer> OwnerOfPort(uint32_t port) override;
  absl::Status CheckProjects(const pb::ApplicationSpec& spec) override;
  absl::Status StopContainer(const std::string& id, const Call& call) override;
  absl::StatusOr<pb::WorkersEvidence> ReplaceWorkers(const Release& release,
                                                     const Release* previous,
                                                     const Call& call) override;
  absl::StatusOr<pb::HookEvidence> RunHook(const Release& release, const pb::Hook& hook,
                                           const std::string& key, const Call& call) override;
  absl::StatusOr<pb::PruneEvidence> Forget(const std::string& app,
                                           const std::vector<std::string>& releases,
                                           const std::vector<std::string>& kept) override;

 private:
  // Asks the gate; UNAVAILABLE when the daemon gives no answer.
  absl::Status Ask(const std::string& what);
  executor::ObservedContainer ToObserved(const SimulatedContainer& container) const;
  std::string NextId();

  const EffectGate gate_;
  const std::function<bool(const std::string& app, uint32_t)> serves_;
  int last_id_ = 0;
};

}  // namespace slipway::testing
