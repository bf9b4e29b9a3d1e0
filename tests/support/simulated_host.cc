#include "tests/support/simulated_host.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/adopted_release.h"
#include "common/spec.h"
#include "common/status.h"

namespace slipway::controller {

absl::StatusOr<xpb::StepResult> SimulatedHost::Execute(const xpb::ExecuteRequest& request) {
  MutexLock lock(mutex_);
  const xpb::Operation& operation = request.operation();
  if (operation.epoch() < epoch_) {
    return Error(absl::StatusCode::kAborted, "STALE_EPOCH", "a higher epoch was seen");
  }
  if (operation.lead() < lead_) {
    return Error(absl::StatusCode::kAborted, "STALE_EPOCH", "a higher lead was seen");
  }
  lead_ = operation.lead();
  // The same operation comes again under the next lead.
  xpb::ExecuteRequest command = request;
  command.mutable_operation()->clear_lead();
  epoch_ = operation.epoch();
  applications_.insert(operation.app());
  const auto known = results_.find(operation.id());
  if (known != results_.end()) {
    if (known->second.first != command.SerializeAsString()) {
      violations_.push_back(absl::StrCat("another command under ", operation.id()));
      return absl::InvalidArgumentError("known operation, other command");
    }
    return known->second.second;
  }
  const std::vector<std::string> parts = absl::StrSplit(operation.id(), '/');
  if (parts.size() != 4) return absl::InvalidArgumentError("operation id");
  deeds_.push_back(parts[2]);
  xpb::StepResult result = Perform(request, parts[2]);
  results_[operation.id()] = {command.SerializeAsString(), result};
  return result;
}

void SimulatedHost::Preflight(const std::string& release, pb::PreflightEvidence& seen) {
  seen.set_active_slot(active_);
  seen.set_generation(generation_);
  seen.set_adopted_port(active_ == pb::SLOT_UNSPECIFIED ? adopted_port_ : 0);
  const pb::Slot candidate =
      active_ == pb::SLOT_UNSPECIFIED && adopted_port_ == 0
          ? pb::SLOT_BLUE
          : OtherSlot(active_ == pb::SLOT_UNSPECIFIED ? pb::SLOT_BLUE : active_);
  seen.set_candidate_slot(candidate);
  if (active_ != pb::SLOT_UNSPECIFIED) seen.set_active_release(slots_[active_]);
  const auto warm = slots_.find(candidate);
  seen.set_candidate_is_warm(warm != slots_.end() && warm->second == release);
}

void SimulatedHost::Switch(const xpb::SwitchCommand& command, xpb::StepResult& result) {
  pb::SwitchEvidence& seen = *result.mutable_evidence()->mutable_switch_();
  // From here on what was taken over stands in its slot.
  if (adopted_port_ != 0 && active_ == pb::SLOT_UNSPECIFIED)
    slots_[pb::SLOT_BLUE] = kAdoptedRelease;
  if (!slots_.contains(command.to())) {
    violations_.push_back("switched to a slot where nothing runs");
  }
  seen.set_from(active_);
  seen.set_to(command.to());
  active_ = command.to();
  seen.set_generation(++generation_);
  proven_.insert(slots_[active_]);
}

xpb::StepResult SimulatedHost::Perform(const xpb::ExecuteRequest& request,
                                       const std::string& step) {
  xpb::StepResult result;
  const auto failure = failures_.find(step);
  if (failure != failures_.end()) {
    result.set_reason(failure->second.first);
    result.set_summary(absl::StrCat("scripted failure of ", step));
    if (request.has_switch_()) {
      result.mutable_evidence()->mutable_switch_()->set_restored(failure->second.second);
    }
    // Starting is not atomic: some of it may run.
    if (request.has_start()) slots_[request.start().slot()] = request.start().release();
    return result;
  }
  result.set_succeeded(true);
  if (request.has_preflight()) {
    Preflight(request.preflight().release(), *result.mutable_evidence()->mutable_preflight());
  } else if (request.has_stage()) {
    env_file_ = request.stage().env_file();
  } else if (request.has_start()) {
    if (request.start().slot() == active_) violations_.push_back("started over the active slot");
    slots_[request.start().slot()] = request.start().release();
  } else if (request.has_switch_()) {
    Switch(request.switch_(), result);
  } else if (request.has_confirm()) {
    result.mutable_evidence()->mutable_confirm()->set_slot(active_);
    result.set_succeeded(active_ == request.confirm().slot());
    differences_.clear();
    if (!result.succeeded()) result.set_summary("another slot serves");
  } else if (request.has_remove()) {
    if (request.remove().slot() == active_) violations_.push_back("removed the active slot");
    slots_.erase(request.remove().slot());
  } else if (request.has_retire() && request.retire().slot() == active_) {
    violations_.push_back("retired the active slot");
  }
  return result;
}

xpb::ApplicationState SimulatedHost::Inspect(const std::string& app) {
  MutexLock lock(mutex_);
  xpb::ApplicationState state;
  state.set_app(app);
  state.set_active_slot(active_);
  state.set_generation(generation_);
  state.set_epoch(epoch_);
  state.mutable_differences()->Add(differences_.begin(), differences_.end());
  for (const auto& [slot, release] : slots_) {
    xpb::SlotState& one = *state.add_slots();
    one.set_slot(slot);
    one.set_release(release);
    one.set_running(true);
    one.set_serving(slot == active_);
    if (slot == active_) state.set_active_release(release);
    if (slot != active_) one.mutable_warm_left()->set_seconds(600);
  }
  return state;
}

void SimulatedHost::Fail(const std::string& step, pb::FailureReason reason, bool restored) {
  MutexLock lock(mutex_);
  failures_[step] = {reason, restored};
}
void SimulatedHost::Succeed(const std::string& step) {
  MutexLock lock(mutex_);
  failures_.erase(step);
}
void SimulatedHost::RollBackLocally() {
  MutexLock lock(mutex_);
  ++epoch_;
  if (active_ != pb::SLOT_UNSPECIFIED && slots_.contains(OtherSlot(active_)) &&
      proven_.contains(slots_[OtherSlot(active_)])) {
    active_ = OtherSlot(active_);
    ++generation_;
  }
}
void SimulatedHost::Serve(const std::string& release) {
  MutexLock lock(mutex_);
  active_ = pb::SLOT_BLUE;
  slots_[pb::SLOT_BLUE] = release;
  proven_.insert(release);
  generation_ = 1;
}
void SimulatedHost::Differ(const pb::Difference& difference) {
  MutexLock lock(mutex_);
  differences_.push_back(difference);
}
void SimulatedHost::Adopt() {
  MutexLock lock(mutex_);
  adopted_port_ = 8000;
}
std::vector<std::string> SimulatedHost::Applications() {
  MutexLock lock(mutex_);
  return {applications_.begin(), applications_.end()};
}
std::string SimulatedHost::ActiveRelease() {
  MutexLock lock(mutex_);
  return active_ == pb::SLOT_UNSPECIFIED ? "" : slots_[active_];
}
pb::Slot SimulatedHost::ActiveSlot() {
  MutexLock lock(mutex_);
  return active_;
}
uint64_t SimulatedHost::Lead() {
  MutexLock lock(mutex_);
  return lead_;
}
uint64_t SimulatedHost::Epoch() {
  MutexLock lock(mutex_);
  return epoch_;
}
bool SimulatedHost::Runs(pb::Slot slot) {
  MutexLock lock(mutex_);
  return slots_.contains(slot);
}
std::vector<std::string> SimulatedHost::Deeds() {
  MutexLock lock(mutex_);
  return deeds_;
}
std::vector<std::string> SimulatedHost::Violations() {
  MutexLock lock(mutex_);
  return violations_;
}
std::string SimulatedHost::LastEnvFile() {
  MutexLock lock(mutex_);
  return env_file_;
}

}  // namespace slipway::controller
