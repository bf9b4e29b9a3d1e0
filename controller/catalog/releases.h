// Makes releases of uploaded trees.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock.h"
#include "common/manifest.h"
#include "common/mutex.h"
#include "controller/catalog/applications.h"
#include "controller/store/release_files.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct ReleaseDraft {
  std::string app;
  std::string manifest_digest;
  std::string commit;
  std::optional<Time> commit_time;
  std::string description;
};

// Safe from several threads.
class Releases {
 public:
  Releases(Store& store, ReleaseFiles& files, const Applications& applications,
           const SecretBox& box, Clock& clock)
      : store_(store), files_(files), applications_(applications), box_(box), clock_(clock) {}

  // With the application's present spec and environment. FAILED_PRECONDITION (reason BLOBS_MISSING) unless the manifest and
  // every file it names were uploaded. The id is the first 12 hexadecimal digits of a SHA-256 over application, tree, spec,
  // a keyed fingerprint of the environment, and commit: the same of all these gives the same release.
  absl::StatusOr<ReleaseRecord> Create(const ReleaseDraft& draft, const Request& request,
                                       const Actor& actor);
  // What Create() would make of it if the application had this spec. Stores nothing; the application need not exist.
  absl::StatusOr<ReleaseRecord> Preview(const ReleaseDraft& draft,
                                        const pb::ApplicationSpec& spec) const;
  // NOT_FOUND when its blob is gone.
  absl::StatusOr<pb::Manifest> ManifestOf(const ReleaseRecord& release) const;

  // Removes uploaded files older than a day that no release which may still be deployed is made of: of each application
  // the newest `keep.releases` that were made, as many that served, and what a running deployment works with. Answers the
  // bytes that this freed. The rows of the other releases stay; deployed again from the same tree they get their files back.
  absl::StatusOr<uint64_t> RemoveUnusedBlobs();

 private:
  absl::StatusOr<ReleaseRecord> Compose(const ReleaseDraft& draft, const pb::ApplicationSpec& spec,
                                        uint64_t environment_revision) const;
  absl::Status RequireUploaded(const std::string& manifest_digest) const;
  absl::StatusOr<ReleaseRecord> CreateFromUploaded(ReleaseRecord release, const Request& request,
                                                   const Actor& actor) SLIPWAY_EXCLUDES(removing_);
  absl::StatusOr<std::vector<ReleaseRecord>> DeployableReleases() const;
  absl::StatusOr<std::set<std::string>> BlobsOf(const std::vector<ReleaseRecord>& releases) const;

  // Nothing is removed between the look for a release's files and its row.
  Mutex removing_;
  Store& store_;
  ReleaseFiles& files_;
  const Applications& applications_;
  const SecretBox& box_;
  Clock& clock_;
};

}  // namespace slipway::controller
