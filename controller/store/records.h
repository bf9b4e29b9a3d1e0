// What the controller remembers, as plain values. The rollout decider works on these very structs: what is stored is what is
// decided on, without a translation between them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/deployments.pb.h"
#include "slipway/v1/evidence.pb.h"

namespace slipway::controller {

using Time = std::chrono::system_clock::time_point;

inline bool IsTerminal(pb::DeploymentState state) {
  switch (state) {
    case pb::DEPLOYMENT_STATE_SUCCEEDED:
    case pb::DEPLOYMENT_STATE_FAILED:
    case pb::DEPLOYMENT_STATE_ROLLED_BACK:
    case pb::DEPLOYMENT_STATE_CANCELLED:
    case pb::DEPLOYMENT_STATE_NEEDS_ATTENTION:
    case pb::DEPLOYMENT_STATE_PARTIAL:
    case pb::DEPLOYMENT_STATE_SUPERSEDED:
      return true;
    default:
      return false;
  }
}

// Who did something, and where from: what is known of it for certain, and what was only said.
struct Actor {
  Actor() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a name alone is an actor.
  Actor(std::string who, std::string where = "") : name(std::move(who)), origin(std::move(where)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Actor(const char* who) : name(who) {}

  std::string name;
  std::string origin;

  bool operator==(const Actor&) const = default;
};

struct ApplicationRecord {
  std::string app;
  pb::ApplicationSpec spec;
  uint64_t spec_revision = 0;
  // 0: no environment was ever set.
  uint64_t environment_revision = 0;
  Time create_time;
  Time update_time;
};

struct EnvironmentRecord {
  uint64_t revision = 0;
  // As SecretBox sealed it; never the text.
  std::string sealed;
  Time create_time;
};

struct ReleaseRecord {
  std::string app;
  std::string id;
  // SHA-256, 32 bytes.
  std::string manifest_digest;
  uint64_t spec_revision = 0;
  uint64_t environment_revision = 0;
  std::string commit;
  std::optional<Time> commit_time;
  std::string description;
  Time create_time;
  uint32_t files = 0;
  uint64_t bytes = 0;
};

struct StepRecord {
  std::string name;
  pb::StepState state = pb::STEP_STATE_PLANNED;
  uint32_t attempt = 0;
  pb::FailureReason reason = pb::FAILURE_REASON_UNSPECIFIED;
  std::string summary;
  std::optional<Time> start_time;
  std::chrono::nanoseconds duration{0};
  pb::Evidence evidence;
};

// One host's part in a deployment. Steps stand in the order in which they came into being.
struct RolloutRecord {
  std::string host;
  pb::DeploymentState state = pb::DEPLOYMENT_STATE_PENDING;
  // The slot of the new release; known after the preflight.
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  std::vector<StepRecord> steps;
};

// A host of the application that a deployment goes on without.
struct LeftOut {
  std::string host;
  pb::LeftOutReason reason = pb::LEFT_OUT_REASON_UNSPECIFIED;

  bool operator==(const LeftOut&) const = default;
};

// A deployment as a whole, without what it is on each host.
struct DeploymentHead {
  std::string app;
  std::string id;
  pb::DeploymentKind kind = pb::DEPLOYMENT_KIND_DEPLOY;
  pb::DeploymentState state = pb::DEPLOYMENT_STATE_PENDING;
  pb::FailureReason reason = pb::FAILURE_REASON_UNSPECIFIED;
  std::string message;
  // Ids.
  std::string release;
  std::string previous_release;
  std::string commit;
  Actor actor;
  std::string description;
  // Shared services to be replaced when their definition has changed.
  std::vector<std::string> update_services;
  uint64_t epoch = 0;
  // Which edition of the step list it began with; a newer controller resumes it with the same one.
  uint32_t plan_version = 0;
  Time create_time;
  std::optional<Time> end_time;
  bool cancel_requested = false;
  uint64_t last_event = 0;
  // It ended with this release observed on every host that it had not left behind.
  bool serves = false;
  // A person must let it go on before the first switch; and has done so.
  bool hold_before_flip = false;
  bool released = false;
  // As many hosts had failed when a person let it go on: no more than these are taken in silence.
  uint32_t tolerated_failures = 0;
  bool resume_requested = false;
  // So many of its hosts, the first ones, are canaries.
  uint32_t canaries = 0;
  std::vector<LeftOut> left_out;
  // Its client is to stay, see Attendance.
  bool cancel_when_abandoned = false;
};

struct DeploymentRecord : DeploymentHead {
  std::vector<RolloutRecord> rollouts;
};

// The id that a deployment gets unless another has it: its day and the release, as 20261122-3f2c1a.
inline std::string DeploymentId(Time created, const std::string& release) {
  return absl::StrCat(absl::FormatTime("%Y%m%d-", absl::FromChrono(created), absl::UTCTimeZone()),
                      release.substr(0, 6));
}

// Records that there is one of: the newest backup, and the last restore.
inline constexpr char kBackupKind[] = "backup";
inline constexpr char kRestoreKind[] = "restore";
inline constexpr char kNewestId[] = "newest";

struct HistoryRecord {
  uint64_t sequence = 0;
  Time time;
  // Empty for what concerns no application.
  std::string app;
  std::string actor;
  std::string action;
  std::string subject;
  std::string outcome;
  // 32 bytes.
  std::string hash;
  // Of the actor; empty in rows from before there was one.
  std::string origin;
};

}  // namespace slipway::controller
