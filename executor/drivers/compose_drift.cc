// Workload::Differences: containers that somebody stopped or removed, and images that were tagged anew.
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"
#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

std::set<std::string> ServicesOf(const nlohmann::json& document) {
  std::set<std::string> services;
  const auto found = document.find("services");
  if (found == document.end()) return services;
  for (const auto& item : found->items()) services.insert(item.key());
  return services;
}

// Its job was to run once, and it did.
bool IsDone(const DockerContainer& container, const nlohmann::json& document) {
  if (container.state != "exited" || container.exit_code != 0) return false;
  const nlohmann::json& service = document["services"][container.Label(kLabelService)];
  const std::string restart = service.value("restart", "no");
  return restart == "no" || restart == "on-failure";
}

std::string Short(absl::string_view id) {
  const size_t colon = id.find(':');
  return std::string(id.substr(colon == id.npos ? 0 : colon + 1, 12));
}

class Comparison {
 public:
  explicit Comparison(DockerEngine& engine) : engine_(engine) {}

  // Every service of the document has containers, and they run; those of other services do not count. Shared services may also
  // have done their job.
  absl::Status Compare(const std::vector<DockerContainer>& containers,
                       const nlohmann::json& document, bool may_be_done,
                       const std::string& release) {
    std::set<std::string> missing = ServicesOf(document);
    const std::set<std::string> services = missing;
    for (const DockerContainer& container : containers) {
      const std::string service = container.Label(kLabelService);
      if (!services.contains(service)) continue;
      missing.erase(service);
      if (!release.empty() && container.Label(kLabelRelease) != release) {
        Add(pb::DIFFERENCE_KIND_CONTAINER, service,
            absl::StrCat("runs release ", container.Label(kLabelRelease), " instead of ", release));
      } else if (!container.running()) {
        if (may_be_done && IsDone(container, document)) continue;
        Add(pb::DIFFERENCE_KIND_CONTAINER, service,
            absl::StrCat("does not run: ", container.state, ", exit code ", container.exit_code));
      } else {
        SLIPWAY_RETURN_IF_ERROR(CompareImage(container));
      }
    }
    for (const std::string& service : missing) {
      Add(pb::DIFFERENCE_KIND_CONTAINER, service, "has no container");
    }
    return absl::OkStatus();
  }

  // Shared services that run from another definition, which only a deployment that is asked to applies.
  void CompareDefinitions(const std::vector<DockerContainer>& containers, const CutResult& cut) {
    for (const DockerContainer& container : containers) {
      std::vector<std::string> changes;
      if (CompareShared(container, cut, &changes) != SharedState::kChanged) continue;
      const std::string service = container.Label(kLabelService);
      Add(pb::DIFFERENCE_KIND_DEFINITION, service,
          absl::StrCat(absl::StrJoin(changes, ", "), "; apply it with `slipway deploy --update ",
                       service, "`"));
    }
  }

  std::vector<pb::Difference> Take() && { return std::move(differences_); }

 private:
  absl::Status CompareImage(const DockerContainer& container) {
    // By its id it cannot have become another one.
    if (container.image.starts_with("sha256:")) return absl::OkStatus();
    const auto image = engine_.InspectImage(container.image);
    const std::string service = container.Label(kLabelService);
    if (absl::IsNotFound(image.status())) {
      Add(pb::DIFFERENCE_KIND_IMAGE, service,
          absl::StrCat("runs ", container.image, ", and no image has that name any more"));
      return absl::OkStatus();
    }
    SLIPWAY_RETURN_IF_ERROR(image.status());
    if (image->id == container.image_id) return absl::OkStatus();
    Add(pb::DIFFERENCE_KIND_IMAGE, service,
        absl::StrCat("runs ", Short(container.image_id), ", and ", container.image, " is ",
                     Short(image->id), " by now"));
    return absl::OkStatus();
  }

  void Add(pb::DifferenceKind kind, const std::string& subject, std::string text) {
    pb::Difference& difference = differences_.emplace_back();
    difference.set_kind(kind);
    difference.set_subject(subject);
    difference.set_text(std::move(text));
  }

  DockerEngine& engine_;
  std::vector<pb::Difference> differences_;
};

}  // namespace

absl::StatusOr<std::vector<pb::Difference>> ComposeWorkload::Differences(
    const StagedRelease& release, pb::Slot slot, bool workers) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  Comparison comparison(engine_);
  SLIPWAY_ASSIGN_OR_RETURN(const auto serving,
                           engine_.InspectAll({{kLabelProject, SlotProject(release.app, slot)}}));
  SLIPWAY_RETURN_IF_ERROR(comparison.Compare(serving, slot == pb::SLOT_GREEN ? cut.green : cut.blue,
                                             /*may_be_done=*/false, release.release));
  SLIPWAY_ASSIGN_OR_RETURN(const auto shared,
                           engine_.InspectAll({{kLabelProject, release.spec.compose().project()}}));
  SLIPWAY_RETURN_IF_ERROR(
      comparison.Compare(shared, cut.shared, /*may_be_done=*/true, /*release=*/""));
  comparison.CompareDefinitions(shared, cut);
  if (workers) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto running, RunningWorkers(release));
    SLIPWAY_RETURN_IF_ERROR(
        comparison.Compare(running, cut.workers, /*may_be_done=*/false, release.release));
  }
  return std::move(comparison).Take();
}

}  // namespace slipway::executor
