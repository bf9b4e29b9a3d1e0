#include "controller/rollout/run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/durations.h"
#include "common/failpoint.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
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

Engine::Run::Run(Engine& engine, std::string app, std::string id)
    : engine_(engine), app_(std::move(app)), id_(std::move(id)), thread_([this] {
        Main();
        {
          MutexLock lock(mutex_);
          done_ = true;
          changed_.NotifyAll();
        }
      }) {}

Engine::Run::~Run() {
  Stop();
  thread_.join();
  // Made by Cancel(), which nobody calls any more.
  if (canceller_.joinable()) canceller_.join();
}

void Engine::Run::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.NotifyAll();
}

void Engine::Run::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  changed_.NotifyAll();
  if (!canceller_.joinable()) canceller_ = std::thread([this] { TellHostToStop(); });
}

bool Engine::Run::Done() {
  MutexLock lock(mutex_);
  return done_;
}

bool Engine::Run::Stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

bool Engine::Run::Pause(std::chrono::nanoseconds time) {
  const auto deadline = steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_ && (!cancelled_ || cancel_seen_) && changed_.WaitUntil(mutex_, deadline)) {
  }
  if (cancelled_) cancel_seen_ = true;
  return stopping_;
}

void Engine::Run::TellHostToStop() {
  while (true) {
    std::string operation;
    std::string host;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !done_ && operation_.empty()) changed_.Wait(mutex_);
      if (stopping_ || done_) return;
      operation = operation_;
      host = operation_host_;
    }
    const auto client = engine_.parts_.host(host);
    const bool told = client != nullptr && client->Cancel(app_, operation).ok();
    if (told || client == nullptr) return;
    // The request may have overtaken the operation, or the host cannot be reached at the moment.
    const auto deadline = steady_clock::now() + engine_.times_.first_pause;
    MutexLock lock(mutex_);
    while (!stopping_ && operation_ == operation && changed_.WaitUntil(mutex_, deadline)) {
    }
  }
}

absl::StatusOr<RolloutContext> Engine::Run::LoadContext() {
  RolloutContext context;
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release,
                           engine_.store_.GetRelease(app_, state_.release));
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

void Engine::Run::Main() {
  auto pause = engine_.times_.first_pause;
  while (true) {
    absl::StatusOr<DeploymentRecord> state = engine_.store_.GetDeployment(app_, id_);
    if (state.ok()) {
      state_ = *std::move(state);
      absl::StatusOr<RolloutContext> context = LoadContext();
      if (context.ok()) {
        context_ = *std::move(context);
        break;
      }
      state = context.status();
    }
    LogError(
        "cannot read a deployment",
        {{"app", app_}, {"deployment", id_}, {"error", std::string(state.status().message())}});
    if (Pause(pause)) return;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
  RolloutInput input;
  while (true) {
    {
      MutexLock lock(mutex_);
      input.cancel_requested = cancelled_ || state_.cancel_requested;
    }
    input.time = engine_.clock_.WallNow();
    Decision decision = Decide(context_, state_, input);
    if (decision.changed && !Record(decision.transition)) return;
    state_ = decision.transition.deployment;
    if (input.kind != RolloutInput::Kind::kResume) {
      const RolloutRecord& rollout = state_.rollouts.at(input.host);
      const StepRecord& step = rollout.steps.at(input.position);
      SLIPWAY_FAILPOINT(Failpoint(step.name, "recorded"));
      if (engine_.parts_.step_ended) engine_.parts_.step_ended(state_, rollout.host, step);
    }
    if (engine_.parts_.progressed) engine_.parts_.progressed(state_);
    if (!decision.dispatch && engine_.parts_.deployment_ended) {
      engine_.parts_.deployment_ended(state_);
    }
    // Last, so that whoever sees the event also sees the figures.
    engine_.hub_.Publish(app_, id_);
    if (!decision.dispatch) {
      LogInfo(
          "deployment ended",
          {{"app", app_}, {"deployment", id_}, {"state", pb::DeploymentState_Name(state_.state)}});
      return;
    }
    std::optional<RolloutInput> next = Act(*decision.dispatch);
    if (!next) return;
    input = *std::move(next);
  }
}

bool Engine::Run::Record(const Transition& transition) {
  auto pause = engine_.times_.first_pause;
  while (true) {
    if (Stopping()) return false;
    const absl::StatusOr<uint64_t> stored = engine_.store_.RecordTransition(transition);
    if (stored.ok()) return true;
    LogError(
        "cannot record a deployment's progress",
        {{"app", app_}, {"deployment", id_}, {"error", std::string(stored.status().message())}});
    if (absl::IsAborted(stored.status())) return false;
    if (Pause(pause)) return false;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
}

absl::Status Engine::Run::AddEnvironment(xpb::ExecuteRequest& request) {
  if (!request.has_stage()) return absl::OkStatus();
  if (engine_.parts_.allowances) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto allowances, engine_.parts_.allowances(app_));
    request.mutable_stage()->mutable_allowances()->Add(allowances.begin(), allowances.end());
  }
  if (environment_revision_ == 0) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(std::string text,
                           engine_.parts_.environment(app_, environment_revision_));
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

std::optional<RolloutInput> Engine::Run::Act(const Dispatch& dispatch) {
  const RolloutRecord& rollout = state_.rollouts.at(dispatch.host);
  const std::string& name = rollout.steps.at(dispatch.position).name;
  SLIPWAY_FAILPOINT(Failpoint(name, "intended"));
  RolloutInput input;
  input.host = dispatch.host;
  input.position = dispatch.position;
  xpb::ExecuteRequest request = dispatch.request;
  // Without its environment the command is not sent at all.
  const absl::Status ready = AddEnvironment(request);
  absl::StatusOr<xpb::StepResult> result = xpb::StepResult();
  LogBuffer log(engine_.store_, engine_.hub_, app_, id_, rollout.host, name);
  {
    MutexLock lock(mutex_);
    operation_ = dispatch.stoppable ? request.operation().id() : "";
    operation_host_ = rollout.host;
    changed_.NotifyAll();
  }
  const auto start = steady_clock::now();
  const auto timeout =
      engine_.times_.deadline.count() > 0 ? engine_.times_.deadline : dispatch.timeout;
  auto pause = engine_.times_.first_pause;
  while (true) {
    if (Stopping()) return std::nullopt;
    result = ready.ok() ? Attempt(request, rollout.host, log) : ready;
    if (Stopping()) return std::nullopt;
    if (result.ok() || !IsPassing(result.status())) break;
    if (steady_clock::now() - start + pause > timeout) break;
    if (Pause(pause)) return std::nullopt;
    pause = std::min(pause * 2, engine_.times_.longest_pause);
  }
  log.Flush();
  {
    MutexLock lock(mutex_);
    operation_.clear();
    changed_.NotifyAll();
  }
  SLIPWAY_FAILPOINT(Failpoint(name, "acted"));
  if (result.ok()) {
    input.kind = result->reason() == pb::FAILURE_REASON_STALE_EPOCH
                     ? RolloutInput::Kind::kFenced
                     : RolloutInput::Kind::kStepEnded;
    input.result = *std::move(result);
    return input;
  }
  input.result.set_reason(ReasonOf(result.status()));
  input.result.set_summary(std::string(result.status().message()));
  *input.result.mutable_duration() = slipway::ToProto(steady_clock::now() - start);
  input.kind = RolloutInput::Kind::kStepEnded;
  if (input.result.reason() == pb::FAILURE_REASON_STALE_EPOCH) {
    input.kind = RolloutInput::Kind::kFenced;
  } else if (IsPassing(result.status())) {
    input.kind = RolloutInput::Kind::kStepLost;
    input.result.set_reason(pb::FAILURE_REASON_HOST_UNREACHABLE);
    input.result.set_summary(absl::StrCat("no answer from ", rollout.host, " within ",
                                          FormatDuration(timeout), ": ",
                                          std::string(result.status().message())));
  }
  return input;
}

}  // namespace slipway::controller
