// What a restart finds interrupted: switches, and rollbacks on the host.
#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

// For the rest of a rollback that a restart interrupted, before the executor serves.
constexpr std::chrono::minutes kRecoveryTime{2};

}  // namespace

void Steps::Recover() {
  for (const xpb::Intent& intent : parts_.journal.OpenIntents()) {
    const xpb::ApplicationFacts facts = parts_.journal.FactsOf(intent.app());
    const bool local = IsLocalOperation(intent.operation_id());
    std::string outcome = "taken_back";
    if (intent.has_switch_()) {
      // A later switch has been intended since: what this one wanted, and what was there before
      // it, is history, and acting on it would lead production back in time.
      const bool over = intent.switch_().generation() < facts.last_generation();
      outcome = over ? "superseded" : RecoverSwitch(intent, facts);
      ++recovered_[outcome];
      LogInfo("interrupted switch",
              {{"app", intent.app()}, {"operation", intent.operation_id()}, {"outcome", outcome}});
    }
    if (local && outcome != "superseded") EndLocalRollback(intent, outcome);
    if (outcome != "superseded" && !(local && outcome == "taken_back")) continue;
    xpb::StepResult result;
    result.set_reason(pb::FAILURE_REASON_INTERNAL);
    result.set_summary(local ? "the executor was restarted meanwhile"
                             : "a later switch took its place");
    CloseIntent(intent, result);
  }
}

std::string Steps::RecoverSwitch(const xpb::Intent& intent, const xpb::ApplicationFacts& facts) {
  const SwitchOutcome recovered = Settle(intent.switch_(), facts);
  if (recovered.status.ok()) {
    const StepOutcome finished = FinishSwitch(intent.app(), intent.switch_(), recovered);
    xpb::StepResult result;
    result.set_succeeded(finished.status.ok());
    result.set_summary(finished.summary);
    *result.mutable_evidence() = finished.evidence;
    CloseIntent(intent, result);
    return "finished";
  }
  if (!recovered.evidence.restored()) return "open";
  // As if it had not begun: asked for again, it is done again with a generation of its own.
  xpb::JournalRecord record;
  *record.mutable_intent() = intent;
  record.mutable_intent()->clear_switch_();
  if (absl::Status status = parts_.journal.Append(record); !status.ok()) {
    LogError("journal", {{"error", std::string(status.message())}});
  }
  return "taken_back";
}

void Steps::CloseIntent(const xpb::Intent& intent, const xpb::StepResult& result) {
  xpb::JournalRecord record;
  record.mutable_result()->set_app(intent.app());
  record.mutable_result()->set_operation_id(intent.operation_id());
  *record.mutable_result()->mutable_result() = result;
  if (absl::Status status = parts_.journal.Append(record); !status.ok()) {
    LogError("journal", {{"error", std::string(status.message())}});
  }
}

// What is left of a rollback on the host whose process ended: nobody will ask for it again.
void Steps::EndLocalRollback(const xpb::Intent& intent, absl::string_view outcome) {
  StepCall call;
  call.operation.set_app(intent.app());
  call.operation.set_id(intent.operation_id());
  call.operation.set_epoch(intent.epoch());
  call.deadline = parts_.clock.Now() + kRecoveryTime;
  call.on_line = [](absl::string_view) {};
  absl::Status ended;
  if (outcome == "finished") {
    ended = FinishRollback(intent.app(), intent.switch_().release(), intent.switch_().from(), call);
  } else if (outcome == "taken_back") {
    ended = RemoveIdleCandidate(intent.app(), call);
  }
  if (ended.ok()) return;
  LogWarning("interrupted rollback",
             {{"app", intent.app()}, {"error", std::string(ended.message())}});
}

}  // namespace slipway::executor
