// The grammar of every name that enters a path, a label or a resource name, and AIP-122 resource names.
//   application   [a-z][a-z0-9-]{0,39}         host      [a-z0-9][a-z0-9.-]{0,62}
//   service       [a-zA-Z0-9][a-zA-Z0-9._-]{0,62}   release   [0-9a-f]{12}
//   deployment    YYYYMMDD-[0-9a-f]{6}(-[1-9][0-9]*)?
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

bool IsApplicationName(absl::string_view name);
bool IsHostName(absl::string_view name);
bool IsServiceName(absl::string_view name);
bool IsReleaseId(absl::string_view id);
bool IsDeploymentId(absl::string_view id);
// Free text that may enter a label: at most 64 of [0-9A-Za-z._-], not starting with `-`. Empty is fine.
bool IsCommitName(absl::string_view name);
// A name of an environment variable: [A-Za-z_][A-Za-z0-9_]*.
bool IsVariableName(absl::string_view name);
// Of nginx: [A-Za-z_][A-Za-z0-9_.-]{0,62}.
bool IsUpstreamName(absl::string_view name);

std::string ApplicationName(absl::string_view app);
std::string ReleaseName(absl::string_view app, absl::string_view release);
std::string DeploymentName(absl::string_view app, absl::string_view deployment);
std::string HostName(absl::string_view host);

struct ReleaseRef {
  std::string app;
  std::string release;
};
struct DeploymentRef {
  std::string app;
  // `-` for the newest.
  std::string deployment;
};

// INVALID_ARGUMENT that shows the expected form.
absl::StatusOr<std::string> ParseApplicationName(absl::string_view name);
absl::StatusOr<std::string> ParseHostName(absl::string_view name);
absl::StatusOr<ReleaseRef> ParseReleaseName(absl::string_view name);
absl::StatusOr<DeploymentRef> ParseDeploymentName(absl::string_view name);

}  // namespace slipway
