#include "controller/rollout/decide.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/enum_word.h"
#include "common/names.h"
#include "controller/rollout/order.h"
#include "controller/rollout/outcome.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

constexpr absl::string_view kUndoPrefix = "undo:";
constexpr size_t kNone = SIZE_MAX;

bool IsUndo(const StepRecord& step) { return absl::StartsWith(step.name, kUndoPrefix); }

}  // namespace

class Decider::Mind {
 public:
  Mind(const RolloutContext& context, DeploymentRecord stored)
      : context_(context),
        definitions_(RolloutSteps(context.spec)),
        groups_(GroupsOf(definitions_)),
        state_(std::move(stored)),
        waves_(WavesOf(context.spec.rollout(), state_)),
        hosts_(state_.rollouts.size()) {
    for (size_t host = 0; host < hosts_.size(); ++host) Recall(host);
  }

  const DeploymentRecord& State() const { return state_; }

  Decision Take(const std::vector<RolloutInput>& inputs, const Moment& moment) {
    decision_ = {};
    time_ = moment.time;
    state_.cancel_requested |= moment.cancel_requested;
    state_.resume_requested |= moment.resume_requested;
    for (const RolloutInput& input : inputs) TakeResult(input);
    Continue();
    decision_.transition.deployment = static_cast<const DeploymentHead&>(state_);
    decision_.ended = IsTerminal(state_.state);
    return std::move(decision_);
  }

 private:
  // What follows from a host's steps, so that a decision need not look through them.
  struct Host {
    // The definition whose turn comes next.
    size_t next = 0;
    // The position of the step that has no answer yet, and whether this process has sent it.
    size_t under_way = kNone;
    bool sent = false;
    // Before the finish: it stays behind.
    bool failed = false;
    // It has another owner.
    bool fenced = false;

    bool Busy() const { return under_way != kNone; }
    bool Active() const { return !failed && !fenced; }
  };

  void Recall(size_t index) {
    Host& host = hosts_[index];
    const auto& steps = state_.rollouts[index].steps;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].state == pb::STEP_STATE_DISPATCHED) {
        host.under_way = i;
        ++under_way_;
        if (!IsUndo(steps[i])) host.next = IndexOf(steps[i]);
      }
      if (steps[i].reason == pb::FAILURE_REASON_STALE_EPOCH) host.fenced = true;
      const bool bad =
          steps[i].state == pb::STEP_STATE_FAILED || steps[i].state == pb::STEP_STATE_UNKNOWN;
      // What was undone is not called failed any more.
      if (IsUndo(steps[i]) || (bad && DefinitionOf(steps[i]).phase < Phase::kFinish)) {
        host.failed = true;
      }
    }
    if (host.failed) ++failures_;
  }

  Situation At(size_t host) { return {context_, state_, state_.rollouts.at(host)}; }

  size_t IndexOf(const StepRecord& step) const {
    const absl::string_view name = absl::StripPrefix(step.name, kUndoPrefix);
    size_t index = 0;
    while (definitions_.at(index).name != name) ++index;
    return index;
  }
  const StepDefinition& DefinitionOf(const StepRecord& step) const {
    return definitions_[IndexOf(step)];
  }
  const StepRecord& UnderWay(size_t host) const {
    return state_.rollouts[host].steps[hosts_[host].under_way];
  }
  bool IsStoppable(const StepRecord& step) const {
    // A switch is short, and is finished before it is taken back; what follows it is not taken back.
    return !IsUndo(step) && step.name != "switch" && DefinitionOf(step).phase < Phase::kFinish;
  }

  // What hosts answered.

  void TakeResult(const RolloutInput& input) {
    StepRecord& step = state_.rollouts.at(input.host).steps.at(input.position);
    // An answer that came twice.
    if (step.state != pb::STEP_STATE_DISPATCHED) return;
    Host& host = hosts_[input.host];
    host.under_way = kNone;
    host.sent = false;
    --under_way_;
    const bool lost = input.kind == RolloutInput::Kind::kStepLost;
    step.state = lost                       ? pb::STEP_STATE_UNKNOWN
                 : input.result.succeeded() ? pb::STEP_STATE_DONE
                                            : pb::STEP_STATE_FAILED;
    step.reason = input.result.reason();
    step.summary = input.result.summary();
    step.evidence = input.result.evidence();
    step.duration = FromProto(input.result.duration());
    host.fenced |= input.kind == RolloutInput::Kind::kFenced;
    RefuseWithoutProof(input.host, step);
    Changed(input.host, input.position);
    if (step.state == pb::STEP_STATE_DONE) {
      Succeeded(input.host, input.position);
    } else {
      Failed(input.host, step);
    }
  }

  // A success must come with what proves it; without, it is none.
  void RefuseWithoutProof(size_t host, StepRecord& step) {
    if (step.state != pb::STEP_STATE_DONE) return;
    const RolloutRecord& rollout = state_.rollouts[host];
    const bool lacking =
        (step.name == "preflight" &&
         step.evidence.preflight().candidate_slot() == pb::SLOT_UNSPECIFIED) ||
        (step.name == "switch" && step.evidence.switch_().to() != rollout.slot) ||
        (step.name == "confirm" && step.evidence.confirm().slot() != rollout.slot) ||
        (step.name == "undo:switch" && step.evidence.switch_().to() != PreviousSlot(rollout));
    if (!lacking) return;
    step.state = pb::STEP_STATE_FAILED;
    step.reason = pb::FAILURE_REASON_INTERNAL;
    step.summary = "the executor reported success without the evidence for it";
  }

  void Succeeded(size_t host, size_t position) {
    RolloutRecord& rollout = state_.rollouts[host];
    const StepRecord& step = rollout.steps[position];
    if (step.name == "preflight") {
      rollout.slot = step.evidence.preflight().candidate_slot();
      if (state_.previous_release.empty()) {
        state_.previous_release = step.evidence.preflight().active_release();
      }
      HostChanged(host);
    }
    if (!IsUndo(step)) return;
    const absl::string_view undone = absl::StripPrefix(step.name, kUndoPrefix);
    for (size_t i = 0; i < rollout.steps.size(); ++i) {
      if (rollout.steps[i].name != undone) continue;
      rollout.steps[i].state = pb::STEP_STATE_COMPENSATED;
      Changed(host, i);
    }
  }

  void Failed(size_t index, const StepRecord& step) {
    // What comes of a failed undo is seen at the end, in the steps themselves.
    if (IsUndo(step)) return;
    const StepDefinition& definition = DefinitionOf(step);
    if (definition.phase >= Phase::kFinish) {
      if (definition.on_failure == OnFailure::kAttention || hosts_[index].fenced) {
        Blame(index, step);
      }
      return;
    }
    hosts_[index].failed = true;
    ++failures_;
    if (state_.state != pb::DEPLOYMENT_STATE_RUNNING) return;
    const bool none_left =
        std::none_of(hosts_.begin(), hosts_.end(), [](const Host& one) { return one.Active(); });
    if (!definition.once && !none_left && failures_ <= Tolerated()) return;
    Blame(index, step);
    const bool ask = context_.spec.rollout().on_failure() == pb::FAILURE_POLICY_PAUSE;
    if (!ask || definition.once || none_left) {
      SetState(pb::DEPLOYMENT_STATE_UNDOING);
    } else {
      Pause("it goes on without what has failed");
    }
  }

  size_t Tolerated() const {
    return std::max(context_.spec.rollout().max_failures(), state_.tolerated_failures);
  }

  void Blame(size_t host, const StepRecord& step) {
    if (state_.reason != pb::FAILURE_REASON_UNSPECIFIED) return;
    state_.reason =
        step.reason == pb::FAILURE_REASON_UNSPECIFIED ? pb::FAILURE_REASON_INTERNAL : step.reason;
    state_.message = absl::StrCat(step.name, " failed on ", state_.rollouts[host].host,
                                  step.summary.empty() ? "" : ": ", step.summary);
    if (failures_ > 1) absl::StrAppend(&state_.message, " (", failures_, " hosts have failed)");
    decision_.changed = true;
  }

  void Pause(absl::string_view resumed) {
    absl::StrAppend(&state_.message, state_.message.empty() ? "" : ". ", "After `slipway resume ",
                    state_.app, "` ", resumed, ", `slipway abort ", state_.app,
                    "` takes everything back");
    SetState(pb::DEPLOYMENT_STATE_PAUSED);
  }

  // What comes next.

  void Continue() {
    if (IsTerminal(state_.state)) return;
    SendAgain();
    if (state_.state == pb::DEPLOYMENT_STATE_PENDING) SetState(pb::DEPLOYMENT_STATE_RUNNING);
    HearPeople();
    if (state_.state == pb::DEPLOYMENT_STATE_RUNNING) {
      GoOn();
    } else if (state_.state == pb::DEPLOYMENT_STATE_PAUSED) {
      UndoFailedHosts();
    }
    if (state_.state == pb::DEPLOYMENT_STATE_UNDOING) GoBack();
  }

  void SendAgain() {
    if (under_way_ == 0) return;
    for (size_t host = 0; host < hosts_.size(); ++host) {
      if (hosts_[host].Busy() && !hosts_[host].sent) Send(host, hosts_[host].under_way);
    }
  }

  void HearPeople() {
    const bool paused = state_.state == pb::DEPLOYMENT_STATE_PAUSED;
    if (!paused && state_.state != pb::DEPLOYMENT_STATE_RUNNING) return;
    if (state_.cancel_requested && CancelTooLate(state_).empty()) {
      state_.reason = pb::FAILURE_REASON_CANCELLED;
      state_.message = "cancelled";
      SetState(pb::DEPLOYMENT_STATE_UNDOING);
    } else if (paused && state_.resume_requested) {
      // Held before the first switch, or stopped by failures that somebody has seen by now.
      state_.released = state_.hold_before_flip;
      state_.tolerated_failures = static_cast<uint32_t>(failures_);
      state_.reason = pb::FAILURE_REASON_UNSPECIFIED;
      state_.message.clear();
      state_.resume_requested = false;
      SetState(pb::DEPLOYMENT_STATE_RUNNING);
    }
  }

  void GoOn() {
    UndoFailedHosts();
    const size_t group = PresentGroup();
    if (group == kNone) {
      if (under_way_ == 0) End(FinishedOutcome(state_));
      return;
    }
    const Phase phase = PhaseOf(group);
    if (phase == Phase::kCommit && state_.hold_before_flip && !state_.released) {
      if (under_way_ == 0) Pause("every host that is prepared is switched");
      return;
    }
    // The hosts of one wave at a time, and all of them at once: that is what the wave is for.
    const size_t wave = phase == Phase::kCommit ? PresentWave(group) : kNone;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      Host& host = hosts_[i];
      if (wave == kNone && under_way_ >= kHostsAtATime) return;
      if (!host.Active() || host.Busy() || GroupOf(host) != group) continue;
      if (wave != kNone && waves_[i] != wave) continue;
      const StepDefinition& definition = definitions_[host.next];
      Begin(i, definition.name);
      if (definition.once) return;
    }
  }

  Phase PhaseOf(size_t group) const {
    const auto first = std::find(groups_.begin(), groups_.end(), group);
    return definitions_[static_cast<size_t>(first - groups_.begin())].phase;
  }

  size_t GroupOf(const Host& host) const {
    return host.next < groups_.size() ? groups_[host.next] : kNone;
  }

  // The first one that some host has not left yet.
  size_t PresentGroup() {
    size_t group = kNone;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      Host& host = hosts_[i];
      if (!host.Active()) continue;
      if (!host.Busy()) Advance(i);
      group = std::min(group, GroupOf(host));
    }
    return group;
  }

  size_t PresentWave(size_t group) const {
    size_t wave = kNone;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      if (hosts_[i].Active() && GroupOf(hosts_[i]) == group) wave = std::min(wave, waves_[i]);
    }
    return wave;
  }

  // Past what this host has done, and what it is not to do.
  void Advance(size_t index) {
    Host& host = hosts_[index];
    for (; host.next < definitions_.size(); ++host.next) {
      const StepDefinition& definition = definitions_[host.next];
      if (FindStep(state_.rollouts[index], definition.name) != nullptr) continue;
      if (definition.wanted && !definition.wanted(At(index))) continue;
      if (definition.once && HasRun(definition)) continue;
      return;
    }
  }

  // On some host, or it does so now: then that host keeps the others in this group.
  bool HasRun(const StepDefinition& definition) const {
    return std::any_of(state_.rollouts.begin(), state_.rollouts.end(), [&](const auto& rollout) {
      return FindStep(rollout, definition.name) != nullptr;
    });
  }

  // Hosts that stay behind are taken back while the others go on.
  void UndoFailedHosts() {
    if (failures_ == 0) return;
    for (size_t host = 0; host < hosts_.size(); ++host) {
      if (!hosts_[host].failed || hosts_[host].Busy()) continue;
      if (const StepDefinition* undo = NextUndo(host)) BeginUndo(host, *undo);
    }
  }

  void GoBack() {
    bool switching = false;
    for (size_t host = 0; host < hosts_.size(); ++host) {
      if (hosts_[host].Busy()) {
        const StepRecord& step = UnderWay(host);
        switching |= DefinitionOf(step).phase == Phase::kCommit;
        if (IsStoppable(step)) decision_.stops.push_back(host);
        continue;
      }
      const StepDefinition* undo = NextUndo(host);
      if (undo == nullptr || undo->phase != Phase::kCommit) continue;
      BeginUndo(host, *undo);
      switching = true;
    }
    // Nobody visits a candidate: those can wait.
    for (size_t host = 0; !switching && host < hosts_.size(); ++host) {
      if (under_way_ >= kHostsAtATime) return;
      if (hosts_[host].Busy()) continue;
      if (const StepDefinition* undo = NextUndo(host)) BeginUndo(host, *undo);
    }
    if (under_way_ == 0) End(UndoneOutcome(state_));
  }

  // Null when there is nothing (more) to undo on this host.
  const StepDefinition* NextUndo(size_t host) const {
    if (hosts_[host].fenced) return nullptr;
    for (auto one = definitions_.rbegin(); one != definitions_.rend(); ++one) {
      if (one->undo_when != UndoWhen::kNever && WantsUndo(state_.rollouts[host], *one)) {
        return &*one;
      }
    }
    return nullptr;
  }

  static bool WantsUndo(const RolloutRecord& rollout, const StepDefinition& definition) {
    const StepRecord* step = FindStep(rollout, definition.name);
    if (step == nullptr || IsStuck(rollout) ||
        FindStep(rollout, absl::StrCat(kUndoPrefix, definition.name)) != nullptr) {
      return false;
    }
    if (definition.undo_when == UndoWhen::kDone) {
      return step->state == pb::STEP_STATE_DONE && PreviousSlot(rollout) != pb::SLOT_UNSPECIFIED;
    }
    // A candidate that serves, with nothing to go back to, is better than nothing.
    return !Serves(rollout);
  }

  // What is written down and sent.

  void BeginUndo(size_t host, const StepDefinition& definition) {
    Begin(host, absl::StrCat(kUndoPrefix, definition.name));
  }

  void Begin(size_t index, const std::string& name) {
    RolloutRecord& rollout = state_.rollouts[index];
    StepRecord step;
    step.name = name;
    step.state = pb::STEP_STATE_DISPATCHED;
    step.attempt = 1;
    step.start_time = time_;
    const auto doing = IsUndo(step) ? pb::DEPLOYMENT_STATE_UNDOING : pb::DEPLOYMENT_STATE_RUNNING;
    if (rollout.state != doing) {
      rollout.state = doing;
      HostChanged(index);
    }
    rollout.steps.push_back(std::move(step));
    hosts_[index].under_way = rollout.steps.size() - 1;
    ++under_way_;
    Changed(index, hosts_[index].under_way);
    Send(index, hosts_[index].under_way);
  }

  // The same state gives the same bytes: the executor compares a repeated command with the first one.
  void Send(size_t host, size_t position) {
    const RolloutRecord& rollout = state_.rollouts[host];
    const StepRecord& step = rollout.steps[position];
    const StepDefinition& definition = DefinitionOf(step);
    Dispatch dispatch{host, position, {}, definition.timeout};
    xpb::Operation& operation = *dispatch.request.mutable_operation();
    operation.set_app(state_.app);
    // The epoch is part of it, so that it is unique for ever even when a controller lost its memory.
    operation.set_id(absl::StrCat(state_.id, "/", rollout.host, "/", step.name, "/", state_.epoch,
                                  ".", step.attempt));
    operation.set_epoch(state_.epoch);
    *operation.mutable_timeout() = ToProto(definition.timeout);
    (IsUndo(step) ? definition.undo : definition.command)(At(host), dispatch.request);
    decision_.dispatches.push_back(std::move(dispatch));
    hosts_[host].sent = true;
  }

  void End(const Outcome& outcome) {
    state_.reason = outcome.reason;
    state_.message = outcome.message;
    // What ought to serve everywhere is not changed by bringing it to some hosts.
    state_.serves = outcome.serves && state_.kind != pb::DEPLOYMENT_KIND_RECONCILE;
    state_.end_time = time_;
    for (size_t host = 0; host < state_.rollouts.size(); ++host) {
      state_.rollouts[host].state = HostOutcome(state_.rollouts[host], outcome);
      HostChanged(host);
    }
    SetState(outcome.state);
    decision_.transition.history = HistoryDraft{
        state_.app, state_.actor, EnumWord(state_.kind), DeploymentName(state_.app, state_.id),
        absl::StrCat(
            EnumWord(state_.state), ", release ", state_.release,
            state_.reason == pb::FAILURE_REASON_UNSPECIFIED ? "" : ", reason ",
            state_.reason == pb::FAILURE_REASON_UNSPECIFIED ? "" : EnumWord(state_.reason))};
  }

  void SetState(pb::DeploymentState to) {
    state_.state = to;
    decision_.changed = true;
    pb::StateChange& change = *decision_.transition.events.emplace_back().mutable_state();
    change.set_state(to);
    change.set_reason(state_.reason);
    change.set_message(state_.message);
  }

  void Changed(size_t host, size_t position) {
    decision_.changed = true;
    const StepRecord& step = state_.rollouts[host].steps[position];
    decision_.transition.steps.push_back({host, position, step});
    pb::Event& event = decision_.transition.events.emplace_back();
    event.set_host(state_.rollouts[host].host);
    *event.mutable_step() = StepMessage(step);
  }

  void HostChanged(size_t host) {
    decision_.changed = true;
    const RolloutRecord& rollout = state_.rollouts[host];
    decision_.transition.hosts.push_back({host, rollout.state, rollout.slot});
  }

  const RolloutContext& context_;
  const std::vector<StepDefinition> definitions_;
  const std::vector<size_t> groups_;
  DeploymentRecord state_;
  const std::vector<size_t> waves_;
  std::vector<Host> hosts_;
  size_t under_way_ = 0;
  size_t failures_ = 0;
  Time time_;
  Decision decision_;
};

Decider::Decider(const RolloutContext& context, DeploymentRecord stored)
    : mind_(std::make_unique<Mind>(context, std::move(stored))) {}
Decider::~Decider() = default;

Decision Decider::Take(const std::vector<RolloutInput>& inputs, const Moment& moment) {
  return mind_->Take(inputs, moment);
}
const DeploymentRecord& Decider::State() const { return mind_->State(); }

}  // namespace slipway::controller
