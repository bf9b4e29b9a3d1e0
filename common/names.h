// The grammar of every name that enters a path, a label or a resource name, and AIP-122 resource names.
//   application   [a-z][a-z0-9-]{0,39}         host      [a-z0-9][a-z0-9.-]{0,62}
//   service       [a-zA-Z0-9][a-zA-Z0-9._-]{0,62}   release   [0-9a-f]{12}
//   deployment    YYYYMMDD-[0-9a-f]{6}(-[1-9][0-9]*)?
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slipway {

bool IsApplicationName(std::string_view name);
bool IsHostName(std::string_view name);
bool IsServiceName(std::string_view name);
bool IsReleaseId(std::string_view id);
bool IsDeploymentId(std::string_view id);
// Free text that may enter a label: at most 64 of [0-9A-Za-z._-], not starting with `-`. Empty is fine.
bool IsCommitName(std::string_view name);
// A name of an environment variable: [A-Za-z_][A-Za-z0-9_]*.
bool IsVariableName(std::string_view name);

std::string ApplicationName(std::string_view app);
std::string ReleaseName(std::string_view app, std::string_view release);
std::string DeploymentName(std::string_view app, std::string_view deployment);
std::string HostName(std::string_view host);

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
absl::StatusOr<std::string> ParseApplicationName(std::string_view name);
absl::StatusOr<std::string> ParseHostName(std::string_view name);
absl::StatusOr<ReleaseRef> ParseReleaseName(std::string_view name);
absl::StatusOr<DeploymentRef> ParseDeploymentName(std::string_view name);

}  // namespace slipway
