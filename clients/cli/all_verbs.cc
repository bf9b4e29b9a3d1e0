#include "absl/strings/str_cat.h"

#include "clients/cli/github.h"
#include "clients/cli/verb.h"
#include "common/status.h"

namespace slipway::cli {

const std::vector<Verb>& AllVerbs() {
  static const auto* const verbs = new std::vector<Verb>{
      InitVerb(),   ApplyVerb(),     PlanVerb(),        DeployVerb(), WatchVerb(), StatusVerb(),
      DriftVerb(),  ReconcileVerb(), HistoryVerb(),     WhyVerb(),    LogsVerb(),  RollbackVerb(),
      CancelVerb(), ResumeVerb(),    AbortVerb(),       EnvVerb(),    HostsVerb(), CheckVerb(),
      TokenVerb(),  TrustVerb(),     CertificateVerb(), AllowVerb(),  AuditVerb(), WhoamiVerb(),
      DoctorVerb(), VersionVerb(),   CompletionVerb()};
  return *verbs;
}

int Fail(const Session& session, const absl::Status& failed) {
  // What the connection goes through knows better than gRPC, which saw a socket close.
  const absl::Status problem = session.Problem();
  const absl::Status& status = absl::IsUnavailable(failed) && !problem.ok() ? problem : failed;
  const pb::ErrorDetail detail = DetailOf(status);
  std::string cure = detail.cure();
  if (cure.empty() && absl::IsUnavailable(status)) {
    cure = absl::StrCat("is the controller running, and may you open ", session.ControllerAddress(),
                        "?");
  }
  const std::string what(status.message());
  const std::string advice = cure.empty() ? "" : absl::StrCat("what to do: ", cure);
  if (session.output.github) {
    session.output.Error(
        ErrorAnnotation("slipway", absl::StrCat(what, advice.empty() ? "" : "\n", advice)));
    TellJobOfError(what, cure);
  } else {
    session.output.Error(absl::StrCat("slipway: ", what));
    if (!advice.empty()) session.output.Error(absl::StrCat("  ", advice));
  }
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
    case absl::StatusCode::kUnauthenticated:
      return kExitRefused;
    default:
      return kExitError;
  }
}

}  // namespace slipway::cli
