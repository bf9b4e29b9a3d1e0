// Workload::Build and Forget: images are built when no equal one exists, and removed with the last
// release that needs them.
#include <algorithm>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <stdlib.h>

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

}  // namespace

// Builds from a directory of its own, unpacked for this one build: neither the env file nor anything
// that a running version wrote is in it, and no other build, of this or another application, empties
// it meanwhile.
absl::StatusOr<std::string> ComposeWorkload::BuildImage(const StagedRelease& release,
                                                        const BuildPlan& plan,
                                                        const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(paths_.BuildContexts(), 0700));
  std::string made = (paths_.BuildContexts() / absl::StrCat(plan.digest, "-XXXXXX")).string();
  if (mkdtemp(made.data()) == nullptr) return ErrnoError(made);
  const fs::path folder = made;
  const absl::Cleanup remove = [&folder] {
    std::error_code error;
    fs::remove_all(folder, error);
  };
  json section = plan.section;
  const fs::path context = folder / "context";
  SLIPWAY_RETURN_IF_ERROR(releases_.UnpackInto(context, manifest, plan.context));
  section["context"] = context.string();
  size_t others = 0;
  for (const auto& [text, path] :
       LocalContextsIn(section, paths_.Release(release.app, release.release).string())) {
    const fs::path other = folder / absl::StrCat("context-", ++others);
    SLIPWAY_RETURN_IF_ERROR(releases_.UnpackInto(other, manifest, path));
    *text = absl::StrCat(text->substr(0, text->find('/')), other.string());
  }
  const json project = {{"version", "3.9"},
                        {"services", {{"build", {{"build", section}, {"image", plan.image}}}}}};
  const auto file = paths_.Generated(release.app, release.release) / "build.json";
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(
      file, project.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace), 0600));
  // Not in the context itself: compose would take settings from a .env that the release brings
  // along.
  SLIPWAY_RETURN_IF_ERROR(compose_.Build(
      {absl::StrCat(release.app, "-build"), file, file.parent_path()}, {"build"}, call));
  return plan.image;
}

absl::StatusOr<pb::BuildEvidence> ComposeWorkload::Build(const StagedRelease& release,
                                                         const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  pb::BuildEvidence evidence;
  std::set<std::string> ours;
  for (const BuildPlan& plan : cut.builds) {
    ours.insert(plan.image);
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(plan.image));
    if (exists) {
      evidence.add_reused_images(plan.image);
      continue;
    }
    SLIPWAY_ASSIGN_OR_RETURN(*evidence.add_built_images(), BuildImage(release, plan, call));
  }
  // What comes from a registry, once per image; a shared service that runs already needs none.
  std::map<std::string, std::pair<std::string, std::string>> wanted;
  for (const auto& [service, image] : cut.images) {
    if (ours.contains(image) || image.empty()) continue;
    const bool shared = cut.shared_services.contains(service);
    if (shared) {
      SLIPWAY_ASSIGN_OR_RETURN(const auto running,
                               engine_.List({{kLabelProject, release.spec.compose().project()},
                                             {kLabelService, service}}));
      if (!running.empty()) continue;
    }
    const bool slotted = cut.blue["services"].contains(service);
    const bool job = cut.jobs["services"].contains(service);
    // One of a profile that is not active has hooks alone, and those fetch it when they run.
    if (!shared && !slotted && !job && !cut.workers["services"].contains(service)) continue;
    wanted[image] = {service, shared    ? "shared.json"
                              : slotted ? "blue.json"
                              : job     ? "jobs.json"
                                        : "workers.json"};
  }
  for (const auto& [image, from] : wanted) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(image));
    if (exists) {
      evidence.add_reused_images(image);
      continue;
    }
    SLIPWAY_RETURN_IF_ERROR(compose_.Pull(
        ProjectFor(release, absl::StrCat(release.app, "-build"), from.second), {from.first}, call));
    evidence.add_pulled_images(image);
  }
  return evidence;
}

absl::StatusOr<pb::PruneEvidence> ComposeWorkload::Forget(const std::string& app,
                                                          const std::vector<std::string>& releases,
                                                          const std::vector<std::string>& kept) {
  std::set<std::string> needed;
  for (const std::string& release : kept) {
    const auto cut = LoadCut(app, release);
    if (!cut.ok()) continue;
    for (const BuildPlan& plan : cut->builds) needed.insert(plan.image);
  }
  pb::PruneEvidence evidence;
  for (const std::string& release : releases) {
    const auto cut = LoadCut(app, release);
    if (!cut.ok()) continue;
    for (const BuildPlan& plan : cut->builds) {
      if (needed.contains(plan.image)) continue;
      // In use by a container that is not ours to stop: it stays, and is tried again with the next
      // prune of its release.
      const absl::Status removed = engine_.RemoveImage(plan.image);
      if (removed.ok()) evidence.add_removed_images(plan.image);
    }
  }
  return evidence;
}

}  // namespace slipway::executor
