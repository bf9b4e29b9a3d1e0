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

namespace slipway::executor {

// Before compose reads anything: includes of other machines are refused, and files outside of the release, followed through
// local includes. FAILURE_REASON_POLICY, naming every finding; INVALID_COMPOSE_FILE for what is not one YAML document.
absl::Status CheckComposeReferences(const std::filesystem::path& folder, const std::string& file,
                                    const Environment& environment,
                                    const std::vector<std::string>& allowances);

// Of what `compose config` printed: privileged, host namespaces, the Docker socket, binds and builds outside of the release,
// devices, capabilities, switched-off confinement, volumes and networks that are not this compose project's, and every key that
// is not known to stay within its container. FAILURE_REASON_POLICY, naming every finding.
absl::Status CheckComposePolicy(const nlohmann::json& document, const std::string& project,
                                const std::filesystem::path& folder,
                                const std::vector<std::string>& allowances);

}  // namespace slipway::executor
