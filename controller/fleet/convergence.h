// Where each host stands: what its application ought to serve there, against what it was last seen to serve. Nothing is kept here:
// the store says what ought to be, the fleet what is.
//
// An application ought to serve the release of its last deployment that ended with it serving everywhere it went. A host that serves
// the release of a deployment under way counts as current.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/fleet/fleet.h"
#include "controller/fleet/target.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct Desired {
  std::string app;
  std::string deployment;
  std::string release;
  // The release's own.
  pb::ApplicationSpec spec;
  std::vector<LeftOut> left_out;
  // Of the deployment under way; empty when there is none.
  std::string coming;
};

struct HostPlace {
  std::string host;
  pb::HostStanding standing = pb::HOST_STANDING_UNSPECIFIED;
  // Why, and what will be done about it; empty for a current one.
  std::string text;
  std::vector<pb::Difference> differences;
  // A reconciliation could take it now.
  bool reachable = false;
  // The application's policy wants it to be reconciled without a person's word.
  bool by_itself = false;
};

// Safe from several threads.
class Convergence {
 public:
  using Observer = std::function<HostObservation(const std::string& host)>;

  Convergence(Store& store, TargetLookup targets, Observer observe)
      : store_(store), targets_(std::move(targets)), observe_(std::move(observe)) {}

  // Nothing while no release has served yet.
  absl::StatusOr<std::optional<Desired>> DesiredOf(const std::string& app);
  // Of every host that the application is meant for; empty when nothing is desired. Also what `observe` says in place of the
  // fleet's last observation.
  absl::StatusOr<std::vector<HostPlace>> PlacesOf(const Desired& desired);
  absl::StatusOr<std::vector<HostPlace>> PlacesOf(const Desired& desired, const Observer& observe);

 private:
  Store& store_;
  const TargetLookup targets_;
  const Observer observe_;
};

}  // namespace slipway::controller
