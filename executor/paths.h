// Every path, label, project and network name that the executor makes, in one place: whoever looks
// at a host finds here what a thing is, and a probe finds it without any memory.
//
//   STATE/                            0711, for nginx's workers to find the markers; apps, blobs
//                                     and contexts are 0700
//   STATE/journal                     what is intended and what is true
//   STATE/executor-id               what marks this executor's containers, see executor_id.h
//   STATE/tls/                        this host's certificate, see credentials.h; 0700
//   STATE/blobs/                      content-addressed files of releases
//   STATE/apps/APP/releases/ID/       one release, unpacked; the compose file's `.`. scratch-N while a
//                                     plan is made
//   STATE/apps/APP/normalised-PORT    the last output of `compose config`, after its inputs' digest
//   STATE/apps/APP/state/ID/          what was generated for it; 0700, for it holds secrets
//   STATE/apps/APP/detached/ID/PATH   a bound path of the release that lies in another one that containers may write; see
//                                     drivers/compose_binds.h. 0700, as the next two
//   STATE/apps/APP/shared-files/PATH  what shared services bind of the release; outlives releases
//   STATE/apps/APP/data/PATH          a directory that the application writes; owned by no release, never removed
//   STATE/apps/APP/data.json          which of those are directories of an adopted installation
//   STATE/contexts/DIGEST-RANDOM/     a build context while it is built from, without the env file
//   STATE/markers/APP                 mode marker: present means green
//   SITES/APP/blue, SITES/APP/green   the two copies of a static site; SITES is STATE/sites where the configuration names none
//   SITES/APP/current                 link to the copy that serves: what nginx's `root` names
//   SITES/APP/previous                link to the one that served before, while it is warm
#pragma once

#include <filesystem>
#include <string>

#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {

// Labels on every container that the executor makes.
inline constexpr char kLabelApp[] = "slipway.app";
// Whose it is, of several executors on one Docker Engine; see executor_id.h. Containers of an older
// version have none.
inline constexpr char kLabelExecutor[] = "slipway.executor";
// slot, shared, worker, hook
inline constexpr char kLabelRole[] = "slipway.role";
inline constexpr char kLabelSlot[] = "slipway.slot";
inline constexpr char kLabelRelease[] = "slipway.release";
inline constexpr char kLabelHook[] = "slipway.hook";
// Digest of a shared service's definition, to see that it has changed, and its parts, to say what has.
inline constexpr char kLabelDefinition[] = "slipway.definition";
inline constexpr char kLabelParts[] = "slipway.parts";
// Seconds that the compose file lets a container end in; compose 1 tells Docker nothing of them.
inline constexpr char kLabelGrace[] = "slipway.stop_grace";
// Compose's own.
inline constexpr char kLabelProject[] = "com.docker.compose.project";
inline constexpr char kLabelService[] = "com.docker.compose.service";
inline constexpr char kLabelVolume[] = "com.docker.compose.volume";
inline constexpr char kLabelWorkingDirectory[] = "com.docker.compose.project.working_dir";

// Links of a static site, and the file in each copy that says what it is.
inline constexpr char kSiteCurrent[] = "current";
inline constexpr char kSitePrevious[] = "previous";
inline constexpr char kSiteMark[] = "slipway-release.txt";

class Paths {
 public:
  // Sites are published below the state folder where `sites` is empty.
  explicit Paths(std::filesystem::path state, std::filesystem::path sites = "")
      : state_(std::move(state)), sites_(sites.empty() ? state_ / "sites" : std::move(sites)) {}

  const std::filesystem::path& State() const { return state_; }
  std::filesystem::path Journal() const { return state_ / "journal"; }
  std::filesystem::path ExecutorId() const { return state_ / "executor-id"; }
  std::filesystem::path Tls() const { return state_ / "tls"; }
  std::filesystem::path Blobs() const { return state_ / "blobs"; }
  std::filesystem::path Apps() const { return state_ / "apps"; }
  std::filesystem::path Releases(absl::string_view app) const;
  std::filesystem::path Release(absl::string_view app, absl::string_view release) const;
  std::filesystem::path Generated(absl::string_view app, absl::string_view release) const;
  std::filesystem::path Normalised(absl::string_view app) const;
  std::filesystem::path Detached(absl::string_view app, absl::string_view release) const;
  std::filesystem::path SharedFiles(absl::string_view app) const;
  std::filesystem::path Data(absl::string_view app) const;
  std::filesystem::path AdoptedData(absl::string_view app) const;
  std::filesystem::path BuildContexts() const { return state_ / "contexts"; }
  std::filesystem::path Marker(absl::string_view app) const;
  const std::filesystem::path& Sites() const { return sites_; }
  std::filesystem::path Site(absl::string_view app) const;
  std::filesystem::path SiteCopy(absl::string_view app, pb::Slot slot) const;

 private:
  std::filesystem::path state_;
  std::filesystem::path sites_;
};

// A relative path as one file name: bytes other than letters, digits, `_`, `-` and inner dots are written %XX. The empty path is
// `%2E`; one that would be longer than a file name may be ends in its digest.
std::string EncodedPath(absl::string_view relative);

// Compose projects.
std::string SlotProject(absl::string_view app, pb::Slot slot);
std::string WorkersProject(absl::string_view app);
std::string HooksProject(absl::string_view app);
std::string JobsProject(absl::string_view app);
// The network on which only the serving slot answers to its services' names.
std::string FrontNetwork(absl::string_view app);
// The image of a build, named by the digest of everything that goes into it.
std::string BuiltImage(absl::string_view app, absl::string_view digest);

}  // namespace slipway::executor
