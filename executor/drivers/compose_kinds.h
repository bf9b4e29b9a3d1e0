// Which service of a compose file is of which kind, and what of the file cannot be had when the kinds are
// run apart. Part of compose_cut.h. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <nlohmann/json.hpp>

#include "executor/drivers/compose_cut.h"

namespace slipway::executor {

struct ServiceKinds {
  std::set<std::string> slotted;
  std::set<std::string> workers;
  std::set<std::string> shared;
  // Those that run to their end before the candidate starts, each after the ones that it depends on.
  std::vector<std::string> jobs;
  // Shared services that depend on a job, by others too.
  std::set<std::string> after_jobs;

  bool IsJob(const std::string& name) const;
};

// The names in a list or the keys of an object.
std::set<std::string> NamesIn(const nlohmann::json& service, const char* key);

// INVALID_COMPOSE_FILE for names that slipway.yaml has and the compose file has not, or has in a profile
// that is not active.
absl::StatusOr<ServiceKinds> KindsOf(const CutInput& input);

// Refuses links and shared namespaces between services of different kinds, and static addresses of
// slotted services. A link that only repeats a service's name is taken out of `document`.
absl::Status SettleReferences(const ServiceKinds& kinds, nlohmann::json& document);

// Names beside its own under which others know a service: its aliases on any network, and its container's
// name.
std::vector<std::string> AliasesOf(const nlohmann::json& service);

}  // namespace slipway::executor
