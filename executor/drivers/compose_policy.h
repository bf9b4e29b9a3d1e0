// What a compose file may not do on this host unless an operator allows it: take over the host, or read what is not the
// release's.
//
// An allowance is written as the refusal names it, SERVICE:KEY or SERVICE:KEY:VALUE:
//   api:privileged          api:network_mode:host    api:pid:host          api:cap_add:SYS_ADMIN
//   api:bind:/srv/uploads   api:devices:/dev/kvm     *:volume_bind:/etc    *:include:https://example.org/x.yml
//   *:volume:backups        *:network:proxy          api:runtime           api:build_tags:example/api:1
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include <nlohmann/json.hpp>

#include "common/env_file.h"
#include "executor/drivers/compose_findings.h"

namespace slipway::executor {

// Before compose reads anything: includes of other machines are findings, and files outside of the release, followed through
// local includes. INVALID_COMPOSE_FILE for what is not one YAML document, and for keys that come twice: compose may take the
// other one.
absl::Status FindComposeReferences(const std::filesystem::path& folder, const std::string& file,
                                   const Environment& environment, ComposeFindings& findings);

// Of what `compose config` printed: privileged, host namespaces, the Docker socket, binds and builds outside of the release,
// devices, capabilities, switched-off confinement, volumes and networks that are not this compose project's, and every key that
// is not known to stay within its container.
void FindComposePolicy(const nlohmann::json& document, const std::string& project,
                       const std::filesystem::path& folder, ComposeFindings& findings);

// Both with a verdict: FAILURE_REASON_POLICY, naming every finding that is not allowed.
absl::Status CheckComposeReferences(const std::filesystem::path& folder, const std::string& file,
                                    const Environment& environment,
                                    const std::vector<std::string>& allowances);
absl::Status CheckComposePolicy(const nlohmann::json& document, const std::string& project,
                                const std::filesystem::path& folder,
                                const std::vector<std::string>& allowances);

}  // namespace slipway::executor
