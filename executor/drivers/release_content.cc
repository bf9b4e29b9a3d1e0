#include "executor/drivers/release_content.h"

#include <filesystem>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/digest.h"

namespace slipway::executor {
namespace {

// As many as the kernel follows.
constexpr int kMostLinks = 40;

}  // namespace

bool IsBelow(absl::string_view path, absl::string_view parent) {
  if (parent.empty()) return !path.empty();
  return absl::StartsWith(path, absl::StrCat(parent, "/"));
}

ReleaseContent::ReleaseContent(const pb::Manifest& manifest, absl::string_view env_file,
                               absl::string_view env_digest) {
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    entries_[entry.path()] = {entry.type(), entry.digest(), entry.link_target()};
  }
  const std::string path = std::filesystem::path(std::string(env_file)).lexically_normal().string();
  if (!env_file.empty()) entries_[path] = {pb::FILE_TYPE_REGULAR, std::string(env_digest), ""};
}

absl::StatusOr<std::string> ReleaseContent::Resolve(absl::string_view path) const {
  std::vector<std::string> left = absl::StrSplit(path, '/', absl::SkipEmpty());
  std::vector<std::string> done;
  int links = 0;
  while (!left.empty()) {
    const std::string name = left.front();
    left.erase(left.begin());
    if (name == ".") continue;
    if (name == "..") {
      if (done.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(path, " leads out of the release"));
      }
      done.pop_back();
      continue;
    }
    done.push_back(name);
    const auto found = entries_.find(absl::StrJoin(done, "/"));
    if (found == entries_.end() || found->second.type != pb::FILE_TYPE_SYMLINK) continue;
    if (++links > kMostLinks || absl::StartsWith(found->second.link, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " goes through a link that ",
                       links > kMostLinks ? "leads in circles" : "is absolute"));
    }
    done.pop_back();
    std::vector<std::string> target = absl::StrSplit(found->second.link, '/', absl::SkipEmpty());
    left.insert(left.begin(), target.begin(), target.end());
  }
  return absl::StrJoin(done, "/");
}

std::map<std::string, ReleaseContent::Entry>::const_iterator ReleaseContent::FirstBelow(
    const std::string& path) const {
  const std::string start = path.empty() ? "" : absl::StrCat(path, "/");
  const auto found = entries_.lower_bound(start);
  return found != entries_.end() && absl::StartsWith(found->first, start) ? found : entries_.end();
}

ReleaseContent::Kind ReleaseContent::KindOf(const std::string& path) const {
  if (path.empty() || FirstBelow(path) != entries_.end()) return Kind::kDirectory;
  return entries_.contains(path) ? Kind::kFile : Kind::kAbsent;
}

bool ReleaseContent::IsPlaceholder(const std::string& path) const {
  if (path.empty() || KindOf(path) != Kind::kDirectory) return false;
  for (auto at = FirstBelow(path); at != entries_.end() && IsBelow(at->first, path); ++at) {
    const std::string name = at->first.substr(at->first.rfind('/') + 1);
    if (name != ".gitkeep" && name != ".gitignore" && name != ".keep") return false;
  }
  return true;
}

std::string ReleaseContent::DigestOf(const std::string& path) const {
  Sha256 hash;
  const auto add = [&hash](const std::string& name, const Entry& entry) {
    for (const std::string& part :
         {name, absl::StrCat(static_cast<int>(entry.type)), entry.digest, entry.link}) {
      hash.Update(absl::StrCat(part.size(), ":", part));
    }
  };
  if (const auto file = entries_.find(path); file != entries_.end()) add("", file->second);
  for (auto at = FirstBelow(path);
       at != entries_.end() && (path.empty() || IsBelow(at->first, path)); ++at) {
    add(at->first.substr(path.size()), at->second);
  }
  return absl::BytesToHexString(hash.Finish()).substr(0, 16);
}

}  // namespace slipway::executor
