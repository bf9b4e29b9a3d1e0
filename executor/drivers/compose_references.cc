// The first half of compose_policy.h: before compose reads anything, which files it would read.
#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_findings.h"
#include "executor/drivers/compose_policy.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFiles = 100;

// Compose interpolates before it opens the file, so what it opens is judged: $X, ${X}, ${X:-default} and ${X-default}. Nothing
// for other forms.
std::optional<std::string> Interpolated(const std::string& text, const Environment& environment) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '$') {
      result += text[at++];
      continue;
    }
    const bool braces = at + 1 < text.size() && text[at + 1] == '{';
    const size_t name_at = at + (braces ? 2 : 1);
    size_t end = name_at;
    while (end < text.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) {
      ++end;
    }
    if (end == name_at) return std::nullopt;
    const auto found = environment.find(text.substr(name_at, end - name_at));
    std::string value = found == environment.end() ? "" : found->second;
    if (braces) {
      const size_t close = text.find('}', end);
      if (close == std::string::npos) return std::nullopt;
      std::string rest = text.substr(end, close - end);
      const bool also_empty = absl::StartsWith(rest, ":-");
      if (!rest.empty()) {
        if (!also_empty && rest[0] != '-') return std::nullopt;
        rest = rest.substr(also_empty ? 2 : 1);
        if (absl::StrContains(rest, "$")) return std::nullopt;
        if (found == environment.end() || (also_empty && value.empty())) value = rest;
      }
      end = close + 1;
    }
    result += value;
    at = end;
  }
  return result;
}

// One file and what it names; answers the local compose files among them, relative to the release. What cannot be read here
// is refused: compose's own reader may take it for more than we saw.
absl::StatusOr<std::vector<fs::path>> CheckOneFile(const fs::path& folder, const fs::path& file,
                                                   const Environment& environment,
                                                   ComposeFindings& findings) {
  std::vector<fs::path> more;
  const auto text = ReadFile(folder / file);
  // Compose itself says that a file is missing.
  if (!text.ok()) return more;
  const auto references = ReferencesOf(*text, file.string());
  if (!references.ok()) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE, references.status().message());
  }
  for (const ComposeReference& reference : *references) {
    const auto target = Interpolated(reference.target, environment);
    // Shown as it is written: what a variable holds may be a secret.
    const std::string where =
        absl::StrCat(file.string(), ": ", reference.key, " ", reference.target);
    // Relative to the file that names it or to the project: it has to be inside either way.
    const bool inside = target && !IsRemote(*target) &&
                        IsInside(folder / file.parent_path() / *target, folder) &&
                        IsInside(folder / *target, folder);
    if (!inside) {
      findings.Add("*", reference.key, reference.target, where);
    } else if (reference.key == "include" || reference.key == "extends") {
      more.push_back((file.parent_path() / *target).lexically_normal());
    }
  }
  return more;
}

}  // namespace

absl::Status FindComposeReferences(const fs::path& folder, const std::string& file,
                                   const Environment& environment, ComposeFindings& findings) {
  std::vector<fs::path> files = {fs::path(file).lexically_normal()};
  for (size_t i = 0; i < files.size() && i < kMostFiles; ++i) {
    const fs::path one = files[i];
    SLIPWAY_ASSIGN_OR_RETURN(std::vector<fs::path> named,
                             CheckOneFile(folder, one, environment, findings));
    for (fs::path& more : named) {
      if (std::find(files.begin(), files.end(), more) == files.end()) {
        files.push_back(std::move(more));
      }
    }
  }
  if (files.size() > kMostFiles) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   "the compose file includes more than 100 others");
  }
  return absl::OkStatus();
}

absl::Status CheckComposeReferences(const fs::path& folder, const std::string& file,
                                    const Environment& environment,
                                    const std::vector<std::string>& allowances) {
  ComposeFindings findings;
  SLIPWAY_RETURN_IF_ERROR(FindComposeReferences(folder, file, environment, findings));
  return findings.Verdict(allowances);
}

}  // namespace slipway::executor
