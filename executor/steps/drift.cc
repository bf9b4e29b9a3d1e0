// Steps::Compare: what differs on this host from what was deployed. It looks where each thing really is: nginx's own word, the file,
// Docker.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/nginx_render.h"
#include "executor/facts.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

pb::Difference Differing(pb::DifferenceKind kind, const std::string& subject, std::string text) {
  pb::Difference difference;
  difference.set_kind(kind);
  difference.set_subject(subject);
  difference.set_text(std::move(text));
  return difference;
}

// Nothing when the file says what was written there last. An older program may have written it in other words.
std::optional<pb::Difference> CompareFile(const NginxSite& site, const ManagedFile& written) {
  const std::string path = site.file.string();
  const auto differs = [&path](std::string text) {
    return Differing(pb::DIFFERENCE_KIND_UPSTREAM, path, std::move(text));
  };
  const auto text = ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    return differs(
        "is not there any more; nginx goes on with what it has loaded until it is reloaded");
  }
  if (!text.ok()) return differs(std::string(text.status().message()));
  const auto file = ParseManagedFile(*text);
  if (absl::IsNotFound(file.status())) return differs("is not the file that was written there");
  if (!file.ok()) return differs(absl::StrCat("was edited: ", file.status().message()));
  if (*file == written) return std::nullopt;
  if (file->generation != written.generation || file->slot != written.slot) {
    return differs(absl::StrCat("names ", SlotWord(file->slot), ", generation ", file->generation,
                                ", instead of ", SlotWord(written.slot), ", generation ",
                                written.generation));
  }
  return differs("has other values than were written there");
}

}  // namespace

absl::StatusOr<std::vector<pb::Difference>> Steps::Differences(const xpb::ApplicationFacts& facts) {
  std::vector<pb::Difference> differences;
  const pb::Slot slot = facts.active_slot();
  const xpb::SlotFacts* serving = FindSlot(facts, slot);
  // Nothing of ours serves, or an older version does.
  if (slot == pb::SLOT_UNSPECIFIED || serving == nullptr || serving->release().empty()) {
    return differences;
  }
  SLIPWAY_ASSIGN_OR_RETURN(const StagedRelease staged, LoadStaged(facts.app(), serving->release()));
  const auto loaded = Loaded(facts);
  if (!loaded.ok() || loaded->slot != slot || loaded->generation != facts.generation()) {
    differences.push_back(Differing(
        pb::DIFFERENCE_KIND_SLOT, "nginx",
        !loaded.ok()             ? std::string(loaded.status().message())
        : !loaded->nginx_running ? "does not run"
        : loaded->generation == 0
            ? "has nothing of this application loaded"
            : absl::StrCat("serves ", SlotWord(loaded->slot), ", generation ", loaded->generation,
                           ", instead of ", SlotWord(slot), ", generation ", facts.generation())));
  }
  if (!staged.spec.has_site()) {
    const NginxSite site = SiteOf(staged.spec, facts);
    if (auto file =
            CompareFile(site, site.FileFor(facts.generation(), slot, parts_.settings.address))) {
      differences.push_back(*std::move(file));
    }
  }
  const bool workers =
      !staged.spec.compose().workers().empty() && facts.workers_release() == staged.release;
  SLIPWAY_ASSIGN_OR_RETURN(const auto more,
                           WorkloadOf(staged.spec).Differences(staged, slot, workers));
  differences.insert(differences.end(), more.begin(), more.end());
  return differences;
}

absl::StatusOr<bool> Steps::Compare(const std::string& app, const std::function<bool()>& idle) {
  if (!idle()) return false;
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<pb::Difference> found, Differences(facts));
  if (!idle() || parts_.journal.FactsOf(app).SerializeAsString() != facts.SerializeAsString()) {
    return false;
  }
  const auto same = [](const pb::Difference& a, const pb::Difference& b) {
    return a.kind() == b.kind() && a.subject() == b.subject() && a.text() == b.text();
  };
  MutexLock lock(differences_mutex_);
  std::vector<pb::Difference>& known = differences_[app];
  const bool changed = !std::equal(known.begin(), known.end(), found.begin(), found.end(), same);
  known = std::move(found);
  return changed;
}

}  // namespace slipway::executor
