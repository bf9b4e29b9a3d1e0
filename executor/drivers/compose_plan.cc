// Workload::PlanServices: what a deployment would do with each service.
#include <algorithm>
#include <map>

#include "common/status.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

pb::ServiceRole RoleOf(const std::string& service, const CutResult& cut) {
  if (cut.shared_services.contains(service)) return pb::SERVICE_ROLE_SHARED;
  return cut.workers["services"].contains(service) ? pb::SERVICE_ROLE_WORKER
                                                   : pb::SERVICE_ROLE_SLOTTED;
}

// `running` is what there is of the service, null for none.
pb::ServiceAction ActionOf(pb::ServiceRole role, const DockerContainer* running,
                           const CutResult& cut) {
  if (role == pb::SERVICE_ROLE_SLOTTED || running == nullptr) return pb::SERVICE_ACTION_START;
  if (role == pb::SERVICE_ROLE_WORKER) return pb::SERVICE_ACTION_REPLACE;
  return IsChanged(*running, cut) ? pb::SERVICE_ACTION_KEEP_CHANGED : pb::SERVICE_ACTION_KEEP;
}

}  // namespace

absl::StatusOr<std::vector<pb::ServicePlan>> ComposeWorkload::PlanServices(
    const StagedRelease& release) {
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
    pb::ServicePlan& plan = plans[service];
    plan.set_role(RoleOf(service, cut));
    const auto found = running.find(service);
    plan.set_action(ActionOf(plan.role(), found == running.end() ? nullptr : found->second, cut));
    plan.set_image(image);
    plan.set_image_action(pb::IMAGE_ACTION_NONE);
    if (plan.action() == pb::SERVICE_ACTION_KEEP) continue;
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(image));
    if (exists) continue;
    const bool built = std::any_of(cut.builds.begin(), cut.builds.end(),
                                   [&](const BuildPlan& one) { return one.image == plan.image(); });
    plan.set_image_action(built ? pb::IMAGE_ACTION_BUILD : pb::IMAGE_ACTION_PULL);
  }
  for (const auto& [service, container] : running) {
    if (cut.images.contains(service)) continue;
    plans[service].set_role(pb::SERVICE_ROLE_WORKER);
    plans[service].set_action(pb::SERVICE_ACTION_STOP);
  }
  std::vector<pb::ServicePlan> listed;
  for (auto& [service, plan] : plans) {
    plan.set_service(service);
    listed.push_back(std::move(plan));
  }
  return listed;
}

}  // namespace slipway::executor
