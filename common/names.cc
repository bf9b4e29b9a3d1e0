#include "common/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/status.h"

namespace slipway {
namespace {

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }
bool IsLowerHex(char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); }

bool AllOf(absl::string_view text, bool (*allowed)(char)) {
  return std::all_of(text.begin(), text.end(), allowed);
}

absl::Status BadName(absl::string_view name, absl::string_view form) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
               absl::StrCat("'", name, "' is not a name of the form ", form));
}

}  // namespace

bool IsApplicationName(absl::string_view name) {
  return !name.empty() && name.size() <= 40 && absl::ascii_islower(name.front()) &&
         AllOf(name, [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

bool IsHostName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && IsLowerAlnum(name.front()) &&
         AllOf(name, [](char c) { return IsLowerAlnum(c) || c == '-' || c == '.'; });
}

bool IsServiceName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && absl::ascii_isalnum(name.front()) &&
         AllOf(name,
               [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

bool IsReleaseId(absl::string_view id) { return id.size() == 12 && AllOf(id, IsLowerHex); }

bool IsDeploymentId(absl::string_view id) {
  const std::vector<absl::string_view> parts = absl::StrSplit(id, '-');
  if (parts.size() != 2 && parts.size() != 3) return false;
  const auto digit = [](char c) { return absl::ascii_isdigit(c); };
  return parts[0].size() == 8 && AllOf(parts[0], digit) && parts[1].size() == 6 &&
         AllOf(parts[1], IsLowerHex) &&
         (parts.size() == 2 || (!parts[2].empty() && parts[2].size() < 9 &&
                                parts[2].front() != '0' && AllOf(parts[2], digit)));
}

bool IsCommitName(absl::string_view name) {
  return name.empty() || (name.size() <= 64 && name.front() != '-' && AllOf(name, [](char c) {
                            return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
                          }));
}

bool IsVariableName(absl::string_view name) {
  return !name.empty() && (absl::ascii_isalpha(name.front()) || name.front() == '_') &&
         AllOf(name, [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

bool IsUpstreamName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         (absl::ascii_isalpha(static_cast<unsigned char>(name.front())) || name.front() == '_') &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

std::string ApplicationName(absl::string_view app) { return absl::StrCat("applications/", app); }
std::string ReleaseName(absl::string_view app, absl::string_view release) {
  return absl::StrCat("applications/", app, "/releases/", release);
}
std::string DeploymentName(absl::string_view app, absl::string_view deployment) {
  return absl::StrCat("applications/", app, "/deployments/", deployment);
}
std::string HostName(absl::string_view host) { return absl::StrCat("hosts/", host); }

absl::StatusOr<std::string> ParseApplicationName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != "applications" || !IsApplicationName(parts[1])) {
    return BadName(name, "applications/APP, where APP is [a-z][a-z0-9-]{0,39}");
  }
  return std::string(parts[1]);
}

absl::StatusOr<std::string> ParseHostName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != "hosts" || !IsHostName(parts[1])) {
    return BadName(name, "hosts/NAME, where NAME is [a-z0-9][a-z0-9.-]{0,62}");
  }
  return std::string(parts[1]);
}

absl::StatusOr<ReleaseRef> ParseReleaseName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "applications" || parts[2] != "releases" ||
      !IsApplicationName(parts[1]) || !IsReleaseId(parts[3])) {
    return BadName(name, "applications/APP/releases/ID, where ID is 12 hexadecimal digits");
  }
  return ReleaseRef{std::string(parts[1]), std::string(parts[3])};
}

absl::StatusOr<DeploymentRef> ParseDeploymentName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "applications" || parts[2] != "deployments" ||
      !IsApplicationName(parts[1]) || (parts[3] != "-" && !IsDeploymentId(parts[3]))) {
    return BadName(name, "applications/APP/deployments/YYYYMMDD-XXXXXX");
  }
  return DeploymentRef{std::string(parts[1]), std::string(parts[3])};
}

}  // namespace slipway
