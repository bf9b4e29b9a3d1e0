// Makes releases of uploaded trees.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "common/blob_store.h"
#include "common/manifest.h"
#include "controller/catalog/applications.h"
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
  Releases(Store& store, BlobStore& blobs, const Applications& applications, const SecretBox& box)
      : store_(store), blobs_(blobs), applications_(applications), box_(box) {}

  // With the application's present spec and environment. FAILED_PRECONDITION (reason BLOBS_MISSING) unless the manifest and
  // every file it names were uploaded. The id is the first 12 hexadecimal digits of a SHA-256 over application, tree, spec,
  // a keyed fingerprint of the environment, and commit: the same of all these gives the same release.
  absl::StatusOr<ReleaseRecord> Create(const ReleaseDraft& draft, const Request& request,
                                       const std::string& actor);
  // NOT_FOUND when its blob is gone.
  absl::StatusOr<pb::Manifest> ManifestOf(const ReleaseRecord& release) const;

 private:
  Store& store_;
  BlobStore& blobs_;
  const Applications& applications_;
  const SecretBox& box_;
};

}  // namespace slipway::controller
