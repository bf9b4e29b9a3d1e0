#include "executor/drivers/static_site.h"

#include <algorithm>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/digest.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

constexpr char kIndex[] = "index.html";

const pb::ManifestEntry* Find(const pb::Manifest& manifest, absl::string_view path) {
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.path() == path) return &entry;
  }
  return nullptr;
}

bool IsAsReleased(const fs::path& copy, const pb::ManifestEntry& entry) {
  std::error_code error;
  const fs::path path = copy / entry.path();
  return entry.type() == pb::FILE_TYPE_SYMLINK
             ? fs::read_symlink(path, error) == entry.link_target()
             : Sha256OfFile(path.string()).value_or("") == entry.digest();
}

}  // namespace

std::string SiteMark(const std::string& app, const std::string& release, pb::Slot slot) {
  return absl::StrCat(app, " ", release, " ", SlotWord(slot), "\n");
}

absl::StatusOr<pb::Manifest> StaticSite::ManifestOf(const std::string& app,
                                                    const std::string& release) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string digest,
                           ReadFile(paths_.Generated(app, release) / "manifest"));
  return releases_.ReadManifest(digest);
}

std::string StaticSite::ReleaseIn(const std::string& app, pb::Slot slot) const {
  const auto mark = ReadFile(paths_.SiteCopy(app, slot) / kSiteMark);
  if (!mark.ok()) return "";
  const std::vector<std::string> words = absl::StrSplit(*mark, ' ');
  return words.size() == 3 && *mark == SiteMark(app, words[1], slot) ? words[1] : "";
}

absl::Status StaticSite::Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                                 absl::string_view, const CallContext&) {
  const std::string& root = release.spec.site().root();
  if (Find(manifest, kIndex) == nullptr) {
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT, absl::StrCat(root, " has no ", kIndex),
                   "name the folder that is built as `site.root`, and build it before you deploy");
  }
  if (Find(manifest, kSiteMark) != nullptr) {
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT,
                   absl::StrCat(root, " has a file ", kSiteMark, ", which is Slipway's"),
                   "give it another name");
  }
  return absl::OkStatus();
}

// A file that did not change keeps its time, and with it the ETag by which browsers have it; one that did gets a newer one, also
// when both were published within a second.
absl::Status StaticSite::KeepTimes(const std::string& app, pb::Slot slot,
                                   const pb::Manifest& manifest) const {
  const pb::Slot other = OtherSlot(slot);
  const auto before = ManifestOf(app, ReleaseIn(app, other));
  if (!before.ok()) return absl::OkStatus();
  std::map<std::string, std::string> digests;
  for (const pb::ManifestEntry& entry : before->entries()) digests[entry.path()] = entry.digest();
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    const auto known = digests.find(entry.path());
    struct stat old {};
    struct stat made {};
    const fs::path path = paths_.SiteCopy(app, slot) / entry.path();
    if (known == digests.end() || entry.digest().empty() ||
        lstat((paths_.SiteCopy(app, other) / entry.path()).c_str(), &old) != 0 ||
        lstat(path.c_str(), &made) != 0) {
      continue;
    }
    timespec times[2] = {made.st_atim, made.st_mtim};
    if (known->second == entry.digest()) {
      times[1] = old.st_mtim;
    } else {
      times[1].tv_sec = std::max(made.st_mtim.tv_sec, old.st_mtim.tv_sec + 1);
    }
    if (utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(path.string());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::StartEvidence> StaticSite::StartSlot(const StagedRelease& release, pb::Slot slot,
                                                        const CallContext&) {
  pb::StartEvidence evidence;
  evidence.set_slot(slot);
  if (ReleaseIn(release.app, slot) == release.release) return evidence;
  const fs::path copy = paths_.SiteCopy(release.app, slot);
  SLIPWAY_RETURN_IF_ERROR(RemoveSlot(release.app, slot, {}).status());
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release.app, release.release));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(copy.parent_path(), 0755));
  SLIPWAY_RETURN_IF_ERROR(releases_.UnpackInto(copy, manifest, ""));
  SLIPWAY_RETURN_IF_ERROR(KeepTimes(release.app, slot, manifest));
  SLIPWAY_RETURN_IF_ERROR(SyncFileSystem(copy));
  SLIPWAY_RETURN_IF_ERROR(
      WriteFileAtomically(copy / kSiteMark, SiteMark(release.app, release.release, slot)));
  return evidence;
}

absl::StatusOr<std::vector<std::string>> StaticSite::RemoveSlot(const std::string& app,
                                                                pb::Slot slot, const CallContext&) {
  const fs::path copy = paths_.SiteCopy(app, slot);
  std::error_code error;
  if (!fs::exists(fs::symlink_status(copy, error))) return std::vector<std::string>();
  const fs::path previous = paths_.Site(app) / kSitePrevious;
  if (fs::read_symlink(previous, error) == SlotWord(slot)) fs::remove(previous, error);
  // The mark first: a copy that is half removed is not whole.
  fs::remove(copy / kSiteMark, error);
  fs::remove_all(copy, error);
  if (error) return absl::InternalError(absl::StrCat(copy.string(), ": ", error.message()));
  return std::vector<std::string>{SlotWord(slot)};
}

absl::StatusOr<ObservedSlot> StaticSite::Observe(const std::string& app, pb::Slot slot,
                                                 Cancellation*) {
  ObservedSlot observed;
  observed.slot = slot;
  if (slot == pb::SLOT_UNSPECIFIED) return observed;
  const std::string release = ReleaseIn(app, slot);
  if (release.empty()) return observed;
  ObservedContainer copy;
  copy.id = SlotWord(slot);
  copy.service = "site";
  copy.release = release;
  copy.running = true;
  observed.containers.push_back(std::move(copy));
  return observed;
}

absl::StatusOr<std::vector<pb::Difference>> StaticSite::Differences(const StagedRelease& release,
                                                                    pb::Slot slot, bool) {
  // Enough to see what it is; a copy that was deleted has them all.
  constexpr size_t kMost = 20;
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release.app, release.release));
  const fs::path copy = paths_.SiteCopy(release.app, slot);
  std::vector<pb::Difference> differences;
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (IsAsReleased(copy, entry)) continue;
    pb::Difference& difference = differences.emplace_back();
    difference.set_kind(pb::DIFFERENCE_KIND_FILE);
    difference.set_subject((copy / entry.path()).string());
    difference.set_text("is not what the release says");
    if (differences.size() == kMost) break;
  }
  return differences;
}

absl::StatusOr<uint32_t> StaticSite::Verify(const StagedRelease& release, pb::Slot slot,
                                            Cancellation* stop) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release.app, release.release));
  const fs::path copy = paths_.SiteCopy(release.app, slot);
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (stop != nullptr && stop->IsCancelled()) return absl::CancelledError("told to stop");
    if (IsAsReleased(copy, entry)) continue;
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT,
                   absl::StrCat((copy / entry.path()).string(), " is not what the release says"),
                   "look at the disk and at who else writes there, then deploy again");
  }
  return static_cast<uint32_t>(manifest.entries_size());
}

}  // namespace slipway::executor
