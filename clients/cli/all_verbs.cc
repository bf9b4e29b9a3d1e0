#include <cstdlib>

#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"
#include "clients/transport/dial.h"
#include "common/status.h"

namespace slipway::cli {

const std::vector<Verb>& AllVerbs() {
  static const auto* const verbs = new std::vector<Verb>{
      InitVerb(),    ApplyVerb(),  PlanVerb(),    DeployVerb(),    WatchVerb(),  StatusVerb(),
      HistoryVerb(), WhyVerb(),    LogsVerb(),    RollbackVerb(),  CancelVerb(), EnvVerb(),
      HostsVerb(),   DoctorVerb(), VersionVerb(), CompletionVerb()};
  return *verbs;
}

absl::StatusOr<client::ControllerClient*> Session::Controller() {
  if (client_ == nullptr) {
    SLIPWAY_ASSIGN_OR_RETURN(auto channel, Dial(controller));
    const char* actor = std::getenv("GITHUB_ACTOR");
    client_ = std::make_unique<client::ControllerClient>(std::move(channel),
                                                         actor == nullptr ? "" : actor);
  }
  return client_.get();
}

int Fail(const Session& session, const absl::Status& status) {
  const pb::ErrorDetail detail = DetailOf(status);
  session.output.Error(absl::StrCat("slipway: ", std::string(status.message())));
  std::string cure = detail.cure();
  if (cure.empty() && absl::IsUnavailable(status)) {
    cure = absl::StrCat("is the controller running, and may you open ", session.controller, "?");
  }
  if (!cure.empty()) session.output.Error(absl::StrCat("  what to do: ", cure));
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
      return kExitRefused;
    default:
      return kExitError;
  }
}

}  // namespace slipway::cli
