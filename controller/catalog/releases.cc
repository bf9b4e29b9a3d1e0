#include "controller/catalog/releases.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

// Who uploads and then makes no release of it within this time has to upload again.
constexpr std::chrono::hours kUploadsAreKept{24};

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
  SLIPWAY_RETURN_IF_ERROR(files_.Fetch({release.manifest_digest}));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, files_.folder().Read(release.manifest_digest));
  return ParseManifest(bytes);
}

absl::StatusOr<ReleaseRecord> Releases::Compose(const ReleaseDraft& draft,
                                                const pb::ApplicationSpec& spec,
                                                uint64_t environment_revision) const {
  if (!IsCommitName(draft.commit)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_COMMIT",
                 "commit: at most 64 characters of [0-9A-Za-z._-], not starting with -");
  }
  if (draft.manifest_digest.size() != 32) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_DIGEST",
                 "manifest_digest: a SHA-256 of 32 bytes is expected");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string environment,
                           applications_.EnvironmentText(draft.app, environment_revision));
  const std::string id = Sha256Of(
      absl::StrCat("slipway release 1:", draft.app, ":", draft.manifest_digest, DigestOf(spec),
                   box_.Fingerprint(draft.app, environment), draft.commit));
  ReleaseRecord release;
  release.id = absl::BytesToHexString(id).substr(0, 12);
  release.app = draft.app;
  release.manifest_digest = draft.manifest_digest;
  release.environment_revision = environment_revision;
  release.commit = draft.commit;
  release.commit_time = draft.commit_time;
  release.description = draft.description.substr(0, draft.description.find('\n')).substr(0, 200);
  return release;
}

absl::Status Releases::RequireUploaded(const std::string& manifest_digest) const {
  SLIPWAY_RETURN_IF_ERROR(files_.FetchTree(manifest_digest));
  SLIPWAY_ASSIGN_OR_RETURN(const auto missing, FindMissing(files_.folder(), manifest_digest));
  if (missing.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "BLOBS_MISSING",
               absl::StrCat(missing.size(), " files of this release were not uploaded"),
               "upload what FindMissingBlobs names, then try again");
}

absl::StatusOr<ReleaseRecord> Releases::Create(const ReleaseDraft& draft, const Request& request,
                                               const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(draft.app, request));
  if (seen) return store_.GetRelease(draft.app, *seen);
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord application, store_.GetApplication(draft.app));
  SLIPWAY_ASSIGN_OR_RETURN(ReleaseRecord release,
                           Compose(draft, application.spec, application.environment_revision));
  release.spec_revision = application.spec_revision;
  return CreateFromUploaded(std::move(release), request, actor);
}

absl::StatusOr<ReleaseRecord> Releases::Preview(const ReleaseDraft& draft,
                                                const pb::ApplicationSpec& spec) const {
  const auto application = store_.GetApplication(draft.app);
  if (!application.ok() && !absl::IsNotFound(application.status())) return application.status();
  SLIPWAY_ASSIGN_OR_RETURN(
      ReleaseRecord release,
      Compose(draft, spec, application.ok() ? application->environment_revision : 0));
  SLIPWAY_RETURN_IF_ERROR(RequireUploaded(release.manifest_digest));
  return release;
}

absl::StatusOr<ReleaseRecord> Releases::CreateFromUploaded(ReleaseRecord release,
                                                           const Request& request,
                                                           const Actor& actor) {
  MutexLock lock(removing_);
  SLIPWAY_RETURN_IF_ERROR(RequireUploaded(release.manifest_digest));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release));
  release.files = static_cast<uint32_t>(manifest.entries_size());
  release.bytes = TotalBytes(manifest);
  // Before the row, so that whoever leads next has the files of every release.
  SLIPWAY_RETURN_IF_ERROR(files_.PublishTree(release.manifest_digest));
  return store_.CreateRelease(release, request, actor);
}

absl::StatusOr<std::vector<ReleaseRecord>> Releases::DeployableReleases() const {
  constexpr int kPage = 1000;
  std::vector<ReleaseRecord> releases;
  std::vector<ApplicationRecord> page;
  do {
    SLIPWAY_ASSIGN_OR_RETURN(page,
                             store_.ListApplications(page.empty() ? "" : page.back().app, kPage));
    for (const ApplicationRecord& application : page) {
      const std::string& app = application.app;
      pb::ApplicationSpec spec = application.spec;
      ApplyDefaults(spec);
      const auto keep = static_cast<int>(spec.keep().releases());
      SLIPWAY_ASSIGN_OR_RETURN(const auto newest, store_.ListReleases(app, "", keep));
      releases.insert(releases.end(), newest.begin(), newest.end());
      SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(app, kPage));
      std::set<std::string> kept;
      for (const DeploymentRecord& deployment : served) {
        if (kept.size() == static_cast<size_t>(keep)) break;
        if (!kept.insert(deployment.release).second) continue;
        SLIPWAY_ASSIGN_OR_RETURN(releases.emplace_back(),
                                 store_.GetRelease(app, deployment.release));
      }
    }
  } while (page.size() == kPage);
  SLIPWAY_ASSIGN_OR_RETURN(const auto running, store_.ListRunning());
  for (const auto& [app, id] : running) {
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord deployment, store_.GetDeployment(app, id));
    SLIPWAY_ASSIGN_OR_RETURN(releases.emplace_back(), store_.GetRelease(app, deployment.release));
  }
  return releases;
}

absl::StatusOr<std::set<std::string>> Releases::BlobsOf(
    const std::vector<ReleaseRecord>& releases) const {
  std::set<std::string> blobs;
  for (const ReleaseRecord& release : releases) {
    if (!blobs.insert(release.manifest_digest).second) continue;
    const auto manifest = ManifestOf(release);
    // Made long ago, and removed before it served again.
    if (absl::IsNotFound(manifest.status())) continue;
    SLIPWAY_RETURN_IF_ERROR(manifest.status());
    for (const pb::ManifestEntry& entry : manifest->entries()) blobs.insert(entry.digest());
  }
  return blobs;
}

absl::StatusOr<uint64_t> Releases::RemoveUnusedBlobs() {
  SLIPWAY_ASSIGN_OR_RETURN(std::set<std::string> unused,
                           files_.WrittenBefore(clock_.WallNow() - kUploadsAreKept));
  MutexLock lock(removing_);
  SLIPWAY_ASSIGN_OR_RETURN(const auto deployable, DeployableReleases());
  SLIPWAY_ASSIGN_OR_RETURN(const std::set<std::string> used, BlobsOf(deployable));
  for (const std::string& digest : used) unused.erase(digest);
  return files_.Remove(unused);
}

}  // namespace slipway::controller
