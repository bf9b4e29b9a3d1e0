// The releases on this host: blobs and, of each release, a folder with its files. Hostile input
// meets three walls: the manifest is validated, every file is created below the release's folder by
// openat2(RESOLVE_BENEATH), and blobs are checked against their digests when they arrive.
//
// The files can be read by any user of a container that mounts them. Secrecy comes from the
// directories above, STATE/apps and below, which are 0700.
//
// After a crash a release is whole (its generated folder has `sealed`) or is unpacked again from
// the beginning.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/blob_store.h"
#include "common/mutex.h"
#include "common/protos.h"
#include "executor/paths.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::executor {

class ReleaseStore {
 public:
  static absl::StatusOr<std::unique_ptr<ReleaseStore>> Open(const Paths& paths);

  BlobStore& Blobs() { return *blobs_; }
  // What is missing of a release that is about to come. From now on, for an hour, RemoveBlobs()
  // spares what is there of it.
  absl::StatusOr<std::vector<std::string>> FindMissing(const std::string& manifest_digest);
  // Answers how many bytes that freed.
  absl::StatusOr<uint64_t> RemoveBlobs(std::set<std::string> doomed);
  absl::StatusOr<pb::Manifest> ReadManifest(absl::string_view manifest_digest) const;

  bool IsSealed(absl::string_view app, absl::string_view release) const;
  // A fresh release folder with every file of the manifest; FAILED_PRECONDITION names the first
  // blob that is missing.
  absl::Status Unpack(absl::string_view app, absl::string_view release,
                      const pb::Manifest& manifest);
  // The release is whole and may be run from.
  absl::Status Seal(absl::string_view app, absl::string_view release);
  // Files below `prefix` (empty for all) into the folder, whose former content is removed.
  absl::Status UnpackInto(const std::filesystem::path& folder, const pb::Manifest& manifest,
                          absl::string_view prefix) const;
  // What the manifest has at `path` (empty: all of it), put into `target`: a file, or a directory whose
  // files are replaced one by one while others stay. Nothing outside of `target` is written, whatever
  // links somebody has put into it.
  absl::Status Refresh(const std::filesystem::path& target, const pb::Manifest& manifest,
                       const std::string& path) const;
  // Puts a file with this text below `base`, as Refresh() does; an empty `path` is `base` itself.
  static absl::Status Put(const std::filesystem::path& base, const std::string& path,
                          absl::string_view text);
  // Makes sure that there is something to mount over at the path below `base`.
  static absl::Status MakeMountPoint(const std::filesystem::path& base, const std::string& path,
                                     bool file);
  // Everything of the release. What a container wrote as root is removed by the remover, if there is
  // one; the caller makes sure that no container has any of it mounted.
  absl::Status Remove(absl::string_view app, absl::string_view release);
  // Called with what this process may not remove; see executor/remove_release.h.
  using Remover = std::function<absl::Status(const std::string& app, const std::string& release)>;
  void SetRemover(Remover remover) { remover_ = std::move(remover); }
  // An id for looking at a release without staging it. Remove() it afterwards; what a crash leaves
  // goes with the next Open().
  std::string ScratchId();
  // Every release folder of the application, whole or not, but for scratch.
  std::vector<std::string> List(absl::string_view app) const;

 private:
  ReleaseStore(const Paths& paths, std::unique_ptr<BlobStore> blobs)
      : paths_(paths), blobs_(std::move(blobs)) {}

  void RemoveScratch();

  Paths paths_;
  std::unique_ptr<BlobStore> blobs_;
  // Set before anything else is called.
  Remover remover_;
  std::atomic<uint64_t> scratches_{0};
  Mutex mutex_;
  // Manifests that were asked for, and until when they are spared.
  std::map<std::string, std::chrono::steady_clock::time_point> expected_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::executor
