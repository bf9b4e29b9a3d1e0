// Whose the containers are: of this application, of another one, or of another executor that uses the
// same Docker Engine. What another one made is never stopped, replaced or removed.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/compose_workload.h"
#include "executor/failure.h"

namespace slipway::executor {

bool ComposeWorkload::IsForeign(const DockerContainer& container) const {
  const std::string owner = container.Label(kLabelExecutor);
  return !owner.empty() && owner != executor_id_;
}

absl::Status ComposeWorkload::RefuseForeign(const std::vector<DockerContainer>& containers) const {
  const auto foreign =
      std::find_if(containers.begin(), containers.end(),
                   [this](const DockerContainer& container) { return IsForeign(container); });
  if (foreign == containers.end()) return absl::OkStatus();
  const std::string owner = foreign->Label(kLabelExecutor);
  return Failure(
      pb::FAILURE_REASON_PREFLIGHT,
      absl::StrCat("the compose project ", foreign->Label(kLabelProject), " (container ",
                   foreign->name, ") belongs to another executor on this Docker Engine, ", owner),
      absl::StrCat("give this application another name; if that executor is gone for good and this "
                   "one takes its place: echo ",
                   owner, " > ", paths_.ExecutorId().string(), ", and start this executor anew"));
}

absl::StatusOr<std::vector<DockerContainer>> ComposeWorkload::ListOwn(const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<DockerContainer> containers, engine_.List(labels));
  SLIPWAY_RETURN_IF_ERROR(RefuseForeign(containers));
  return containers;
}

absl::StatusOr<std::vector<DockerContainer>> ComposeWorkload::InspectOwn(
    const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<DockerContainer> containers, engine_.InspectAll(labels));
  SLIPWAY_RETURN_IF_ERROR(RefuseForeign(containers));
  return containers;
}

absl::Status ComposeWorkload::CheckProjects(const pb::ApplicationSpec& spec) {
  const std::set<std::string> ours = {spec.compose().project(),
                                      SlotProject(spec.app(), pb::SLOT_BLUE),
                                      SlotProject(spec.app(), pb::SLOT_GREEN),
                                      WorkersProject(spec.app()),
                                      HooksProject(spec.app()),
                                      JobsProject(spec.app())};
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<DockerContainer> containers,
                           engine_.List({{kLabelApp, ""}}));
  std::erase_if(containers, [&](const DockerContainer& container) {
    return !ours.contains(container.Label(kLabelProject));
  });
  for (const DockerContainer& container : containers) {
    const std::string owner = container.Label(kLabelApp);
    if (owner == spec.app()) continue;
    return Failure(
        pb::FAILURE_REASON_PREFLIGHT,
        absl::StrCat("the compose project ", container.Label(kLabelProject),
                     " belongs to the application ", owner, " (container ", container.name, ")"),
        "give this one another compose.project, or another name");
  }
  return RefuseForeign(containers);
}

}  // namespace slipway::executor
