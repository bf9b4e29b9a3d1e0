// slipway.yaml and the working copy around it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway::cli {

struct ApplicationFile {
  pb::ApplicationSpec spec;
  // Where the file stands.
  std::filesystem::path folder;
  // What is deployed: the folder itself, or the one that a site publishes.
  std::filesystem::path content;
};

// The folder of an application file, absolute; empty for a path that names no file.
std::filesystem::path FolderOf(const std::string& path);

// Reads, completes and checks the file. NOT_FOUND says how to make one.
absl::StatusOr<ApplicationFile> ReadApplicationFile(const std::string& path);

// What a command is about, however it was named.
struct Subject {
  std::string app;
  // Empty for the one that the command takes by itself.
  std::string deployment;
};

// `named` is an application (gifty, applications/gifty), a deployment of the application of the file (20261122-3f2c1a), or a deployment
// of any (gifty/20261122-3f2c1a, applications/gifty/deployments/20261122-3f2c1a); empty for the application of the file. `app` is that of
// an option, empty for none. INVALID_ARGUMENT (reason BAD_NAME) for anything else, or for two applications.
absl::StatusOr<Subject> SubjectOf(const std::string& named, const std::string& app,
                                  const std::string& file);

// The application of the subject.
absl::StatusOr<std::string> ApplicationOf(const std::string& named, const std::string& file);

// Every file that a deployment sends: the content without .git, the managed env file and what
// .slipwayignore names. NOT_FOUND when a site is not built yet.
absl::StatusOr<pb::Manifest> ScanWorkingCopy(const ApplicationFile& application);

struct Commit {
  // Empty outside a git repository.
  std::string id;
  // When it was made, where the workflow's event says so.
  std::optional<absl::Time> time;
  // refs/heads/main; empty when HEAD is on no branch.
  std::string ref;
};
// GITHUB_SHA and GITHUB_REF, with the time from the event in GITHUB_EVENT_PATH; else HEAD of the repository around the folder, read without running git.
Commit ReadCommit(const std::filesystem::path& folder);

}  // namespace slipway::cli
