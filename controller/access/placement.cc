#include "controller/access/placement.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"

namespace slipway::controller {
namespace {

const char* OrNothing(const std::string& value) {
  return value.empty() ? "nothing" : value.c_str();
}

// Each key of the application file that says where it stands, and by which rules it is deployed.
std::vector<std::pair<std::string, std::string>> PlacementOf(const pb::ApplicationSpec& spec) {
  const std::set<std::string> hosts(spec.hosts().begin(), spec.hosts().end());
  return {{"kind", spec.has_site() ? "site" : "compose"},
          {"hosts", absl::StrJoin(hosts, ", ")},
          {"compose.project", spec.compose().project()},
          {"slots", absl::StrCat(spec.slots().blue(), ", ", spec.slots().green())},
          {"nginx.upstream", spec.nginx().upstream()},
          {"nginx.file", spec.nginx().file()},
          {"nginx.marker", spec.nginx().marker()},
          {"nginx.proof_ports", absl::StrJoin(spec.nginx().proof_ports(), ", ")},
          {"policy.deploy_from", absl::StrJoin(spec.policy().deploy_from(), ", ")},
          {"policy.check_only", absl::StrJoin(spec.policy().check_only(), ", ")},
          {"policy.required_checks", absl::StrJoin(spec.policy().required_checks(), ", ")}};
}

}  // namespace

absl::Status CheckPlacement(const pb::ApplicationSpec* stored, const pb::ApplicationSpec& wished,
                            const Caller& caller) {
  if (caller.identity.role() == pb::ROLE_OPERATOR) return absl::OkStatus();
  if (stored == nullptr) {
    return Error(absl::StatusCode::kPermissionDenied, "PLACEMENT",
                 absl::StrCat(wished.app(),
                              " is not known here yet, and where it stands on its "
                              "hosts is an operator's to say"),
                 "let an operator say `slipway apply` once");
  }
  std::vector<std::string> changes;
  const auto before = PlacementOf(*stored);
  const auto after = PlacementOf(wished);
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] == after[i]) continue;
    changes.push_back(absl::StrCat(before[i].first, " from ", OrNothing(before[i].second), " to ",
                                   OrNothing(after[i].second)));
  }
  if (changes.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "PLACEMENT",
               absl::StrCat("this would change what of ", wished.app(),
                            " is an operator's to say: ", absl::StrJoin(changes, "; ")),
               "let an operator say `slipway apply` with this file, then deploy");
}

}  // namespace slipway::controller
