// Workload::PlanServices: what a deployment would do with each service.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

#include "common/status.h"
#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

pb::ServiceRole RoleOf(const std::string& service, const CutResult& cut) {
  if (cut.shared_services.contains(service)) return pb::SERVICE_ROLE_SHARED;
  if (cut.jobs["services"].contains(service)) return pb::SERVICE_ROLE_JOB;
  return cut.workers["services"].contains(service) ? pb::SERVICE_ROLE_WORKER
                                                   : pb::SERVICE_ROLE_SLOTTED;
}

// `running` is what there is of the service, null for none.
pb::ServiceAction ActionOf(pb::ServiceRole role, const DockerContainer* running,
                           const CutResult& cut) {
  if (role == pb::SERVICE_ROLE_SLOTTED || running == nullptr) return pb::SERVICE_ACTION_START;
  if (role == pb::SERVICE_ROLE_WORKER) return pb::SERVICE_ACTION_REPLACE;
  return CompareShared(*running, cut, nullptr) == SharedState::kChanged
             ? pb::SERVICE_ACTION_KEEP_CHANGED
             : pb::SERVICE_ACTION_KEEP;
}

void AddChanges(const DockerContainer& running, const CutResult& cut, pb::ServicePlan& plan) {
  std::vector<std::string> changes;
  if (CompareShared(running, cut, &changes) == SharedState::kUnknown) {
    plan.add_changes("definition unknown, for Slipway did not start it");
  }
  for (std::string& change : changes) plan.add_changes(std::move(change));
}

void AddState(const CutResult& cut, pb::HostPlan& plan) {
  for (const PlannedBind& bind : cut.binds) {
    if (bind.place != BindPlace::kState) continue;
    pb::StateDirectory& state = *plan.add_state();
    state.set_path(absl::StrCat("./", bind.path));
    state.set_directory(bind.source);
    state.set_adopted(bind.adopted);
    state.set_exists(bind.adopted || std::filesystem::is_directory(bind.source));
  }
}

}  // namespace

// What is written into a volume without a name goes with its container, and slots and workers are
// replaced by every deployment.
absl::Status ComposeWorkload::NoteAnonymousVolumes(const CutResult& cut, pb::HostPlan& plan) {
  for (const json* project : {&cut.blue, &cut.workers}) {
    for (const auto& item : (*project)["services"].items()) {
      std::set<std::string> mounted;
      std::set<std::string> anonymous;
      for (const json& entry : item.value().value("volumes", json::array())) {
        const auto mount = ParseComposeMount(entry);
        if (mount) (mount->source.empty() ? anonymous : mounted).insert(mount->target);
      }
      const auto image = engine_.InspectImage(item.value().value("image", ""));
      if (image.ok()) anonymous.insert(image->volumes.begin(), image->volumes.end());
      for (const std::string& target : anonymous) {
        if (mounted.contains(target)) continue;
        plan.add_notes(absl::StrCat("services.", item.key(), ": what it writes to ", target,
                                    " goes with its container at the next deployment; name a "
                                    "volume for it to keep it"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::PlanServices(const StagedRelease& release, pb::HostPlan& plan) {
  SLIPWAY_ASSIGN_OR_RETURN(const EnvRedactor redactor, RedactorOf(release));
  pb::HostPlan found;
  const absl::Status status = redactor.Hide(FindServices(release, found));
  for (pb::ServicePlan& service : *found.mutable_services()) {
    service.set_image(redactor.Hide(service.image()));
    for (std::string& change : *service.mutable_changes()) change = redactor.Hide(change);
  }
  for (std::string& note : *found.mutable_notes()) note = redactor.Hide(note);
  for (pb::StateDirectory& state : *found.mutable_state()) {
    state.set_path(redactor.Hide(state.path()));
    state.set_directory(redactor.Hide(state.directory()));
  }
  plan.MergeFrom(found);
  return status;
}

absl::Status ComposeWorkload::FindServices(const StagedRelease& release, pb::HostPlan& plan) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  SLIPWAY_ASSIGN_OR_RETURN(const auto shared,
                           engine_.InspectAll({{kLabelProject, release.spec.compose().project()}}));
  SLIPWAY_ASSIGN_OR_RETURN(const auto workers, RunningWorkers(release));
  std::map<std::string, const DockerContainer*> running;
  for (const DockerContainer& container : shared) {
    const std::string service = container.Label(kLabelService);
    if (cut.shared_services.contains(service)) running[service] = &container;
  }
  for (const DockerContainer& container : workers)
    running[container.Label(kLabelService)] = &container;

  std::map<std::string, pb::ServicePlan> plans;
  for (const auto& [service, image] : cut.images) {
    const bool runs =
        cut.shared_services.contains(service) || cut.blue["services"].contains(service) ||
        cut.jobs["services"].contains(service) || cut.workers["services"].contains(service);
    if (!runs) continue;
    pb::ServicePlan& one = plans[service];
    one.set_role(RoleOf(service, cut));
    const auto found = running.find(service);
    one.set_action(ActionOf(one.role(), found == running.end() ? nullptr : found->second, cut));
    if (one.role() == pb::SERVICE_ROLE_SHARED && found != running.end())
      AddChanges(*found->second, cut, one);
    one.set_image(image);
    one.set_image_action(pb::IMAGE_ACTION_NONE);
    if (one.action() == pb::SERVICE_ACTION_KEEP) continue;
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(image));
    if (exists) continue;
    const bool built =
        std::any_of(cut.builds.begin(), cut.builds.end(),
                    [&](const BuildPlan& build) { return build.image == one.image(); });
    one.set_image_action(built ? pb::IMAGE_ACTION_BUILD : pb::IMAGE_ACTION_PULL);
  }
  for (const auto& [service, container] : running) {
    if (cut.images.contains(service)) continue;
    plans[service].set_role(pb::SERVICE_ROLE_WORKER);
    plans[service].set_action(pb::SERVICE_ACTION_STOP);
  }
  for (auto& [service, one] : plans) {
    one.set_service(service);
    *plan.add_services() = std::move(one);
  }
  for (const std::string& network : cut.external_slot_networks) {
    plan.add_notes(absl::StrCat("on the external network ", network,
                                " the slotted services have no name, for two slots would share it; "
                                "what calls them from there goes through nginx"));
  }
  AddState(cut, plan);
  SLIPWAY_RETURN_IF_ERROR(CheckAddresses(release, cut));
  return NoteAnonymousVolumes(cut, plan);
}

}  // namespace slipway::executor
