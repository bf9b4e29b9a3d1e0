#include "controller/rollout/decide.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/enum_word.h"
#include "common/names.h"
#include "controller/rollout/outcome.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

constexpr absl::string_view kUndoPrefix = "undo:";

bool IsUndo(const StepRecord& step) { return absl::StartsWith(step.name, kUndoPrefix); }

class Decider {
 public:
  Decider(const RolloutContext& context, const DeploymentRecord& state, Time time)
      : context_(context), time_(time), definitions_(RolloutSteps(context.spec)) {
    decision_.transition.deployment = state;
  }

  void TakeResult(const RolloutInput& input) {
    StepRecord& step = State().rollouts.at(input.host).steps.at(input.position);
    // An answer that came twice.
    if (step.state != pb::STEP_STATE_DISPATCHED) return;
    const bool lost = input.kind == RolloutInput::Kind::kStepLost;
    step.state = lost                       ? pb::STEP_STATE_UNKNOWN
                 : input.result.succeeded() ? pb::STEP_STATE_DONE
                                            : pb::STEP_STATE_FAILED;
    step.reason = input.result.reason();
    step.summary = input.result.summary();
    step.evidence = input.result.evidence();
    step.duration = FromProto(input.result.duration());
    RefuseWithoutProof(input.host, step);
    Changed(input.host, input.position);
    if (input.kind == RolloutInput::Kind::kFenced) {
      End(FencedOutcome(State(), input.host));
    } else if (step.state == pb::STEP_STATE_DONE) {
      Succeeded(input.host, input.position);
    } else {
      Failed(input.host, input.position);
    }
  }

  Decision Continue() {
    if (!IsTerminal(State().state) && !ResendDispatched()) {
      if (State().state == pb::DEPLOYMENT_STATE_PENDING) SetState(pb::DEPLOYMENT_STATE_RUNNING);
      if (State().state == pb::DEPLOYMENT_STATE_RUNNING) GoOn();
      if (State().state == pb::DEPLOYMENT_STATE_UNDOING) GoBack();
    }
    return std::move(decision_);
  }

  void RequestCancel() { State().cancel_requested = true; }

 private:
  DeploymentRecord& State() { return decision_.transition.deployment; }
  Situation At(size_t host) { return {context_, State(), State().rollouts.at(host)}; }

  // A success must come with what proves it; without, it is none.
  void RefuseWithoutProof(size_t host, StepRecord& step) {
    if (step.state != pb::STEP_STATE_DONE) return;
    const bool lacking =
        (step.name == "preflight" &&
         step.evidence.preflight().candidate_slot() == pb::SLOT_UNSPECIFIED) ||
        (step.name == "switch" && step.evidence.switch_().to() != State().rollouts.at(host).slot) ||
        (step.name == "confirm" &&
         step.evidence.confirm().slot() != State().rollouts.at(host).slot) ||
        (step.name == "undo:switch" &&
         step.evidence.switch_().to() != PreviousSlot(State().rollouts.at(host)));
    if (!lacking) return;
    step.state = pb::STEP_STATE_FAILED;
    step.reason = pb::FAILURE_REASON_INTERNAL;
    step.summary = "the executor reported success without the evidence for it";
  }

  void Succeeded(size_t host, size_t position) {
    RolloutRecord& rollout = State().rollouts.at(host);
    const StepRecord& step = rollout.steps.at(position);
    if (step.name == "preflight") {
      rollout.slot = step.evidence.preflight().candidate_slot();
      if (State().previous_release.empty()) {
        State().previous_release = step.evidence.preflight().active_release();
      }
      HostChanged(host);
    }
    if (!IsUndo(step)) return;
    const std::string undone(absl::StripPrefix(step.name, kUndoPrefix));
    for (size_t i = 0; i < rollout.steps.size(); ++i) {
      if (rollout.steps[i].name != undone) continue;
      rollout.steps[i].state = pb::STEP_STATE_COMPENSATED;
      Changed(host, i);
    }
  }

  void Failed(size_t host, size_t position) {
    const RolloutRecord& rollout = State().rollouts.at(host);
    const StepRecord& step = rollout.steps.at(position);
    // What comes of a failed undo is seen at the end, in the steps themselves.
    if (IsUndo(step)) return;
    const StepDefinition& definition = DefinitionOf(step.name);
    if (definition.on_failure == OnFailure::kWarn) return;
    if (State().reason == pb::FAILURE_REASON_UNSPECIFIED) {
      State().reason =
          step.reason == pb::FAILURE_REASON_UNSPECIFIED ? pb::FAILURE_REASON_INTERNAL : step.reason;
      State().message = absl::StrCat(step.name, " failed on ", rollout.host,
                                     step.summary.empty() ? "" : ": ", step.summary);
      // Whatever a tool says that was told to stop: it was the cancel.
      if (State().cancel_requested && definition.on_failure == OnFailure::kUndo) {
        State().reason = pb::FAILURE_REASON_CANCELLED;
      }
      decision_.changed = true;
    }
    if (definition.on_failure == OnFailure::kUndo) SetState(pb::DEPLOYMENT_STATE_UNDOING);
  }

  bool ResendDispatched() {
    for (size_t host = 0; host < State().rollouts.size(); ++host) {
      const auto& steps = State().rollouts[host].steps;
      for (size_t i = 0; i < steps.size(); ++i) {
        if (steps[i].state != pb::STEP_STATE_DISPATCHED) continue;
        Send(host, i);
        return true;
      }
    }
    return false;
  }

  void GoOn() {
    if (State().cancel_requested && CancelTooLate(State()).empty()) {
      State().reason = pb::FAILURE_REASON_CANCELLED;
      State().message = "cancelled";
      SetState(pb::DEPLOYMENT_STATE_UNDOING);
      return;
    }
    for (const Phase phase : {Phase::kPrepare, Phase::kCommit, Phase::kFinish, Phase::kConfirm}) {
      for (size_t host = 0; host < State().rollouts.size(); ++host) {
        for (const StepDefinition& definition : definitions_) {
          if (definition.phase != phase || FindStep(State().rollouts[host], definition.name) ||
              (definition.wanted && !definition.wanted(At(host)))) {
            continue;
          }
          Begin(host, definition.name);
          return;
        }
      }
    }
    End(FinishedOutcome(State()));
  }

  void GoBack() {
    for (auto definition = definitions_.rbegin(); definition != definitions_.rend(); ++definition) {
      for (size_t host = State().rollouts.size(); host-- > 0;) {
        if (!WantsUndo(State().rollouts[host], *definition)) continue;
        Begin(host, absl::StrCat(kUndoPrefix, definition->name));
        return;
      }
    }
    End(UndoneOutcome(State()));
  }

  bool WantsUndo(const RolloutRecord& rollout, const StepDefinition& definition) {
    const StepRecord* step = FindStep(rollout, definition.name);
    if (definition.undo_when == UndoWhen::kNever || step == nullptr || IsStuck(rollout) ||
        FindStep(rollout, absl::StrCat(kUndoPrefix, definition.name)) != nullptr) {
      return false;
    }
    if (definition.undo_when == UndoWhen::kDone) {
      return step->state == pb::STEP_STATE_DONE && PreviousSlot(rollout) != pb::SLOT_UNSPECIFIED;
    }
    // A candidate that serves, with nothing to go back to, is better than nothing.
    return !Serves(rollout);
  }

  void Begin(size_t host, const std::string& name) {
    RolloutRecord& rollout = State().rollouts.at(host);
    if (rollout.state != State().state) {
      rollout.state = State().state;
      HostChanged(host);
    }
    StepRecord step;
    step.name = name;
    step.state = pb::STEP_STATE_DISPATCHED;
    step.attempt = 1;
    step.start_time = time_;
    rollout.steps.push_back(step);
    Changed(host, rollout.steps.size() - 1);
    Send(host, rollout.steps.size() - 1);
  }

  // The same state gives the same bytes: the executor compares a repeated command with the first one.
  void Send(size_t host, size_t position) {
    const RolloutRecord& rollout = State().rollouts.at(host);
    const StepRecord& step = rollout.steps.at(position);
    const StepDefinition& definition = DefinitionOf(absl::StripPrefix(step.name, kUndoPrefix));
    Dispatch dispatch{host, position, {}, definition.timeout, false};
    // A switch is short, and is finished before it is taken back; what follows it is not taken back.
    dispatch.stoppable =
        definition.phase < Phase::kFinish && definition.name != "switch" && !IsUndo(step);
    xpb::Operation& operation = *dispatch.request.mutable_operation();
    operation.set_app(State().app);
    // The epoch is part of it, so that it is unique for ever even when a controller lost its memory.
    operation.set_id(absl::StrCat(State().id, "/", rollout.host, "/", step.name, "/", State().epoch,
                                  ".", step.attempt));
    operation.set_epoch(State().epoch);
    *operation.mutable_timeout() = ToProto(definition.timeout);
    (IsUndo(step) ? definition.undo : definition.command)(At(host), dispatch.request);
    decision_.dispatch = std::move(dispatch);
  }

  void End(const Outcome& outcome) {
    DeploymentRecord& state = State();
    state.reason = outcome.reason;
    state.message = outcome.message;
    state.serves = outcome.serves;
    state.end_time = time_;
    for (size_t host = 0; host < state.rollouts.size(); ++host) {
      state.rollouts[host].state = HostOutcome(state.rollouts[host], outcome);
      HostChanged(host);
    }
    SetState(outcome.state);
    decision_.dispatch.reset();
    decision_.transition.history = HistoryDraft{
        state.app, state.actor, state.kind == pb::DEPLOYMENT_KIND_ROLLBACK ? "rollback" : "deploy",
        DeploymentName(state.app, state.id),
        absl::StrCat(EnumWord(state.state), ", release ", state.release,
                     state.reason == pb::FAILURE_REASON_UNSPECIFIED ? "" : ", reason ",
                     state.reason == pb::FAILURE_REASON_UNSPECIFIED ? "" : EnumWord(state.reason))};
  }

  void SetState(pb::DeploymentState to) {
    State().state = to;
    decision_.changed = true;
    pb::StateChange& change = *decision_.transition.events.emplace_back().mutable_state();
    change.set_state(to);
    change.set_reason(State().reason);
    change.set_message(State().message);
  }

  void Changed(size_t host, size_t position) {
    decision_.changed = true;
    const StepRecord& step = State().rollouts.at(host).steps.at(position);
    decision_.transition.steps.push_back({host, position, step});
    pb::Event& event = decision_.transition.events.emplace_back();
    event.set_host(State().rollouts.at(host).host);
    *event.mutable_step() = StepMessage(step);
  }

  void HostChanged(size_t host) {
    decision_.changed = true;
    auto& hosts = decision_.transition.hosts;
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  }

  const StepDefinition& DefinitionOf(absl::string_view name) {
    return *std::find_if(definitions_.begin(), definitions_.end(),
                         [&](const StepDefinition& one) { return one.name == name; });
  }

  const RolloutContext& context_;
  const Time time_;
  const std::vector<StepDefinition> definitions_;
  Decision decision_;
};

}  // namespace

Decision Decide(const RolloutContext& context, const DeploymentRecord& state,
                const RolloutInput& input) {
  Decider decider(context, state, input.time);
  if (input.cancel_requested) decider.RequestCancel();
  if (input.kind != RolloutInput::Kind::kResume) decider.TakeResult(input);
  return decider.Continue();
}

pb::Step StepMessage(const StepRecord& step) {
  pb::Step message;
  message.set_name(step.name);
  message.set_state(step.state);
  message.set_attempt(step.attempt);
  message.set_reason(step.reason);
  message.set_summary(step.summary);
  if (step.start_time) *message.mutable_start_time() = ToProto(*step.start_time);
  *message.mutable_duration() = ToProto(step.duration);
  *message.mutable_evidence() = step.evidence;
  return message;
}

}  // namespace slipway::controller
