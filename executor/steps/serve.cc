// Step 6 to 8 of the protocol: the switch with its proof, what a crash in it leads to, and the
// watch over the new slot.
#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

xpb::SwitchIntent IntentOf(const SwitchRequest& request, const std::string& release) {
  xpb::SwitchIntent intent;
  intent.set_release(release);
  intent.set_from(request.from);
  intent.set_to(request.to);
  intent.set_generation(request.generation);
  intent.set_absent(!request.old_text.has_value());
  intent.set_old_text(request.old_text.value_or(""));
  if (request.adopt) {
    intent.set_adopt_address(request.adopt->address);
    intent.set_adopt_port(request.adopt->port);
  }
  return intent;
}

}  // namespace

SwitchRequest Steps::RequestOf(const xpb::SwitchIntent& intent,
                               const xpb::ApplicationFacts& facts) const {
  SwitchRequest request;
  request.site = SiteOf(facts.spec(), facts);
  request.from = intent.from();
  request.to = intent.to();
  request.generation = intent.generation();
  if (!intent.absent()) request.old_text = intent.old_text();
  if (intent.adopt_port() != 0)
    request.adopt = ForeignUpstream{intent.adopt_address(), intent.adopt_port()};
  if (facts.spec().nginx().has_front_door()) request.front_door = facts.spec().nginx().front_door();
  return request;
}

absl::StatusOr<SwitchRequest> Steps::PlanSwitch(const xpb::ApplicationFacts& facts, pb::Slot to,
                                                const LoadedConfig& loaded) {
  SwitchRequest request;
  request.site = SiteOf(facts.spec(), facts);
  request.from = loaded.slot;
  request.to = to;
  const auto text = ReadFile(request.site.file);
  if (text.ok()) {
    request.old_text = *text;
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  if (loaded.generation == 0 && request.old_text) {
    const auto foreign = ParseForeignUpstream(*request.old_text, request.site.upstream);
    if (foreign.ok()) {
      request.adopt = *foreign;
      request.from = OtherSlot(to);
    } else if (!absl::IsNotFound(foreign.status())) {
      return Annotate(foreign.status(), request.site.file.string());
    }
  }
  request.generation =
      NextGeneration(loaded.generation, facts.last_generation(), request.adopt.has_value());
  if (facts.spec().nginx().has_front_door()) request.front_door = facts.spec().nginx().front_door();
  return request;
}

StepOutcome Steps::Switch(const std::string& release, pb::Slot to, const StepCall& call) {
  const std::string& app = call.operation.app();
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const auto known = parts_.journal.IntentOf(call.operation.id());
  if (known && known->has_switch_()) {
    // Interrupted, and not settled when the executor came back, for instance because nginx was not
    // there yet.
    const SwitchRequest request = RequestOf(known->switch_(), facts);
    const SwitchOutcome recovered = parts_.nginx.Recover(request);
    if (recovered.status.ok() || !recovered.evidence.restored()) {
      return FinishSwitch(request, release, recovered);
    }
  }
  const auto loaded = parts_.nginx.Loaded(SiteOf(facts.spec(), facts));
  if (!loaded.ok()) return {loaded.status(), "", {}};
  if (loaded->generation != 0 && loaded->slot == to) {
    StepOutcome outcome;
    outcome.evidence.mutable_switch_()->set_to(to);
    outcome.evidence.mutable_switch_()->set_generation(loaded->generation);
    outcome.summary = absl::StrCat(SlotWord(to), " serves already");
    return outcome;
  }
  // Also a slot that was warm when the deployment began may be gone by now.
  const auto candidate = parts_.workload.Observe(app, to, call.cancellation);
  if (!candidate.ok()) return {candidate.status(), "", {}};
  const bool adopted =
      facts.adopted_port() != 0 && facts.adopted_port() == PortOf(facts.spec(), to);
  if (!candidate->AllRunning() && !adopted) {
    return {Failure(pb::FAILURE_REASON_CONTAINER_DIED,
                    absl::StrCat(SlotWord(to), " does not run; nginx was not touched")),
            "",
            {}};
  }
  const auto request = PlanSwitch(facts, to, *loaded);
  if (!request.ok()) return {request.status(), "", {}};

  xpb::JournalRecord record;
  xpb::Intent& intent = *record.mutable_intent();
  if (known) intent = *known;
  intent.set_app(app);
  intent.set_operation_id(call.operation.id());
  intent.set_step("switch");
  *intent.mutable_switch_() = IntentOf(*request, release);
  if (absl::Status status = parts_.journal.Append(record); !status.ok()) return {status, "", {}};
  return FinishSwitch(*request, release, parts_.nginx.Switch(*request));
}

// Takes what nginx proved into the facts.
StepOutcome Steps::FinishSwitch(const SwitchRequest& request, const std::string& release,
                                const SwitchOutcome& switched) {
  StepOutcome outcome;
  outcome.status = switched.status;
  *outcome.evidence.mutable_switch_() = switched.evidence;
  if (!switched.status.ok()) return outcome;
  SLIPWAY_FAILPOINT("executor.switch.proven");
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(request.site.app);
  facts.set_generation(request.generation);
  facts.set_active_slot(request.to);
  xpb::SlotFacts& serving = MutableSlot(facts, request.to);
  if (!release.empty()) serving.set_release(release);
  serving.clear_warm_until();
  serving.clear_old_workers();
  serving.clear_undrained();
  if (request.from != pb::SLOT_UNSPECIFIED) {
    xpb::SlotFacts& left = MutableSlot(facts, request.from);
    SetOldWorkers(left, switched.old_workers);
    left.set_undrained(true);
  }
  for (xpb::ReleaseFacts& known : *facts.mutable_releases()) {
    if (known.release() == release) known.set_proven(true);
  }
  outcome.status = Commit(parts_.journal, facts);
  outcome.summary =
      absl::StrCat(SlotWord(request.to), " serves, proven ",
                   FormatDuration(FromProto(switched.evidence.proven())), " after the reload");
  if (release.empty()) return outcome;
  const auto staged = LoadStaged(request.site.app, release);
  const absl::Status named =
      staged.ok() ? parts_.workload.AnswerToNames(*staged, request.to) : staged.status();
  if (!named.ok()) {
    // Visitors are served; what the workers see is mended by the next deployment or rollback.
    absl::StrAppend(&outcome.summary,
                    "; but workers do not find it by name: ", std::string(named.message()));
    LogWarning("names not moved",
               {{"app", request.site.app}, {"error", std::string(named.message())}});
  }
  return outcome;
}

void Steps::Recover() {
  for (const xpb::Intent& intent : parts_.journal.OpenIntents()) {
    if (!intent.has_switch_()) continue;
    const xpb::ApplicationFacts facts = parts_.journal.FactsOf(intent.app());
    const SwitchRequest request = RequestOf(intent.switch_(), facts);
    const SwitchOutcome recovered = parts_.nginx.Recover(request);
    const std::string outcome = recovered.status.ok()           ? "finished"
                                : recovered.evidence.restored() ? "taken_back"
                                                                : "open";
    ++recovered_[outcome];
    LogInfo("interrupted switch",
            {{"app", intent.app()}, {"operation", intent.operation_id()}, {"outcome", outcome}});
    xpb::JournalRecord record;
    if (recovered.status.ok()) {
      const StepOutcome finished = FinishSwitch(request, intent.switch_().release(), recovered);
      record.mutable_result()->set_app(intent.app());
      record.mutable_result()->set_operation_id(intent.operation_id());
      xpb::StepResult& result = *record.mutable_result()->mutable_result();
      result.set_succeeded(finished.status.ok());
      result.set_summary(finished.summary);
      *result.mutable_evidence() = finished.evidence;
    } else if (recovered.evidence.restored()) {
      // As if it had not begun: asked for again, it is done again with a generation of its own.
      *record.mutable_intent() = intent;
      record.mutable_intent()->clear_switch_();
    } else {
      continue;
    }
    if (absl::Status status = parts_.journal.Append(record); !status.ok()) {
      LogError("journal", {{"error", std::string(status.message())}});
    }
  }
}

StepOutcome Steps::Bake(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  HealthRequest request;
  request.app = release.app;
  request.slot = slot;
  request.spec = release.spec.health();
  request.address = parts_.settings.address;
  request.port = PortOf(release.spec, slot);
  request.cancellation = call.cancellation;
  BakeOutcome watched = parts_.health.Watch(request, FromProto(release.spec.rollout().bake()));
  StepOutcome outcome;
  outcome.status = watched.status;
  outcome.summary =
      absl::StrCat("watched for ", FormatDuration(FromProto(watched.evidence.watched())), ", ",
                   watched.evidence.probes(), " probes");
  *outcome.evidence.mutable_bake() = std::move(watched.evidence);
  return outcome;
}

// Back to the warm slot, or to the newest proven release that does not serve.
xpb::StepResult Steps::RollBack(const std::string& app, const StepCall& call,
                                std::string* release) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const auto result_of = [](StepOutcome outcome) {
    xpb::StepResult result;
    result.set_succeeded(outcome.status.ok());
    result.set_reason(outcome.status.ok() ? pb::FAILURE_REASON_UNSPECIFIED
                                          : ReasonOf(outcome.status));
    result.set_summary(outcome.status.ok() ? outcome.summary
                                           : std::string(outcome.status.message()));
    *result.mutable_evidence() = std::move(outcome.evidence);
    return result;
  };
  parts_.journal.ReleaseReserve();
  const auto state = Inspect(app);
  if (!state.ok()) return result_of({state.status(), "", {}});
  if (state->active_slot() == pb::SLOT_UNSPECIFIED) {
    return result_of({Failure(pb::FAILURE_REASON_PREFLIGHT,
                              absl::StrCat("nothing of ", app, " serves on this host")),
                      "",
                      {}});
  }
  const pb::Slot target = OtherSlot(state->active_slot());
  // Visitors first. What fails after the proof is said, and leaves them where they are.
  const auto switch_back = [&](const std::string& to) {
    StepOutcome outcome = Switch(to, target, call);
    if (!outcome.status.ok()) return outcome;
    const auto staged = LoadStaged(app, to);
    absl::Status rest = staged.status();
    if (rest.ok()) rest = Retire(*staged, state->active_slot(), call).status;
    if (rest.ok() && !staged->spec.compose().workers().empty())
      rest = Workers(*staged, call).status;
    if (!rest.ok()) absl::StrAppend(&outcome.summary, "; but: ", std::string(rest.message()));
    return outcome;
  };
  for (const xpb::SlotState& slot : state->slots()) {
    if (slot.slot() != target || !slot.running()) continue;
    *release = slot.release();
    return result_of(switch_back(slot.release()));
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
    if (outcome.status.ok()) return result_of(switch_back(known.release()));
    const absl::Status removed = Remove(app, target, call).status;
    if (!removed.ok())
      LogWarning("candidate not removed",
                 {{"app", app}, {"error", std::string(removed.message())}});
    return result_of(std::move(outcome));
  }
  return result_of({Failure(pb::FAILURE_REASON_PREFLIGHT,
                            absl::StrCat(app, " has no earlier release on this host")),
                    "",
                    {}});
}

}  // namespace slipway::executor
