#include "controller/catalog/releases.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

std::string DigestOf(const pb::ApplicationSpec& spec) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    spec.SerializeToCodedStream(&coded);
  }
  return Sha256Of(bytes);
}

}  // namespace

absl::StatusOr<pb::Manifest> Releases::ManifestOf(const ReleaseRecord& release) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, blobs_.Read(release.manifest_digest));
  return ParseManifest(bytes);
}

absl::StatusOr<ReleaseRecord> Releases::Create(const ReleaseDraft& draft, const Request& request,
                                               const std::string& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(draft.app, request));
  if (seen) return store_.GetRelease(draft.app, *seen);
  if (!IsCommitName(draft.commit)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_COMMIT",
                 "commit: at most 64 characters of [0-9A-Za-z._-], not starting with -");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord application, store_.GetApplication(draft.app));
  ReleaseRecord release;
  release.manifest_digest = draft.manifest_digest;
  if (draft.manifest_digest.size() != 32) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_DIGEST",
                 "manifest_digest: a SHA-256 of 32 bytes is expected");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto missing, FindMissing(blobs_, draft.manifest_digest));
  if (!missing.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "BLOBS_MISSING",
                 absl::StrCat(missing.size(), " files of this release were not uploaded"),
                 "upload what FindMissingBlobs names, then try again");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release));
  SLIPWAY_ASSIGN_OR_RETURN(
      const std::string environment,
      applications_.EnvironmentText(draft.app, application.environment_revision));
  const std::string id = Sha256Of(absl::StrCat(
      "slipway release 1:", draft.app, ":", draft.manifest_digest, DigestOf(application.spec),
      box_.Fingerprint(draft.app, environment), draft.commit));
  release.id = absl::BytesToHexString(id).substr(0, 12);
  release.app = draft.app;
  release.spec_revision = application.spec_revision;
  release.environment_revision = application.environment_revision;
  release.commit = draft.commit;
  release.commit_time = draft.commit_time;
  release.description = draft.description.substr(0, draft.description.find('\n')).substr(0, 200);
  release.files = static_cast<uint32_t>(manifest.entries_size());
  release.bytes = TotalBytes(manifest);
  return store_.CreateRelease(release, request, actor);
}

}  // namespace slipway::controller
