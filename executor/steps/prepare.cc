// Step 3 to 5 of the protocol: the release onto the host, the candidate up and healthy, hooks.
// Nothing here touches what serves.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& names) {
  return names.empty() ? "none" : absl::StrJoin(names, ", ");
}

// DEPLOYMENT of an operation id DEPLOYMENT/HOST/STEP/ATTEMPT.
std::string DeploymentOf(const std::string& operation_id) {
  return operation_id.substr(0, operation_id.find('/'));
}

}  // namespace

StepOutcome Steps::Stage(const xpb::StageCommand& command, const StepCall& call) {
  const std::string& app = call.operation.app();
  StepOutcome outcome;
  pb::StageEvidence& evidence = *outcome.evidence.mutable_stage();
  const auto manifest = parts_.releases.ReadManifest(command.manifest_digest());
  if (outcome.status = manifest.status(); !outcome.status.ok()) return outcome;
  evidence.set_files(static_cast<uint32_t>(manifest->entries_size()));
  evidence.set_bytes(TotalBytes(*manifest));
  const StagedRelease staged{app,
                             command.release(),
                             command.spec(),
                             {command.allowances().begin(), command.allowances().end()}};
  if (parts_.releases.IsSealed(app, command.release())) {
    evidence.set_already_staged(true);
    outcome.summary = "already on this host";
    // What was allowed when it was staged may have been taken back since.
    outcome.status = WorkloadOf(command.spec()).CheckAllowances(staged);
    return outcome;
  }
  const auto stage = [&]() -> absl::Status {
    SLIPWAY_RETURN_IF_ERROR(parts_.releases.Unpack(app, command.release(), *manifest));
    SLIPWAY_RETURN_IF_ERROR(
        WriteFileAtomically(parts_.paths.Generated(app, command.release()) / "manifest",
                            command.manifest_digest(), 0600));
    SLIPWAY_RETURN_IF_ERROR(
        WorkloadOf(command.spec()).Prepare(staged, *manifest, command.env_file(), ToContext(call)));
    SLIPWAY_RETURN_IF_ERROR(
        WriteFileAtomically(parts_.paths.Generated(app, command.release()) / "spec",
                            command.spec().SerializeAsString(), 0600));
    xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
    if (FindRelease(facts, command.release()) == nullptr) {
      xpb::ReleaseFacts& known = *facts.add_releases();
      known.set_release(command.release());
      known.set_commit(command.commit());
      known.set_manifest_digest(command.manifest_digest());
      SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, facts));
    }
    return parts_.releases.Seal(app, command.release());
  };
  outcome.status = stage();
  outcome.summary = absl::StrCat(evidence.files(), " files, ", evidence.bytes() >> 10, " KiB");
  return outcome;
}

StepOutcome Steps::Build(const StagedRelease& release, const StepCall& call) {
  const auto built = WorkloadOf(release.spec).Build(release, ToContext(call));
  if (!built.ok()) return {built.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_build() = *built;
  outcome.summary =
      absl::StrCat(built->built_images_size(), " built, ", built->reused_images_size(), " reused, ",
                   built->pulled_images_size(), " pulled");
  return outcome;
}

StepOutcome Steps::Shared(const StagedRelease& release, const std::vector<std::string>& update,
                          const StepCall& call) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(release.app);
  const xpb::SlotFacts* serving = FindSlot(facts, facts.active_slot());
  const auto previous = LoadStaged(release.app, serving == nullptr ? "" : serving->release());
  const auto shared = parts_.workload.EnsureShared(
      release, update, previous.ok() ? &*previous : nullptr, ToContext(call));
  if (!shared.ok()) return {shared.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_shared() = *shared;
  outcome.summary = absl::StrCat("started ", Joined(shared->started_services()), "; running ",
                                 Joined(shared->running_services()));
  if (!shared->changed_services().empty()) {
    absl::StrAppend(&outcome.summary,
                    "; left as they are though defined anew: ", Joined(shared->changed_services()),
                    " (", absl::StrJoin(shared->changes(), "; "), ")");
  }
  for (const pb::JobRun& job : shared->jobs()) {
    absl::StrAppend(&outcome.summary, "; job ", job.service(),
                    job.already_ran() ? " had already run" : " ran");
  }
  if (!shared->unchanged_services().empty()) {
    absl::StrAppend(&outcome.summary, "; not updated, for nothing of them changed: ",
                    Joined(shared->unchanged_services()));
  }
  if (!shared->updated_services().empty())
    absl::StrAppend(&outcome.summary, "; updated ", Joined(shared->updated_services()));
  return outcome;
}

StepOutcome Steps::Start(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  if (absl::Status status = RefuseIfServing(release.app, slot); !status.ok())
    return {status, "", {}};
  if (absl::Status status = LetFinish(release.app, slot, call); !status.ok())
    return {status, "", {}};
  // The slot's warm time is over: from now on it belongs to this release.
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(release.app);
  if (const auto adopted = StopAdopted(facts, slot, call); !adopted.ok())
    return {adopted.status(), "", {}};
  xpb::SlotFacts& known = MutableSlot(facts, slot);
  known.set_release(release.release);
  known.clear_warm_until();
  known.clear_old_workers();
  known.clear_undrained();
  known.clear_drain_until();
  known.set_port(PortOf(release.spec, slot));
  if (absl::Status status = Commit(parts_.journal, facts); !status.ok()) return {status, "", {}};
  const auto started = WorkloadOf(release.spec).StartSlot(release, slot, ToContext(call));
  if (!started.ok()) return {started.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_start() = *started;
  outcome.summary = started->port() == 0
                        ? absl::StrCat(SlotWord(slot), " is there")
                        : absl::StrCat(SlotWord(slot), " is up on port ", started->port());
  return outcome;
}

StepOutcome Steps::Remove(const std::string& app, pb::Slot slot, const StepCall& call) {
  const auto removed = StopSlot(app, slot, call);
  if (!removed.ok()) return {removed.status(), "", {}};
  StepOutcome outcome;
  for (const std::string& id : *removed)
    outcome.evidence.mutable_remove()->add_removed_containers(id);
  outcome.summary = removed->empty() ? absl::StrCat(SlotWord(slot), " was not there")
                                     : absl::StrCat(SlotWord(slot), " is removed");
  return outcome;
}

StepOutcome Steps::Health(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  StepOutcome outcome;
  if (release.spec.has_site()) {
    const auto files = parts_.site.Verify(release, slot, call.cancellation);
    outcome.status = files.status();
    if (!files.ok()) return outcome;
    outcome.evidence.mutable_health()->set_files(*files);
    outcome.summary = absl::StrCat(*files, " files are what the release says");
    return outcome;
  }
  HealthRequest request;
  request.app = release.app;
  request.slot = slot;
  request.spec = release.spec.health();
  request.address = parts_.settings.address;
  request.port = PortOf(release.spec, slot);
  request.deadline = call.deadline;
  request.cancellation = call.cancellation;
  HealthOutcome waited = parts_.health.Wait(request);
  outcome.status = waited.status;
  outcome.summary =
      absl::StrCat("healthy after ", FormatDuration(FromProto(waited.evidence.time_to_healthy())),
                   ", ", waited.evidence.probes(), " probes");
  *outcome.evidence.mutable_health() = std::move(waited.evidence);
  return outcome;
}

StepOutcome Steps::Hook(const StagedRelease& release, const std::string& name,
                        const StepCall& call) {
  const pb::Hook* hook = nullptr;
  for (const auto* list :
       {&release.spec.hooks().before_switch(), &release.spec.hooks().after_switch()}) {
    for (const pb::Hook& known : *list) {
      if (known.name() == name) hook = &known;
    }
  }
  if (hook == nullptr) {
    return {
        Failure(pb::FAILURE_REASON_HOOK, absl::StrCat("the release has no hook ", name)), "", {}};
  }
  CallContext context = ToContext(call);
  context.deadline = std::min(context.deadline, parts_.clock.Now() + FromProto(hook->timeout()));
  const std::string key = absl::StrCat(DeploymentOf(call.operation.id()), "/", name);
  const auto ran = parts_.workload.RunHook(release, *hook, key, context);
  if (!ran.ok()) return {ran.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_hook() = *ran;
  outcome.summary = absl::StrCat(name, ran->already_ran() ? " had already run" : " ran");
  if (ran->exit_code() != 0) {
    outcome.status =
        Failure(pb::FAILURE_REASON_HOOK,
                absl::StrCat("hook ", name, " ended with exit code ", ran->exit_code()));
  }
  return outcome;
}

}  // namespace slipway::executor
