#include "controller/rollout/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "common/names.h"
#include "common/status.h"
#include "controller/rollout/crew.h"
#include "controller/rollout/order.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {
// The answer to a request that found nothing to do.
constexpr char kUpToDate[] = "up_to_date";
}  // namespace

std::string PreviousRelease(const std::vector<DeploymentRecord>& served,
                            const std::string& present) {
  std::vector<std::string> stack;
  for (auto one = served.rbegin(); one != served.rend(); ++one) {
    const auto found = std::find(stack.begin(), stack.end(), one->release);
    const bool back = one->kind == pb::DEPLOYMENT_KIND_ROLLBACK && found != stack.end();
    if (back) stack.erase(found + 1, stack.end());
    if (stack.empty() || stack.back() != one->release) stack.push_back(one->release);
  }
  // A host may have been rolled back on the spot, which is no deployment.
  const auto found = std::find(stack.rbegin(), stack.rend(), present);
  if (found != stack.rend()) stack.erase(found.base(), stack.end());
  if (!stack.empty() && !present.empty() && stack.back() != present) return stack.back();
  if (stack.size() < 2) return "";
  return stack[stack.size() - 2];
}

std::vector<xpb::ApplicationState> Admission::Inspect(const pb::ApplicationSpec& spec) {
  std::vector<std::optional<xpb::ApplicationState>> seen(static_cast<size_t>(spec.hosts_size()));
  InParallel(seen.size(), kHostsAtATime, [&](size_t i) {
    const auto client = hosts_(spec.hosts(static_cast<int>(i)));
    if (client == nullptr) return;
    const auto answer = client->Inspect(spec.app());
    if (!answer.ok()) return;
    // A host that has never heard of the application says nothing, which is an answer.
    xpb::ApplicationState& state = seen[i].emplace();
    for (const auto& one : answer->applications()) {
      if (one.app() == spec.app()) state = one;
    }
  });
  std::vector<xpb::ApplicationState> states;
  for (auto& state : seen) {
    if (state) states.push_back(*std::move(state));
  }
  return states;
}

absl::StatusOr<ReleaseRecord> Admission::ReleaseFor(const Wish& wish) {
  if (!wish.release.empty()) return store_.GetRelease(wish.app, wish.release);
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord application, store_.GetApplication(wish.app));
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(wish.app, 1000));
  const auto states = Inspect(application.spec);
  const std::string present =
      states.empty() ? ""
      : states.size() == 1 ||
              std::all_of(states.begin(), states.end(),
                          [&](const auto& state) {
                            return state.active_release() == states[0].active_release();
                          })
          ? states[0].active_release()
          : "";
  const std::string previous = PreviousRelease(served, present);
  if (!previous.empty()) return store_.GetRelease(wish.app, previous);
  return Error(absl::StatusCode::kFailedPrecondition, "NO_PREVIOUS_RELEASE",
               absl::StrCat("no release of ", wish.app, " has served before the present one"),
               "name a release: `slipway rollback --to RELEASE`", ApplicationName(wish.app));
}

absl::StatusOr<Admitted> Admission::Admit(const Wish& wish, const Request& request) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(wish.app, request));
  Admitted admitted;
  if (seen) {
    if (*seen == kUpToDate) return admitted;
    SLIPWAY_ASSIGN_OR_RETURN(admitted.deployment, store_.GetDeployment(wish.app, *seen));
    return admitted;
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, ReleaseFor(wish));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec spec,
                           store_.GetSpec(wish.app, release.spec_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(wish.app));
  const auto states = Inspect(spec);
  const bool everywhere =
      static_cast<int>(states.size()) == spec.hosts_size() &&
      std::all_of(states.begin(), states.end(), [&](const xpb::ApplicationState& state) {
        return state.active_release() == release.id;
      });
  if (everywhere && running.empty() && !wish.force) {
    SLIPWAY_RETURN_IF_ERROR(store_.RememberRequest(wish.app, request, kUpToDate));
    return admitted;
  }
  NewDeployment made;
  DeploymentRecord& record = made.deployment;
  record.create_time = clock_.WallNow();
  record.app = wish.app;
  record.id = DeploymentId(record.create_time, release.id);
  record.kind = wish.kind;
  record.release = release.id;
  record.commit = release.commit;
  record.description = release.description;
  record.actor = wish.actor;
  record.update_services = wish.update_services;
  record.hold_before_flip = wish.hold_before_flip;
  record.plan_version = kPlanVersion;
  for (const std::string& host : spec.hosts()) {
    record.rollouts.emplace_back().host = host;
  }
  // Above what any host has seen: a local rollback raises its host's epoch without asking us.
  for (const xpb::ApplicationState& state : states) {
    made.epoch_floor = std::max(made.epoch_floor, state.epoch());
    if (record.previous_release.empty()) record.previous_release = state.active_release();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const CreatedDeployment created, store_.CreateDeployment(made, request));
  for (const std::string& superseded : created.superseded) engine_.NeverRan(wish.app, superseded);
  if (!created.queued) {
    engine_.Start(wish.app, created.id);
  } else {
    // What it waits for may have ended meanwhile.
    SLIPWAY_RETURN_IF_ERROR(StartQueued(wish.app));
  }
  SLIPWAY_ASSIGN_OR_RETURN(admitted.deployment, store_.GetDeployment(wish.app, created.id));
  return admitted;
}

absl::Status Admission::StartQueued(const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  const auto waits =
      std::find_if(queued.begin(), queued.end(), [&](const auto& one) { return one.first == app; });
  if (waits == queued.end()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(app));
  if (!running.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, waits->second));
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, store_.GetRelease(app, record.release));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec spec,
                           store_.GetSpec(app, release.spec_revision));
  uint64_t floor = 0;
  for (const xpb::ApplicationState& state : Inspect(spec)) floor = std::max(floor, state.epoch());
  SLIPWAY_ASSIGN_OR_RETURN(const std::string id, store_.StartQueued(app, floor));
  if (!id.empty()) engine_.Start(app, id);
  return absl::OkStatus();
}

absl::Status Admission::StartAllQueued() {
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  for (const auto& [app, id] : queued) SLIPWAY_RETURN_IF_ERROR(StartQueued(app));
  return absl::OkStatus();
}

absl::StatusOr<DeploymentRecord> Admission::Cancel(const std::string& app, const std::string& id,
                                                   const Request& request, const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(app, request));
  if (seen) return store_.GetDeployment(app, *seen);
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, id));
  const bool queued = record.state == pb::DEPLOYMENT_STATE_QUEUED;
  std::string late = CancelTooLate(record);
  if (late.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool running,
                             store_.RequestCancel(app, record.id, request, actor));
    if (!running) late = "the deployment has ended";
  }
  if (!late.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "CANCEL_TOO_LATE",
                 absl::StrCat("it is too late to cancel: ", late),
                 absl::StrCat("`slipway rollback ", app, "` goes back to the previous release"),
                 DeploymentName(app, record.id));
  }
  SLIPWAY_ASSIGN_OR_RETURN(DeploymentRecord present, store_.GetDeployment(app, record.id));
  if (queued && IsTerminal(present.state)) {
    engine_.NeverRan(app, record.id);
  } else {
    engine_.Cancel(app, record.id);
  }
  return present;
}

absl::StatusOr<DeploymentRecord> Admission::Resume(const std::string& app, const std::string& id,
                                                   const Request& request, const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, id));
  SLIPWAY_RETURN_IF_ERROR(store_.RequestResume(app, record.id, request, actor));
  engine_.Release(app, record.id);
  return store_.GetDeployment(app, record.id);
}

}  // namespace slipway::controller
