// A rollback that is decided on the host itself, with or without a controller.
#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {

xpb::StepResult Steps::RollBack(const std::string& app, const StepCall& call,
                                std::string* release) {
  parts_.journal.ReleaseReserve();
  StepOutcome outcome = GoBackToProven(app, call, release);
  const absl::Status& status = outcome.status;
  if (!status.ok()) {
    if (absl::Status removed = RemoveIdleCandidate(app, call); !removed.ok()) {
      LogWarning("candidate not removed",
                 {{"app", app}, {"error", std::string(removed.message())}});
    }
  }
  xpb::StepResult result;
  result.set_succeeded(status.ok());
  result.set_reason(status.ok() ? pb::FAILURE_REASON_UNSPECIFIED : ReasonOf(status));
  result.set_summary(status.ok() ? outcome.summary : std::string(status.message()));
  *result.mutable_evidence() = std::move(outcome.evidence);
  return result;
}

// Back to the warm slot, or to the newest proven release that does not serve.
StepOutcome Steps::GoBackToProven(const std::string& app, const StepCall& call,
                                  std::string* release) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const auto state = Inspect(app);
  if (!state.ok()) return {state.status(), "", {}};
  if (state->active_slot() == pb::SLOT_UNSPECIFIED) {
    return {Failure(pb::FAILURE_REASON_PREFLIGHT,
                    absl::StrCat("nothing of ", app, " serves on this host")),
            "",
            {}};
  }
  const pb::Slot target = OtherSlot(state->active_slot());
  // Visitors first. What fails after the proof is said, and leaves them where they are.
  const auto switch_back = [&](const std::string& to) {
    StepOutcome outcome = Switch(to, target, call);
    if (!outcome.status.ok()) return outcome;
    const absl::Status rest = FinishRollback(app, to, state->active_slot(), call);
    if (!rest.ok()) absl::StrAppend(&outcome.summary, "; but: ", std::string(rest.message()));
    return outcome;
  };
  for (const xpb::SlotState& slot : state->slots()) {
    // One that was deployed a second time is warm there too, and no way back; one that never served
    // is the candidate of a deployment, which nobody has found healthy yet.
    const xpb::ReleaseFacts* known = FindRelease(facts, slot.release());
    if (slot.slot() != target || !slot.running() || slot.release() == state->active_release() ||
        known == nullptr || !known->proven()) {
      continue;
    }
    *release = slot.release();
    return switch_back(slot.release());
  }
  if (HoldsAdopted(facts, target)) {
    StepOutcome outcome = GoBackToAdopted(facts, target, state->active_slot(), call);
    if (outcome.status.ok()) {
      *release = kAdoptedRelease;
      return outcome;
    }
  }
  for (int i = facts.releases_size() - 1; i >= 0; --i) {
    const xpb::ReleaseFacts& known = facts.releases(i);
    if (!known.proven() || known.release() == state->active_release()) continue;
    const auto staged = LoadStaged(app, known.release());
    if (!staged.ok()) continue;
    *release = known.release();
    StepOutcome outcome = Build(*staged, call);
    if (outcome.status.ok()) outcome = Start(*staged, target, call);
    if (outcome.status.ok()) outcome = Health(*staged, target, call);
    if (outcome.status.ok()) outcome = switch_back(known.release());
    return outcome;
  }
  return {Failure(pb::FAILURE_REASON_PREFLIGHT,
                  absl::StrCat(app, " has no earlier release on this host")),
          "",
          {}};
}

// The version that was taken over has no release here; its workers are its own project's.
StepOutcome Steps::GoBackToAdopted(const xpb::ApplicationFacts& facts, pb::Slot target,
                                   pb::Slot left, const StepCall& call) {
  StepOutcome outcome = Switch(kAdoptedRelease, target, call);
  if (!outcome.status.ok()) return outcome;
  const absl::Status retired = Retire({facts.app(), "", facts.spec()}, left, call).status;
  if (!retired.ok()) absl::StrAppend(&outcome.summary, "; but: ", std::string(retired.message()));
  return outcome;
}

// A slot that neither serves nor is kept warm is what the rollback had just started, or the candidate
// of a deployment that the rollback has fenced off.
absl::Status Steps::RemoveIdleCandidate(const std::string& app, const StepCall& call) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  if (!facts.has_spec()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const LoadedConfig loaded, Loaded(facts));
  const pb::Slot serving = loaded.generation != 0 ? loaded.slot : facts.active_slot();
  for (const xpb::SlotFacts& known : facts.slots()) {
    if (known.slot() == serving || known.release().empty() || known.warm_until() != 0) continue;
    SLIPWAY_RETURN_IF_ERROR(StopSlot(app, known.slot(), call).status());
  }
  return absl::OkStatus();
}

absl::Status Steps::FinishRollback(const std::string& app, const std::string& release,
                                   pb::Slot left, const StepCall& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const StagedRelease staged, LoadStaged(app, release));
  SLIPWAY_RETURN_IF_ERROR(Retire(staged, left, call).status);
  if (staged.spec.compose().workers().empty()) return absl::OkStatus();
  return Workers(staged, call).status;
}

}  // namespace slipway::executor
