#include "common/manifest.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include <fnmatch.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/common.h>

#include "common/digest.h"
#include "common/status.h"
#include "common/utf8.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;

absl::Status Refuse(absl::string_view path, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "INVALID_RELEASE",
               absl::StrCat("'", path.substr(0, 200), "' ", why));
}

absl::Status CheckPath(absl::string_view path) {
  if (path.empty() || path.size() > 1024) return Refuse(path, "is empty or longer than 1024 bytes");
  if (path.find('\0') != absl::string_view::npos) return Refuse(path, "contains NUL");
  if (!IsUtf8(path)) return Refuse("(not UTF-8)", "is not a name in UTF-8");
  for (const absl::string_view component : absl::StrSplit(path, '/')) {
    if (component.empty() || component == "." || component == ".." || component.size() > 255) {
      return Refuse(path, "is absolute, climbs, or has an empty or too long component");
    }
  }
  return absl::OkStatus();
}

// Where a link at `path` points, from the release's root, as text; false when it leaves the root.
bool LinkStaysInside(absl::string_view path, absl::string_view target) {
  if (target.empty() || target.front() == '/' || target.size() > 1024 ||
      target.find('\0') != absl::string_view::npos) {
    return false;
  }
  long depth = std::count(path.begin(), path.end(), '/');
  for (const absl::string_view component : absl::StrSplit(target, '/')) {
    if (component == "..") {
      if (--depth < 0) return false;
    } else if (!component.empty() && component != ".") {
      ++depth;
    }
  }
  return true;
}

// The text is not enough when a link's target goes through another link and up again: the parent of
// where that one leads is not the parent of where it stands. So what is left by `..` has to be real
// folders. What only goes down through links stays inside, since each of them does.
bool ClimbsThroughLink(absl::string_view path, absl::string_view target,
                       const std::set<std::string>& links) {
  std::vector<absl::string_view> at = absl::StrSplit(path, '/');
  at.pop_back();
  for (const absl::string_view component : absl::StrSplit(target, '/')) {
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      at.push_back(component);
      continue;
    }
    for (size_t length = 1; length <= at.size(); ++length) {
      if (links.contains(absl::StrJoin(at.begin(), at.begin() + static_cast<long>(length), "/"))) {
        return true;
      }
    }
    at.pop_back();
  }
  return false;
}

absl::Status CheckEntry(const pb::ManifestEntry& entry) {
  SLIPWAY_RETURN_IF_ERROR(CheckPath(entry.path()));
  switch (entry.type()) {
    case pb::FILE_TYPE_REGULAR:
    case pb::FILE_TYPE_EXECUTABLE:
      if (entry.digest().size() != 32 || !entry.link_target().empty()) {
        return Refuse(entry.path(), "needs a digest of 32 bytes and no link target");
      }
      return absl::OkStatus();
    case pb::FILE_TYPE_SYMLINK:
      if (!entry.digest().empty() || entry.size() != 0) {
        return Refuse(entry.path(), "is a link and has content");
      }
      if (!LinkStaysInside(entry.path(), entry.link_target())) {
        return Refuse(entry.path(), "is a link that leaves the release");
      }
      return absl::OkStatus();
    default:
      return Refuse(entry.path(), "is neither a file nor a link");
  }
}

// Adds what one folder holds, and what its folders hold.
absl::Status Scan(const fs::path& root, const std::string& prefix, const IgnoreRules& rules,
                  std::vector<pb::ManifestEntry>& entries) {
  std::error_code error;
  for (const auto& item : fs::directory_iterator(root / prefix, error)) {
    const std::string name = item.path().filename().string();
    const std::string path = prefix.empty() ? name : absl::StrCat(prefix, "/", name);
    struct stat info {};
    if (lstat(item.path().c_str(), &info) != 0) return ErrnoError(item.path().string());
    if (rules.Ignores(path, S_ISDIR(info.st_mode))) continue;
    if (S_ISDIR(info.st_mode)) {
      SLIPWAY_RETURN_IF_ERROR(Scan(root, path, rules, entries));
      continue;
    }
    pb::ManifestEntry entry;
    entry.set_path(path);
    if (S_ISLNK(info.st_mode)) {
      entry.set_type(pb::FILE_TYPE_SYMLINK);
      entry.set_link_target(fs::read_symlink(item.path(), error).string());
    } else if (S_ISREG(info.st_mode)) {
      entry.set_type((info.st_mode & 0100) != 0 ? pb::FILE_TYPE_EXECUTABLE : pb::FILE_TYPE_REGULAR);
      entry.set_size(static_cast<uint64_t>(info.st_size));
      SLIPWAY_ASSIGN_OR_RETURN(*entry.mutable_digest(), Sha256OfFile(item.path().string()));
    } else {
      return Refuse(path,
                    "is a socket, pipe or device, which a release cannot hold; add it to "
                    ".slipwayignore");
    }
    entries.push_back(std::move(entry));
    if (entries.size() > static_cast<size_t>(kMaxReleaseFiles)) {
      return Refuse(root.string(), absl::StrCat("holds more than ", kMaxReleaseFiles,
                                                " files; leave some out by .slipwayignore"));
    }
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat((root / prefix).string(), ": ", error.message()));
  }
  return absl::OkStatus();
}

}  // namespace

IgnoreRules IgnoreRules::Parse(absl::string_view text) {
  IgnoreRules rules;
  rules.Add(".git");
  for (const absl::string_view line : absl::StrSplit(text, '\n')) rules.Add(line);
  return rules;
}

void IgnoreRules::Add(absl::string_view pattern) {
  pattern = absl::StripAsciiWhitespace(pattern);
  if (pattern.empty() || pattern.front() == '#') return;
  Rule rule;
  rule.folders_only = absl::ConsumeSuffix(&pattern, "/");
  rule.anchored = absl::ConsumePrefix(&pattern, "/") || absl::StrContains(pattern, '/');
  rule.pattern = std::string(pattern);
  rules_.push_back(std::move(rule));
}

bool IgnoreRules::Ignores(absl::string_view path, bool is_folder) const {
  const std::string whole(path);
  const std::string name(path.substr(path.rfind('/') + 1));
  return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    if (rule.folders_only && !is_folder) return false;
    const std::string& subject = rule.anchored ? whole : name;
    return fnmatch(rule.pattern.c_str(), subject.c_str(), FNM_PATHNAME) == 0;
  });
}

absl::StatusOr<pb::Manifest> ScanFolder(const fs::path& folder, const IgnoreRules& rules) {
  std::vector<pb::ManifestEntry> entries;
  SLIPWAY_RETURN_IF_ERROR(Scan(folder, "", rules, entries));
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.path() < b.path(); });
  pb::Manifest manifest;
  for (pb::ManifestEntry& entry : entries) *manifest.add_entries() = std::move(entry);
  SLIPWAY_RETURN_IF_ERROR(ValidateManifest(manifest));
  return manifest;
}

absl::Status ValidateManifest(const pb::Manifest& manifest) {
  if (manifest.entries_size() > kMaxReleaseFiles) {
    return Refuse("the release", absl::StrCat("has more than ", kMaxReleaseFiles, " files"));
  }
  uint64_t total = 0;
  absl::string_view previous;
  std::map<std::string, absl::string_view> by_folded_name;
  std::set<absl::string_view> leaves;
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    SLIPWAY_RETURN_IF_ERROR(CheckEntry(entry));
    if (!previous.empty() && entry.path() <= previous) {
      return Refuse(entry.path(), "is out of order or stands twice");
    }
    previous = entry.path();
    if (entry.size() > kMaxReleaseBytes || (total += entry.size()) > kMaxReleaseBytes) {
      return Refuse(entry.path(), "makes the release larger than 4 GiB");
    }
    const auto [other, is_new] =
        by_folded_name.emplace(absl::AsciiStrToLower(entry.path()), entry.path());
    if (!is_new)
      return Refuse(entry.path(), absl::StrCat("differs from '", other->second, "' only in case"));
    leaves.insert(entry.path());
  }
  std::set<std::string> links;
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.type() == pb::FILE_TYPE_SYMLINK) links.insert(entry.path());
  }
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.type() == pb::FILE_TYPE_SYMLINK &&
        ClimbsThroughLink(entry.path(), entry.link_target(), links)) {
      return Refuse(entry.path(), "is a link that goes through another link and up from there");
    }
  }
  // A file or link cannot have entries below it: through a link they would land elsewhere.
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    const absl::string_view path = entry.path();
    for (size_t slash = path.find('/'); slash != absl::string_view::npos;
         slash = path.find('/', slash + 1)) {
      if (leaves.contains(path.substr(0, slash))) {
        return Refuse(path, "lies below something that is not a folder");
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::Manifest> ParseManifest(absl::string_view bytes) {
  pb::Manifest manifest;
  if (!manifest.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Refuse("the manifest", "cannot be read");
  }
  SLIPWAY_RETURN_IF_ERROR(ValidateManifest(manifest));
  return manifest;
}

std::string SerializeManifest(const pb::Manifest& manifest) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  manifest.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

uint64_t TotalBytes(const pb::Manifest& manifest) {
  uint64_t total = 0;
  for (const pb::ManifestEntry& entry : manifest.entries()) total += entry.size();
  return total;
}

std::vector<pb::FileChange> CompareManifests(const pb::Manifest& before, const pb::Manifest& after,
                                             uint32_t* unchanged) {
  std::vector<pb::FileChange> changes;
  *unchanged = 0;
  const auto add = [&](const std::string& path, absl::string_view what) {
    pb::FileChange& change = changes.emplace_back();
    change.set_path(path);
    change.set_change(std::string(what));
  };
  int old_index = 0;
  int new_index = 0;
  while (old_index < before.entries_size() || new_index < after.entries_size()) {
    const bool old_done = old_index == before.entries_size();
    const bool new_done = new_index == after.entries_size();
    if (new_done ||
        (!old_done && before.entries(old_index).path() < after.entries(new_index).path())) {
      add(before.entries(old_index++).path(), "removed");
    } else if (old_done || after.entries(new_index).path() < before.entries(old_index).path()) {
      add(after.entries(new_index++).path(), "added");
    } else {
      const pb::ManifestEntry& old_entry = before.entries(old_index++);
      const pb::ManifestEntry& new_entry = after.entries(new_index++);
      if (old_entry.digest() == new_entry.digest() && old_entry.type() == new_entry.type() &&
          old_entry.link_target() == new_entry.link_target()) {
        ++*unchanged;
      } else {
        add(new_entry.path(), "changed");
      }
    }
  }
  return changes;
}

}  // namespace slipway
