#include "controller/catalog/checks.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/durations.h"
#include "common/names.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "check";
// A commit that is not deployed by then is tested again.
constexpr std::chrono::hours kKept{24 * 90};
constexpr int kMost = 1000;

// None of the parts has a slash in it.
std::string Prefix(const std::string& app, const std::string& commit) {
  return absl::StrCat(app, "/", commit, "/");
}

}  // namespace

absl::StatusOr<pb::Check> Checks::Report(const std::string& app, pb::Check check,
                                         const Actor& actor) {
  if (check.commit().empty() || !IsCommitName(check.commit())) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_COMMIT", "check.commit: is no commit");
  }
  if (!IsServiceName(check.check())) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_CHECK",
                 "check.check: is no name: letters, digits, dots, dashes");
  }
  if (check.details().size() > 1000) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_CHECK",
                 "check.details: has more than 1000 bytes");
  }
  const Time now = clock_.WallNow();
  check.set_reporter(actor.name);
  *check.mutable_report_time() = ToProto(now);
  store::v1::CheckRecord record;
  *record.mutable_check() = check;
  SLIPWAY_RETURN_IF_ERROR(store_.PutRecord(
      {kKind, absl::StrCat(Prefix(app, check.commit()), check.check()), record.SerializeAsString(),
       now + kKept},
      HistoryDraft{app, actor, absl::StrCat("check ", check.check()),
                   absl::StrCat("commit ", check.commit()), check.passed() ? "passed" : "failed"}));
  return check;
}

absl::StatusOr<std::vector<pb::Check>> Checks::List(const std::string& app,
                                                    const std::string& commit) {
  std::vector<pb::Check> checks;
  if (!IsCommitName(commit)) return checks;
  const std::string prefix = Prefix(app, commit);
  SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListRecords(kKind, prefix, kMost));
  for (const auto& [id, body] : records) {
    if (!absl::StartsWith(id, prefix)) break;
    store::v1::CheckRecord record;
    if (record.ParseFromString(body)) checks.push_back(record.check());
  }
  return checks;
}

absl::Status Checks::RequirePassed(const pb::PolicySpec& policy, const std::string& app,
                                   const std::string& commit) {
  if (policy.required_checks().empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto checks, List(app, commit));
  std::vector<std::string> missing;
  for (const std::string& name : policy.required_checks()) {
    std::string state = " was not reported";
    for (const pb::Check& check : checks) {
      if (check.check() == name) state = check.passed() ? "" : " failed";
    }
    if (!state.empty()) missing.push_back(name + state);
  }
  if (missing.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "CHECKS_MISSING",
               absl::StrCat("commit ", commit.empty() ? "(none)" : commit, " of ", app,
                            " may not be deployed: ", absl::StrJoin(missing, ", ")),
               "let its checks run and report them: `slipway check report NAME --passed`");
}

}  // namespace slipway::controller
