// What is on the host already of a compose file: an installation of the same file under another project's
// name, beside which a deployment would start with empty volumes, and resources of other projects whose
// names look like this project's. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include <nlohmann/json.hpp>

#include "common/protos.h"
#include "executor/drivers/compose_findings.h"
#include "executor/drivers/docker_engine.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::executor {

// The host as the Engine shows it.
struct DockerResources {
  std::vector<DockerContainer> containers;
  std::vector<DockerVolume> volumes;
  std::vector<DockerNetwork> networks;
};

struct InstallationQuery {
  // As `compose config` prints it, without services of inactive profiles.
  const nlohmann::json& document;
  const pb::ApplicationSpec& spec;
  // By `name:` and COMPOSE_PROJECT_NAME, what compose itself would call the project; may be empty.
  std::set<std::string> named = {};
};

// Of an installation of the same file.
struct OtherInstallation {
  std::string project;
  // Where it was started from; empty when only volumes are left of it.
  std::string directory;
  std::set<std::string> services;
  // Its volumes whose counterparts this project has not got yet, by the file's names.
  std::map<std::string, std::string> volumes;
};

// What tells the same file: the project's name, a published port that both have, the same services with
// the same images and volumes, or, where no container is left, two or more volumes of the same names. Projects of other applications of Slipway's are none.
std::vector<OtherInstallation> FindOtherInstallations(const InstallationQuery& query,
                                                      const DockerResources& host);

// PREFLIGHT for an installation that the allowances do not name.
absl::Status CheckOtherInstallations(const InstallationQuery& query, const DockerResources& host,
                                     const std::vector<std::string>& allowances);

// Adds volumes and networks that have this project's name in front of theirs and are another project's:
// `shop_db_data` is `shop`'s by its name, and may be `shop_db`'s.
void FindResourcesOfOthers(const nlohmann::json& document, const std::string& project,
                           const DockerResources& host, ComposeFindings& findings);

}  // namespace slipway::executor
