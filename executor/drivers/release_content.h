// What a release has at a path, told from its manifest: the tree on disk may have been changed by the
// containers that mount it. Pure.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::executor {

// Paths are relative to the release; the empty one is the release itself.
class ReleaseContent {
 public:
  enum class Kind { kAbsent, kFile, kDirectory };

  // `env_file` is a file of the release that the manifest does not list; `env_digest` names its
  // text. The manifest outlives the object.
  ReleaseContent(const pb::Manifest& manifest, absl::string_view env_file,
                 absl::string_view env_digest);

  // The path with `.`, `..` and the release's own links resolved. INVALID_ARGUMENT when it leads out
  // of the release or in circles.
  absl::StatusOr<std::string> Resolve(absl::string_view path) const;

  // Of a resolved path.
  Kind KindOf(const std::string& path) const;
  // A directory that only keeps its place in git: nothing but .gitkeep, .gitignore and .keep is in it.
  bool IsPlaceholder(const std::string& path) const;
  // Over the names, types and contents of everything at and below the path.
  std::string DigestOf(const std::string& path) const;

 private:
  struct Entry {
    pb::FileType type = pb::FILE_TYPE_REGULAR;
    std::string digest;
    std::string link;
  };
  // The first entry below the path, or end().
  std::map<std::string, Entry>::const_iterator FirstBelow(const std::string& path) const;

  std::map<std::string, Entry> entries_;
};

// Whether `path` lies strictly below `parent`.
bool IsBelow(absl::string_view path, absl::string_view parent);

}  // namespace slipway::executor
