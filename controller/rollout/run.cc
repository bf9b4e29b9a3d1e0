#include "controller/rollout/run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/durations.h"
#include "common/failpoint.h"
#include "common/logging.h"
#include "common/random.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/thread.h"
#include "controller/rollout/log_buffer.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

using std::chrono::steady_clock;

// All hooks share one word, and a file name may hold no colon.
[[maybe_unused]] std::string Failpoint(const std::string& step, const char* moment) {
  const std::string word =
      absl::StartsWith(step, "hook:") ? "hook" : absl::StrReplaceAll(step, {{":", "_"}});
  return absl::StrCat("controller.", word, ".", moment);
}

// Worth another try: the call may or may not have arrived.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status) || DetailOf(status).reason() == "OPERATION_RUNNING";
}

pb::FailureReason ReasonOf(const absl::Status& status) {
  if (DetailOf(status).reason() == "STALE_EPOCH") return pb::FAILURE_REASON_STALE_EPOCH;
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return pb::FAILURE_REASON_NO_SPACE;
    case absl::StatusCode::kDataLoss:
      return pb::FAILURE_REASON_RELEASE_CONTENT;
    case absl::StatusCode::kDeadlineExceeded:
      return pb::FAILURE_REASON_DEADLINE;
    default:
      return pb::FAILURE_REASON_INTERNAL;
  }
}

}  // namespace

absl::Status Engine::Run::Begin() {
  // With one thread of the crew every step is sent some time, however few threads there are later.
  SLIPWAY_RETURN_IF_ERROR(crew_->Reserve());
  SLIPWAY_ASSIGN_OR_RETURN(thread_, StartThread([this] {
                             Main();
                             MutexLock lock(mutex_);
                             done_ = true;
                           }));
  return absl::OkStatus();
}

Engine::Run::~Run() {
  Stop();
  if (thread_.joinable()) thread_.join();
  crew_.reset();
}

void Engine::Run::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.NotifyAll();
}

void Engine::Run::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = asked_ = true;
  changed_.NotifyAll();
}

void Engine::Run::Release() {
  MutexLock lock(mutex_);
  released_ = asked_ = true;
  changed_.NotifyAll();
}

bool Engine::Run::Done() {
  MutexLock lock(mutex_);
  return done_;
}

bool Engine::Run::Stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

bool Engine::Run::Pause(std::chrono::nanoseconds time, Action* action) {
  const auto deadline = steady_clock::now() + time;
  MutexLock lock(mutex_);
  const auto hurry = [action] { return action != nullptr && action->stop && !action->hurried; };
  while (!stopping_ && !hurry() && changed_.WaitUntil(mutex_, deadline)) {
  }
  if (hurry()) action->hurried = true;
  return stopping_;
}

absl::StatusOr<RolloutContext> Engine::Run::LoadContext(const DeploymentRecord& state) {
  RolloutContext context;
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release,
                           engine_.store_.GetRelease(app_, state.release));
  environment_revision_ = release.environment_revision;
  context.manifest_digest = release.manifest_digest;
  SLIPWAY_ASSIGN_OR_RETURN(context.spec, engine_.store_.GetSpec(app_, release.spec_revision));
  ApplyDefaults(context.spec);
  // What has served, newest first: none can be added while this deployment holds the lease.
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, engine_.store_.ListServed(app_, 1000));
  for (const DeploymentRecord& deployment : served) {
    context.served_releases.push_back(deployment.release);
  }
  return context;
}

std::optional<DeploymentRecord> Engine::Run::Load() {
  auto pause = engine_.times_.first_pause;
  while (true) {
    absl::StatusOr<DeploymentRecord> state = engine_.store_.GetDeployment(app_, id_);
    if (state.ok()) {
      absl::StatusOr<RolloutContext> context = LoadContext(*state);
      if (context.ok()) {
        context_ = *std::move(context);
        return *std::move(state);
      }
      state = context.status();
    }
    LogError(
        "cannot read a deployment",
        {{"app", app_}, {"deployment", id_}, {"error", std::string(state.status().message())}});
    if (Pause(pause, nullptr)) return std::nullopt;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
}

void Engine::Run::Main() {
  std::optional<DeploymentRecord> stored = Load();
  // It may have ended between the look at the store and the start of this thread.
  if (!stored || IsTerminal(stored->state)) return;
  Decider decider(context_, *std::move(stored));
  std::vector<RolloutInput> inputs;
  Moment moment;
  do {
    moment.time = engine_.clock_.WallNow();
    Decision decision = decider.Take(inputs, moment);
    if (decision.changed && !Record(std::move(decision.transition))) return;
    Tell(decider.State(), inputs);
    if (decision.ended && engine_.parts_.deployment_ended) {
      engine_.parts_.deployment_ended(decider.State());
    }
    // Last, so that whoever sees the event also sees the figures.
    engine_.hub_.Publish(app_, id_);
    if (decision.ended) {
      LogInfo("deployment ended", {{"app", app_},
                                   {"deployment", id_},
                                   {"state", pb::DeploymentState_Name(decider.State().state)}});
      LetNextBegin();
      return;
    }
    for (Dispatch& dispatch : decision.dispatches) Send(std::move(dispatch), decider.State());
    for (const size_t host : decision.stops) {
      MutexLock lock(mutex_);
      const auto found = actions_.find(host);
      if (found == actions_.end() || std::exchange(found->second->stop, true)) continue;
      changed_.NotifyAll();
      crew_->Submit([this, action = found->second] { TellHostToStop(*action); });
    }
  } while (AwaitInputs(inputs, moment));
}

void Engine::Run::Send(Dispatch dispatch, const DeploymentRecord& state) {
  const RolloutRecord& rollout = state.rollouts.at(dispatch.host);
  auto action = std::make_shared<Action>();
  action->host = rollout.host;
  action->step = rollout.steps.at(dispatch.position).name;
  SLIPWAY_FAILPOINT(Failpoint(action->step, "intended"));
  action->dispatch = std::move(dispatch);
  {
    MutexLock lock(mutex_);
    actions_[action->dispatch.host] = action;
  }
  crew_->Submit([this, action] { Act(*action); });
}

void Engine::Run::Tell(const DeploymentRecord& state, const std::vector<RolloutInput>& inputs) {
  for (const RolloutInput& input : inputs) {
    const RolloutRecord& rollout = state.rollouts.at(input.host);
    const StepRecord& step = rollout.steps.at(input.position);
    SLIPWAY_FAILPOINT(Failpoint(step.name, "recorded"));
    if (engine_.parts_.step_ended) engine_.parts_.step_ended(state, rollout.host, step);
  }
  if (engine_.parts_.progressed) engine_.parts_.progressed(state);
}

void Engine::Run::LetNextBegin() {
  if (!engine_.parts_.start_next) return;
  auto pause = engine_.times_.first_pause;
  while (true) {
    const absl::Status begun = engine_.parts_.start_next(app_);
    if (begun.ok()) return;
    LogError("cannot start the deployment that waits",
             {{"app", app_}, {"problem", std::string(begun.message())}});
    if (Pause(pause, nullptr)) return;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
}

bool Engine::Run::AwaitInputs(std::vector<RolloutInput>& inputs, Moment& moment) {
  MutexLock lock(mutex_);
  while (!stopping_ && ended_.empty() && !asked_) changed_.Wait(mutex_);
  inputs.clear();
  inputs.swap(ended_);
  moment.cancel_requested = cancelled_;
  moment.resume_requested = std::exchange(released_, false);
  asked_ = false;
  return !stopping_;
}

bool Engine::Run::Record(Transition transition) {
  // The store may not know whether a commit was carried out: it is told again as the same one.
  transition.id = RandomHex(8);
  auto pause = engine_.times_.first_pause;
  while (true) {
    if (Stopping()) return false;
    const absl::StatusOr<uint64_t> stored = engine_.store_.RecordTransition(transition);
    if (stored.ok()) return true;
    LogError(
        "cannot record a deployment's progress",
        {{"app", app_}, {"deployment", id_}, {"error", std::string(stored.status().message())}});
    if (absl::IsAborted(stored.status())) return false;
    if (Pause(pause, nullptr)) return false;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
}

void Engine::Run::TellHostToStop(Action& action) {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (stopping_ || action.ended) return;
    }
    const auto client = engine_.parts_.host(action.host);
    const std::string& operation = action.dispatch.request.operation().id();
    if (client == nullptr || client->Cancel(app_, operation).ok()) return;
    // The request may have overtaken the operation, or the host cannot be reached at the moment.
    const auto deadline = steady_clock::now() + engine_.times_.first_pause;
    MutexLock lock(mutex_);
    while (!stopping_ && !action.ended && changed_.WaitUntil(mutex_, deadline)) {
    }
  }
}

absl::Status Engine::Run::AddEnvironment(xpb::ExecuteRequest& request) {
  if (!request.has_stage()) return absl::OkStatus();
  std::vector<std::string> allowances;
  if (engine_.parts_.allowances) {
    SLIPWAY_ASSIGN_OR_RETURN(allowances, engine_.parts_.allowances(app_));
  }
  std::string text;
  if (environment_revision_ != 0) {
    SLIPWAY_ASSIGN_OR_RETURN(text, engine_.parts_.environment(app_, environment_revision_));
  }
  // Both or neither: it may be asked again.
  request.mutable_stage()->mutable_allowances()->Assign(allowances.begin(), allowances.end());
  request.mutable_stage()->set_env_file(std::move(text));
  return absl::OkStatus();
}

absl::StatusOr<xpb::StepResult> Engine::Run::Attempt(const xpb::ExecuteRequest& request,
                                                     const std::string& host, LogBuffer& log) {
  const auto client = engine_.parts_.host(host);
  if (client == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "UNKNOWN_HOST",
                 absl::StrCat("host ", host, " is not known to the controller (any more)"));
  }
  if (request.has_stage()) {
    SLIPWAY_RETURN_IF_ERROR(client->SendRelease(request.stage().manifest_digest()));
  }
  return client->Execute(request, [&log](const pb::LogLine& line) { log.Add(line); });
}

absl::StatusOr<xpb::StepResult> Engine::Run::Attempts(Action& action,
                                                      xpb::ExecuteRequest& request) {
  if (engine_.parts_.lead) request.mutable_operation()->set_lead(engine_.parts_.lead());
  LogBuffer log(engine_.store_, engine_.hub_, app_, id_, action.host, action.step);
  const auto deadline = steady_clock::now() + TimeoutOf(action.dispatch);
  auto pause = engine_.times_.first_pause;
  while (true) {
    // Without its environment the command is not sent at all; a store that cannot be read will be.
    const absl::Status complete = AddEnvironment(request);
    auto result = complete.ok() ? Attempt(request, action.host, log)
                                : absl::StatusOr<xpb::StepResult>(complete);
    const bool last = result.ok() || !IsPassing(result.status()) || Stopping() ||
                      steady_clock::now() + pause > deadline || Pause(pause, &action);
    if (last) {
      log.Flush();
      return result;
    }
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
}

void Engine::Run::Act(Action& action) {
  RolloutInput input;
  input.host = action.dispatch.host;
  input.position = action.dispatch.position;
  const auto start = steady_clock::now();
  xpb::ExecuteRequest request = action.dispatch.request;
  const absl::StatusOr<xpb::StepResult> result = Attempts(action, request);
  // The next engine asks again.
  if (Stopping()) return;
  SLIPWAY_FAILPOINT(Failpoint(action.step, "acted"));
  if (result.ok()) {
    input.kind = result->reason() == pb::FAILURE_REASON_STALE_EPOCH
                     ? RolloutInput::Kind::kFenced
                     : RolloutInput::Kind::kStepEnded;
    input.result = *result;
  } else {
    input.result.set_reason(ReasonOf(result.status()));
    input.result.set_summary(std::string(result.status().message()));
    *input.result.mutable_duration() = slipway::ToProto(steady_clock::now() - start);
    if (input.result.reason() == pb::FAILURE_REASON_STALE_EPOCH) {
      input.kind = RolloutInput::Kind::kFenced;
    } else if (IsPassing(result.status())) {
      input.kind = RolloutInput::Kind::kStepLost;
      input.result.set_reason(pb::FAILURE_REASON_HOST_UNREACHABLE);
      input.result.set_summary(absl::StrCat("no answer from ", action.host, " within ",
                                            FormatDuration(TimeoutOf(action.dispatch)), ": ",
                                            std::string(result.status().message())));
    }
  }
  MutexLock lock(mutex_);
  action.ended = true;
  actions_.erase(input.host);
  ended_.push_back(std::move(input));
  changed_.NotifyAll();
}

std::chrono::nanoseconds Engine::Run::TimeoutOf(const Dispatch& dispatch) const {
  return engine_.times_.deadline.count() > 0 ? engine_.times_.deadline : dispatch.timeout;
}

}  // namespace slipway::controller
