#include "controller/fleet/convergence.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway::controller {
namespace {

// How the last deployment treated a host.
enum class Part { kTook, kLeftOut, kUnknownThen };

// A definition that waits to be applied is shown, and is nothing to repair.
bool IsDrifted(const xpb::ApplicationState& state) {
  return std::any_of(state.differences().begin(), state.differences().end(),
                     [](const pb::Difference& difference) {
                       return difference.kind() != pb::DIFFERENCE_KIND_DEFINITION;
                     });
}

std::string Behind(const Desired& desired, Part part, const xpb::ApplicationState& state) {
  const std::string serves = state.active_release().empty()
                                 ? "it serves nothing of it"
                                 : absl::StrCat("it serves ", state.active_release());
  switch (part) {
    case Part::kLeftOut:
      return absl::StrCat(serves, "; ", desired.deployment, " went on without it");
    case Part::kUnknownThen:
      return absl::StrCat(serves, "; it was not among the hosts of ", desired.deployment);
    case Part::kTook:
      break;
  }
  return serves;
}

std::string Remedy(bool by_itself, const std::string& app) {
  return by_itself ? "it will catch up by itself" : absl::StrCat("`slipway reconcile ", app, "`");
}

class Judge {
 public:
  Judge(const Desired& desired, std::function<Part(const std::string& host)> part)
      : desired_(desired), part_(std::move(part)) {
    const pb::RolloutSpec& rollout = desired.spec.rollout();
    catches_up_ = rollout.catch_up() != pb::INITIATIVE_MANUAL;
    repairs_ = rollout.repair() == pb::INITIATIVE_AUTOMATIC;
  }

  HostPlace PlaceOf(const Target& target, const HostObservation& seen) {
    HostPlace place;
    place.host = target.host;
    place.reachable = seen.connected && !target.cordoned;
    const auto found = seen.applications.find(desired_.app);
    const xpb::ApplicationState state =
        found == seen.applications.end() ? xpb::ApplicationState() : found->second;
    const bool serves = state.active_release() == desired_.release ||
                        (!desired_.coming.empty() && state.active_release() == desired_.coming);
    // Of one that was never seen, the last deployment may know.
    const bool known = seen.last_seen.has_value() || part_(target.host) == Part::kLeftOut;
    if (!serves && known) {
      SetBehind(target, seen, state, place);
    } else if (!seen.connected) {
      place.standing = pb::HOST_STANDING_UNKNOWN;
      place.text = absl::StrCat("not connected: ", seen.problem);
    } else if (IsDrifted(state)) {
      place.standing = pb::HOST_STANDING_DRIFTED;
      place.differences = {state.differences().begin(), state.differences().end()};
      place.by_itself = repairs_;
      const pb::Difference& first = state.differences(0);
      const int more = state.differences_size() - 1;
      place.text = absl::StrCat(first.subject(), ": ", first.text(),
                                more == 0 ? "" : absl::StrCat(", and ", more, " more"), "; ",
                                Remedy(repairs_, desired_.app));
    } else {
      place.standing = pb::HOST_STANDING_CURRENT;
      place.differences = {state.differences().begin(), state.differences().end()};
    }
    return place;
  }

 private:
  void SetBehind(const Target& target, const HostObservation& seen,
                 const xpb::ApplicationState& state, HostPlace& place) {
    const Part part = part_(target.host);
    place.standing = pb::HOST_STANDING_BEHIND;
    // What failed there, or was done there by hand, is a person's to judge.
    place.by_itself = catches_up_ && part != Part::kTook;
    place.text = absl::StrCat(
        Behind(desired_, part, state), "; ",
        seen.connected ? "" : absl::StrCat("not connected: ", seen.problem, "; "),
        target.cordoned
            ? absl::StrCat("it is cordoned (`slipway hosts uncordon ", target.host, "`)")
            : Remedy(place.by_itself, desired_.app));
  }

  const Desired& desired_;
  const std::function<Part(const std::string& host)> part_;
  bool catches_up_ = false;
  bool repairs_ = false;
};

}  // namespace

absl::StatusOr<std::optional<Desired>> Convergence::DesiredOf(const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(app, 1));
  if (served.empty()) return std::optional<Desired>();
  Desired desired;
  desired.app = app;
  desired.deployment = served[0].id;
  desired.release = served[0].release;
  desired.left_out = served[0].left_out;
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, store_.GetRelease(app, desired.release));
  SLIPWAY_ASSIGN_OR_RETURN(desired.spec, store_.GetSpec(app, release.spec_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(app));
  if (!running.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentHead head, store_.GetDeploymentHead(app, running));
    desired.coming = head.release;
  }
  return desired;
}

absl::StatusOr<std::vector<HostPlace>> Convergence::PlacesOf(const Desired& desired) {
  return PlacesOf(desired, observe_);
}

absl::StatusOr<std::vector<HostPlace>> Convergence::PlacesOf(const Desired& desired,
                                                             const Observer& observe) {
  // Asked for only when some host is behind: it is much.
  std::optional<absl::StatusOr<DeploymentRecord>> deployment;
  Judge judge(desired, [&](const std::string& host) {
    const auto is_it = [&host](const auto& one) { return one.host == host; };
    if (std::any_of(desired.left_out.begin(), desired.left_out.end(), is_it)) return Part::kLeftOut;
    if (!deployment) deployment = store_.GetDeployment(desired.app, desired.deployment);
    if (!deployment->ok()) return Part::kTook;
    const auto& took = (*deployment)->rollouts;
    return std::any_of(took.begin(), took.end(), is_it) ? Part::kTook : Part::kUnknownThen;
  });
  std::vector<HostPlace> places;
  for (const Target& target : targets_(desired.spec)) {
    places.push_back(judge.PlaceOf(target, observe(target.host)));
  }
  if (deployment && !deployment->ok()) return deployment->status();
  return places;
}

}  // namespace slipway::controller
