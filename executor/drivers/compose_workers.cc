// Workers: singletons, replaced and never doubled. Hooks: one container each, which is also the
// record of its run.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/call_stop.h"
#include "executor/drivers/compose_workload.h"
#include "executor/drivers/evidence_text.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using std::chrono::steady_clock;

// A worker that is still the same process after this long has started.
constexpr std::chrono::milliseconds kSettled{1000};
constexpr int kTailLines = 40;

}  // namespace

// Ours, and those of an adopted installation.
absl::StatusOr<std::vector<DockerContainer>> ComposeWorkload::RunningWorkers(
    const StagedRelease& release) {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<DockerContainer> workers,
                           engine_.InspectAll({{kLabelProject, WorkersProject(release.app)}}));
  SLIPWAY_ASSIGN_OR_RETURN(const auto adopted,
                           engine_.InspectAll({{kLabelProject, release.spec.compose().project()}}));
  const auto& names = release.spec.compose().workers();
  for (const DockerContainer& container : adopted) {
    if (std::find(names.begin(), names.end(), container.Label(kLabelService)) != names.end()) {
      workers.push_back(container);
    }
  }
  return workers;
}

absl::Status ComposeWorkload::StartWorkers(const StagedRelease& release, const CallContext& call) {
  const std::string project = WorkersProject(release.app);
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  SLIPWAY_RETURN_IF_ERROR(MakeLastingBinds(release, cut));
  SLIPWAY_RETURN_IF_ERROR(compose_.Up(ProjectFor(release, project, "workers.json"), {}, call));
  CallStop settled(call, std::min(call.deadline, steady_clock::now() + kSettled));
  std::optional<Death> death = AwaitDeathIn(project, settled.cancellation());
  if (!death) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto containers, engine_.List({{kLabelProject, project}}));
    for (const DockerContainer& container : containers) {
      if (container.running()) continue;
      death = {container.id, absl::StrCat(container.Label(kLabelService), " is ", container.state)};
    }
  }
  if (!death) return absl::OkStatus();
  const std::vector<std::string> tail = Tail(death->container, 3);
  return Failure(pb::FAILURE_REASON_WORKER,
                 absl::StrCat("a worker does not stay up: ", death->what,
                              tail.empty() ? "" : absl::StrCat(": ", tail.back())));
}

absl::StatusOr<pb::WorkersEvidence> ComposeWorkload::ReplaceWorkers(const StagedRelease& release,
                                                                    const StagedRelease* previous,
                                                                    const CallContext& call) {
  pb::WorkersEvidence evidence;
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerContainer> old, RunningWorkers(release));
  SLIPWAY_RETURN_IF_ERROR(RefuseForeign(old));
  const auto& names = release.spec.compose().workers();
  const bool current = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::any_of(old.begin(), old.end(), [&](const DockerContainer& container) {
      return container.Label(kLabelService) == name &&
             container.Label(kLabelRelease) == release.release && container.running();
    });
  });
  if (current && old.size() == static_cast<size_t>(names.size())) {
    for (const std::string& name : names) evidence.add_unchanged(name);
    return evidence;
  }
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  SLIPWAY_RETURN_IF_ERROR(StopAll(old, &cut.workers));
  std::vector<DockerContainer> adopted;
  for (const DockerContainer& container : old) {
    if (container.Label(kLabelProject) == WorkersProject(release.app)) {
      SLIPWAY_RETURN_IF_ERROR(engine_.Remove(container.id));
    } else {
      adopted.push_back(container);
    }
  }
  const absl::Status started = StartWorkers(release, call);
  if (started.ok()) {
    for (const DockerContainer& container : adopted)
      SLIPWAY_RETURN_IF_ERROR(engine_.Remove(container.id));
    for (const std::string& name : names) evidence.add_replaced(name);
    return evidence;
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto failed,
                           ListOwn({{kLabelProject, WorkersProject(release.app)}}));
  for (const DockerContainer& container : failed)
    SLIPWAY_RETURN_IF_ERROR(engine_.Remove(container.id));
  absl::Status restored = absl::NotFoundError("there was none");
  for (const DockerContainer& container : adopted) restored = engine_.Start(container.id);
  if (adopted.empty() && previous != nullptr) restored = StartWorkers(*previous, call);
  return Failure(
      pb::FAILURE_REASON_WORKER,
      absl::StrCat(std::string(started.message()),
                   restored.ok() ? "; the previous workers run again"
                                 : "; and the previous workers could not be started again: ",
                   restored.ok() ? "" : std::string(restored.message())));
}

absl::StatusOr<DockerContainer> ComposeWorkload::CreateHookContainer(const StagedRelease& release,
                                                                     const pb::Hook& hook,
                                                                     const std::string& key,
                                                                     const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto others,
                           ListOwn({{kLabelApp, release.app}, {kLabelRole, "hook"}}));
  for (const DockerContainer& other : others) SLIPWAY_RETURN_IF_ERROR(engine_.Remove(other.id));
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  SLIPWAY_RETURN_IF_ERROR(MakeLastingBinds(release, cut));
  const std::string service = absl::StrCat("hook-", hook.name());
  nlohmann::json project = cut.hooks;
  nlohmann::json chosen = project["services"][service];
  nlohmann::json& labels = chosen["labels"];
  if (labels.is_array()) {
    labels.push_back(absl::StrCat(kLabelHook, "=", key));
  } else {
    labels[kLabelHook] = key;
  }
  project["services"] = {{service, std::move(chosen)}};
  const auto target = ProjectFor(release, HooksProject(release.app), "hook.json");
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(
      target.file, project.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 0600));
  SLIPWAY_RETURN_IF_ERROR(compose_.Create(target, {service}, call));
  SLIPWAY_ASSIGN_OR_RETURN(const auto created, engine_.InspectAll({{kLabelHook, key}}));
  if (created.size() != 1)
    return absl::InternalError(
        absl::StrCat("compose made ", created.size(), " containers for hook ", hook.name()));
  return created.front();
}

absl::StatusOr<int> ComposeWorkload::RunToEnd(const DockerContainer& container,
                                              absl::string_view what, const CallContext& call) {
  if (container.state == "created") SLIPWAY_RETURN_IF_ERROR(engine_.Start(container.id));
  CallStop stop(call);
  // Without a log driver that can be read there are no lines, and the exit code is the same.
  const absl::Status followed = engine_.StreamLogs(
      container.id, /*follow=*/true, -1, &stop.cancellation(), [&](absl::string_view line) {
        if (call.on_line) call.on_line(line);
        return true;
      });
  static_cast<void>(followed);
  // The output ends a moment before the engine has the exit code, or long before, when the program
  // closed it.
  const absl::StatusOr<int> exit_code = engine_.Wait(container.id, &stop.cancellation());
  if (call.cancellation != nullptr && call.cancellation->IsSuspended()) {
    // The container is the record of the run: after the restart it is followed to its end.
    return absl::CancelledError(absl::StrCat(what, " continues"));
  }
  if (stop.cancellation().IsCancelled()) {
    SLIPWAY_RETURN_IF_ERROR(engine_.Stop(container.id, GraceOf(container)));
    return Failure(pb::FAILURE_REASON_HOOK,
                   absl::StrCat(what, " was stopped: out of time or cancelled"));
  }
  return exit_code;
}

absl::StatusOr<pb::HookEvidence> ComposeWorkload::RunHook(const StagedRelease& release,
                                                          const pb::Hook& hook,
                                                          const std::string& key,
                                                          const CallContext& call) {
  pb::HookEvidence evidence;
  evidence.set_hook(hook.name());
  SLIPWAY_ASSIGN_OR_RETURN(const auto known, engine_.InspectAll({{kLabelHook, key}}));
  DockerContainer container;
  if (known.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(container, CreateHookContainer(release, hook, key, call));
  } else {
    container = known.front();
    evidence.set_already_ran(container.state != "created");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const int exit_code,
                           RunToEnd(container, absl::StrCat("hook ", hook.name()), call));
  evidence.set_exit_code(exit_code);
  for (const std::string& line : Tail(container.id, kTailLines))
    evidence.add_output_tail(EvidenceText(line));
  return evidence;
}

}  // namespace slipway::executor
