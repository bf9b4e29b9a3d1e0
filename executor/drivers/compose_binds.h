// Where the relative binds of a compose file really are on the host. Pure: documents in, documents
// out; ComposeWorkload makes what the plan names.
//
// Invariant: no directory above a source that Docker gets can be written by a container. Docker
// resolves links in a source at every start of a container, so one that could write there would
// choose what the next container mounts.
//
// - Content of the release is mounted from the release. A source that lies in another one that a
//   slotted service, worker or hook mounts writable is *detached*: it is a copy beside the release's
//   tree, and every container that mounts the outer one gets the copy mounted at its place.
// - Content that *shared services* mount is copied into a directory that outlives releases, one flat
//   entry per source, because these services outlive releases too. Deployments refresh it for a
//   service that they start or update.
// - *State* is what the application writes: a source that the release does not have, that only keeps
//   its place in git, or that `compose.state` names. It is a flat directory that no release owns, the
//   same for every service and release, or the directory of an adopted installation.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "executor/drivers/release_content.h"
#include "executor/paths.h"

namespace slipway::executor {

// One mount of a service as the normalised document has it.
struct ComposeMount {
  // Empty for an anonymous volume.
  std::string source;
  std::string target;
  bool bind = false;
  bool read_only = false;
};
// Nothing for entries that are neither binds nor volumes.
std::optional<ComposeMount> ParseComposeMount(const nlohmann::json& entry);

enum class BindPlace { kRelease, kDetached, kShared, kState };

// A source within the release, as one kind of service mounts it.
struct PlannedBind {
  // Resolved, relative to the release.
  std::string path;
  BindPlace place = BindPlace::kRelease;
  bool file = false;
  // State of an installation that was there before.
  bool adopted = false;
  // What Docker gets.
  std::string source;
};

// A path below a planned bind at which another one is mounted; it must exist there.
struct MountPoint {
  std::string base;
  std::string path;
  bool file = false;
  BindPlace place = BindPlace::kRelease;

  bool operator<(const MountPoint& other) const {
    return std::tie(base, path) < std::tie(other.base, other.path);
  }
};

struct BindInput {
  const nlohmann::json* document = nullptr;
  std::string app;
  std::string release;
  std::filesystem::path release_folder;
  const ReleaseContent* content = nullptr;
  // Of slipway.yaml.
  std::set<std::string> state;
  std::set<std::string> shared_services;
  // State directories of an adopted installation, by path.
  std::map<std::string, std::string> adopted;
  Paths paths{"/"};
};

class BindPlan {
 public:
  // INVALID_COMPOSE_FILE that names every bound file that the release does not have.
  static absl::StatusOr<BindPlan> Make(const BindInput& input);

  // Replaces the sources of the service's binds and adds the mounts that they need.
  void Rewrite(const std::string& service, nlohmann::json& definition) const;
  // Replaces the files of a `secrets` or `configs` section, for shared services or for the others.
  void RewriteFiles(nlohmann::json& section, bool shared) const;
  // Replaces `device` of volumes that are binds of the release's directories.
  void RewriteVolumes(nlohmann::json& volumes) const;

  // Everything but what is mounted from the release itself.
  std::vector<PlannedBind> Separate() const;
  const std::set<MountPoint>& MountPoints() const { return mount_points_; }
  // Paths of the release that a shared service takes files from.
  std::vector<std::string> SharedPathsOf(const std::string& service) const;

 private:
  enum Realm { kOfRelease, kOfShared };
  struct Source {
    std::set<std::string> services;
    bool used[2] = {false, false};
    bool writable[2] = {false, false};
    PlannedBind places[2];
  };
  struct Extra {
    std::string source;
    std::string target;
    bool read_only = false;
  };

  explicit BindPlan(const BindInput& input) : input_(input) {}

  absl::Status Collect();
  absl::Status CollectFiles(const char* section);
  absl::Status CollectVolumes();
  absl::Status Note(absl::string_view source, const std::string& where, const std::string& target,
                    Realm realm, bool read_only, const std::string& service);
  absl::Status Place();
  void PlaceContent(const std::string& path, Source& source);
  absl::Status CheckAdopted() const;
  void Nest();
  bool IsSeparateWithin(const Source& inner, const Source& outer, Realm realm) const;
  Realm RealmOf(const std::string& service) const {
    return input_.shared_services.contains(service) ? kOfShared : kOfRelease;
  }
  // Relative to the release; nothing for other paths.
  std::optional<std::string> InRelease(absl::string_view source) const;
  const PlannedBind* PlaceOf(absl::string_view source, Realm realm) const;

  const BindInput input_;
  std::map<std::string, Source> sources_;
  // By service: what it gets besides its own mounts.
  std::map<std::string, std::vector<Extra>> extras_;
  std::map<std::string, std::set<std::string>> shared_paths_;
  std::set<MountPoint> mount_points_;
  std::vector<std::string> missing_;
};

}  // namespace slipway::executor
