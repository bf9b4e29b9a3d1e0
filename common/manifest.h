// The file list of a release: made from a folder, checked before anything is unpacked, compared between releases.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/deployments.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway {

inline constexpr int kMaxReleaseFiles = 200'000;
inline constexpr uint64_t kMaxReleaseBytes = uint64_t{4} << 30;

// Patterns of .slipwayignore, one a line: `*` and `?` as in a shell, a leading `/` for the top, a trailing `/` for folders
// only, `#` starts a comment. `.git/` and the managed env file are always left out.
class IgnoreRules {
 public:
  static IgnoreRules Parse(absl::string_view text);
  bool Ignores(absl::string_view path, bool is_folder) const;
  void Add(absl::string_view pattern);

 private:
  struct Rule {
    std::string pattern;
    bool anchored = false;
    bool folders_only = false;
  };
  std::vector<Rule> rules_;
};

// Reads and digests every file below the folder that the rules leave in. INVALID_ARGUMENT for what a release cannot hold:
// sockets, devices, links that leave the folder, names that are not UTF-8.
absl::StatusOr<pb::Manifest> ScanFolder(const std::filesystem::path& folder,
                                        const IgnoreRules& rules);

// Refuses what a hostile client may send: absolute or climbing paths, NUL, `.`, empty components, duplicates, names that
// differ only in case, a file that is also a folder, links that leave the release, wrong digests, more than the limits.
absl::Status ValidateManifest(const pb::Manifest& manifest);

// The manifest of a blob's bytes, validated.
absl::StatusOr<pb::Manifest> ParseManifest(absl::string_view bytes);
// Byte for byte the same for the same entries, so that the digest names the tree.
std::string SerializeManifest(const pb::Manifest& manifest);

uint64_t TotalBytes(const pb::Manifest& manifest);

// In path order.
std::vector<pb::FileChange> CompareManifests(const pb::Manifest& before, const pb::Manifest& after,
                                             uint32_t* unchanged);

}  // namespace slipway
