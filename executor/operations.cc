#include "executor/operations.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/digest.h"
#include "common/durations.h"
#include "common/failpoint.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/thread.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

// Lines a late caller may still see.
constexpr size_t kKeptLines = 2000;
constexpr size_t kKeptBytes = 4096;
constexpr char kLocalPrefix[] = "local/";

std::string ArgumentsHash(const xpb::ExecuteRequest& request) {
  xpb::ExecuteRequest command = request;
  command.clear_operation();
  // The env file is named by its digest: what stands in the journal says nothing of a secret's
  // length either.
  if (command.has_stage()) {
    command.mutable_stage()->set_env_file(Sha256Of(command.stage().env_file()));
    // An operator may change them between two attempts.
    command.mutable_stage()->clear_allowances();
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    command.SerializeToCodedStream(&coded);
  }
  return Sha256Of(bytes);
}

absl::Status Suspended() {
  return absl::UnavailableError("the executor stops; the step continues after its restart");
}

}  // namespace

std::string StepWord(const xpb::ExecuteRequest& request) {
  const auto* oneof = xpb::ExecuteRequest::descriptor()->FindOneofByName("command");
  const auto* field = request.GetReflection()->GetOneofFieldDescriptor(request, oneof);
  return field == nullptr ? "" : field->name();
}

bool IsLocalOperation(absl::string_view operation_id) {
  return absl::StartsWith(operation_id, kLocalPrefix);
}

Operations::Operations(Journal& journal, Clock& clock, StepFunction step,
                       std::function<void()> changed)
    : journal_(journal), clock_(clock), step_(std::move(step)), changed_(std::move(changed)) {}

Operations::~Operations() {
  Suspend();
  std::vector<std::shared_ptr<Run>> runs;
  {
    MutexLock lock(mutex_);
    for (auto& [app, run] : running_) runs.push_back(run);
    runs.insert(runs.end(), finished_.begin(), finished_.end());
  }
  for (auto& run : runs) {
    if (run->thread.joinable()) run->thread.join();
  }
}

void Operations::Suspend() {
  std::vector<std::shared_ptr<Run>> runs;
  {
    MutexLock lock(mutex_);
    suspended_ = true;
    for (auto& [app, run] : running_) runs.push_back(run);
    progress_.NotifyAll();
  }
  for (auto& run : runs) run->cancellation.Suspend();
}

absl::Status Operations::Admit(const xpb::ExecuteRequest& request,
                               const std::string& arguments_hash) {
  const xpb::Operation& operation = request.operation();
  if (StepWord(request).empty() || operation.app().empty() || operation.id().empty()) {
    return absl::InvalidArgumentError("an operation needs an application, an id and a command");
  }
  const uint64_t highest = journal_.EpochOf(operation.app());
  if (operation.epoch() < highest) {
    ++stale_epochs_;
    return Error(absl::StatusCode::kAborted, "STALE_EPOCH",
                 absl::StrCat("epoch ", operation.epoch(), " is over: this host obeys ", highest));
  }
  // A controller that is alone (again) has no lead to show.
  const uint64_t lead = journal_.Lead();
  if (operation.lead() != 0 && operation.lead() < lead) {
    ++stale_epochs_;
    return Error(
        absl::StatusCode::kAborted, "STALE_EPOCH",
        absl::StrCat("lead ", operation.lead(), " is over: another controller leads by ", lead));
  }
  if (const auto intent = journal_.IntentOf(operation.id());
      intent && intent->arguments_hash() != arguments_hash) {
    return Error(absl::StatusCode::kInvalidArgument, "OPERATION_ID_REUSED",
                 absl::StrCat("operation ", operation.id(), " was another command"));
  }
  const auto running = running_.find(operation.app());
  // What RunLocally() runs has no arguments, and nobody else may attach to it.
  const bool same = running != running_.end() && running->second->operation_id == operation.id() &&
                    running->second->arguments_hash == arguments_hash;
  if (running != running_.end() && !same) {
    return Error(absl::StatusCode::kFailedPrecondition, "OPERATION_RUNNING",
                 absl::StrCat(running->second->operation_id, " runs for ", operation.app()));
  }
  if (operation.epoch() > highest || operation.lead() > lead) {
    xpb::JournalRecord record;
    record.mutable_fence()->set_app(operation.app());
    record.mutable_fence()->set_epoch(operation.epoch());
    record.mutable_fence()->set_lead(operation.lead());
    SLIPWAY_RETURN_IF_ERROR(journal_.Append(record));
  }
  return absl::OkStatus();
}

absl::StatusOr<xpb::StepResult> Operations::Execute(
    const xpb::ExecuteRequest& request, const std::function<bool(absl::string_view)>& on_line) {
  const std::string arguments_hash = ArgumentsHash(request);
  std::shared_ptr<Run> run;
  {
    MutexLock lock(mutex_);
    AwaitHousekeeping(request.operation().app());
    JoinFinished();
    if (suspended_) return Suspended();
    SLIPWAY_RETURN_IF_ERROR(Admit(request, arguments_hash));
    if (const auto result = journal_.ResultOf(request.operation().id())) return *result;
    const auto running = running_.find(request.operation().app());
    if (running != running_.end()) {
      run = running->second;
    } else {
      xpb::JournalRecord record;
      xpb::Intent& intent = *record.mutable_intent();
      // An interrupted switch keeps what it wrote down for its own recovery.
      if (const auto known = journal_.IntentOf(request.operation().id())) {
        intent = *known;
        ++run_again_;
      }
      intent.set_app(request.operation().app());
      intent.set_operation_id(request.operation().id());
      intent.set_arguments_hash(arguments_hash);
      intent.set_step(StepWord(request));
      intent.set_epoch(request.operation().epoch());
      SLIPWAY_RETURN_IF_ERROR(journal_.Append(record));
      SLIPWAY_ASSIGN_OR_RETURN(run, Start(request, arguments_hash));
    }
  }
  return Follow(run, on_line);
}

absl::StatusOr<std::shared_ptr<Operations::Run>> Operations::Start(
    const xpb::ExecuteRequest& request, const std::string& arguments_hash) {
  auto run = std::make_shared<Run>();
  run->operation_id = request.operation().id();
  run->arguments_hash = arguments_hash;
  auto thread = StartThread([this, request, run] { RunStep(request, run); });
  // Its intent is open: the same operation, asked for again, begins when there is a thread for it.
  if (!thread.ok()) return absl::UnavailableError(thread.status().message());
  run->thread = *std::move(thread);
  running_[request.operation().app()] = run;
  return run;
}

void Operations::RunStep(const xpb::ExecuteRequest& request, const std::shared_ptr<Run>& run) {
  const std::string word = StepWord(request);
  SLIPWAY_FAILPOINT("executor." + word + ".intended");
  const auto start = clock_.Now();
  StepCall call;
  call.operation = request.operation();
  call.deadline = start + FromProto(request.operation().timeout());
  call.cancellation = &run->cancellation;
  call.on_line = [this, &run](absl::string_view line) {
    MutexLock lock(mutex_);
    if (run->lines.size() == kKeptLines) return;
    const bool last = run->lines.size() + 1 == kKeptLines;
    run->lines.emplace_back(last ? "(further lines are left out)" : line.substr(0, kKeptBytes));
    progress_.NotifyAll();
  };
  xpb::StepResult result = step_(request, call);
  *result.mutable_duration() = ToProto(clock_.Now() - start);
  SLIPWAY_FAILPOINT("executor." + word + ".acted");

  const bool unfinished = run->cancellation.IsSuspended() && !result.succeeded();
  const absl::Status recorded =
      unfinished ? Suspended() : RecordResult(request.operation(), result);
  SLIPWAY_FAILPOINT("executor." + word + ".recorded");
  LogInfo("step", {{"app", request.operation().app()},
                   {"step", word},
                   {"operation", request.operation().id()},
                   {"outcome", unfinished           ? "suspended"
                               : result.succeeded() ? "ok"
                                                    : pb::FailureReason_Name(result.reason())},
                   {"took", FormatDuration(FromProto(result.duration()))}});
  {
    MutexLock lock(mutex_);
    run->done = true;
    run->result = std::move(result);
    run->failure = recorded;
    running_.erase(request.operation().app());
    finished_.push_back(run);
    progress_.NotifyAll();
  }
  changed_();
}

absl::Status Operations::RecordResult(const xpb::Operation& operation,
                                      const xpb::StepResult& result) {
  xpb::JournalRecord record;
  record.mutable_result()->set_app(operation.app());
  record.mutable_result()->set_operation_id(operation.id());
  *record.mutable_result()->mutable_result() = result;
  return journal_.Append(record);
}

absl::StatusOr<xpb::StepResult> Operations::Follow(
    const std::shared_ptr<Run>& run, const std::function<bool(absl::string_view)>& on_line) {
  size_t seen = 0;
  while (true) {
    std::vector<std::string> fresh;
    {
      MutexLock lock(mutex_);
      while (!run->done && !suspended_ && run->lines.size() == seen) progress_.Wait(mutex_);
      fresh.assign(run->lines.begin() + static_cast<std::ptrdiff_t>(seen), run->lines.end());
      if (fresh.empty() && run->done) {
        if (!run->failure.ok()) return run->failure;
        return run->result;
      }
      if (fresh.empty() && suspended_) return Suspended();
    }
    seen += fresh.size();
    for (const std::string& line : fresh) {
      if (!on_line(line)) return absl::CancelledError("the caller has gone; the step goes on");
    }
  }
}

void Operations::JoinFinished() {
  for (auto& run : finished_) run->thread.join();
  finished_.clear();
}

bool Operations::Cancel(const std::string& app, const std::string& operation_id) {
  MutexLock lock(mutex_);
  const auto found = running_.find(app);
  if (found == running_.end() || found->second->operation_id != operation_id) return false;
  found->second->cancellation.Cancel();
  return true;
}

std::string Operations::Running(const std::string& app) const {
  MutexLock lock(mutex_);
  const auto found = running_.find(app);
  return found == running_.end() ? "" : found->second->operation_id;
}

absl::StatusOr<xpb::StepResult> Operations::RunLocally(
    const std::string& app, const std::function<xpb::StepResult(const StepCall&)>& work) {
  auto run = std::make_shared<Run>();
  StepCall call;
  {
    MutexLock lock(mutex_);
    AwaitHousekeeping(app);
    if (suspended_) return Suspended();
    if (const auto running = running_.find(app); running != running_.end()) {
      return Error(absl::StatusCode::kFailedPrecondition, "OPERATION_RUNNING",
                   absl::StrCat(running->second->operation_id, " runs for ", app),
                   "wait for it, or cancel the deployment");
    }
    xpb::JournalRecord record;
    record.mutable_fence()->set_app(app);
    record.mutable_fence()->set_epoch(journal_.EpochOf(app) + 1);
    SLIPWAY_RETURN_IF_ERROR(journal_.Append(record));
    call.operation.set_epoch(record.fence().epoch());
    run->operation_id = absl::StrCat(kLocalPrefix, app, "/", record.fence().epoch());
    xpb::Intent intent;
    intent.set_app(app);
    intent.set_operation_id(run->operation_id);
    intent.set_step("rollback");
    intent.set_epoch(record.fence().epoch());
    *record.mutable_intent() = std::move(intent);
    SLIPWAY_RETURN_IF_ERROR(journal_.Append(record));
    running_[app] = run;
  }
  call.operation.set_app(app);
  call.operation.set_id(run->operation_id);
  call.deadline = clock_.Now() + std::chrono::minutes(10);
  call.cancellation = &run->cancellation;
  call.on_line = [](absl::string_view) {};
  const xpb::StepResult result = work(call);
  const bool unfinished = run->cancellation.IsSuspended() && !result.succeeded();
  const absl::Status recorded = unfinished ? Suspended() : RecordResult(call.operation, result);
  {
    MutexLock lock(mutex_);
    running_.erase(app);
  }
  changed_();
  if (unfinished) return recorded;
  // What was done is true whether or not it could be recorded; the next fence closes the intent.
  if (!recorded.ok()) LogError("journal", {{"error", std::string(recorded.message())}});
  return result;
}

bool Operations::WhileIdle(const std::string& app, const std::function<void()>& work) {
  {
    MutexLock lock(mutex_);
    if (running_.contains(app) || !housekeeping_.insert(app).second) return false;
  }
  work();
  MutexLock lock(mutex_);
  housekeeping_.erase(app);
  progress_.NotifyAll();
  return true;
}

void Operations::AwaitHousekeeping(const std::string& app) {
  while (housekeeping_.contains(app)) progress_.Wait(mutex_);
}

uint64_t Operations::StaleEpochs() const {
  MutexLock lock(mutex_);
  return stale_epochs_;
}

uint64_t Operations::RunAgain() const {
  MutexLock lock(mutex_);
  return run_again_;
}

}  // namespace slipway::executor
