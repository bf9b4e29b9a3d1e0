#include "controller/catalog/applications.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/env_file.h"
#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {
constexpr size_t kMostBytes = 1 << 20;
}  // namespace

absl::StatusOr<pb::ApplicationSpec> Applications::Check(const pb::ApplicationSpec& spec,
                                                        const HostLabels& known_hosts) const {
  pb::ApplicationSpec full = spec;
  // With a single host there is nothing to choose.
  if (full.hosts().empty() && known_hosts.size() == 1) full.add_hosts(known_hosts.begin()->first);
  ApplyDefaults(full);
  SLIPWAY_RETURN_IF_ERROR(ValidateSpec(full));
  for (const std::string& host : full.hosts()) {
    if (IsHostSelector(host) || known_hosts.contains(host)) continue;
    return Error(
        absl::StatusCode::kInvalidArgument, "UNKNOWN_HOST",
        absl::StrCat("hosts: the controller knows no host '", host, "'"),
        "`slipway hosts list` shows those it knows; `slipway hosts add HOST --ssh USER@HOST` makes "
        "one known");
  }
  if (SelectHosts(full.hosts(), known_hosts).empty()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "NO_HOSTS",
        absl::StrCat("hosts: no host has such labels: ", absl::StrJoin(full.hosts(), "; ")),
        "`slipway hosts list --output json` shows the labels that there are");
  }
  return full;
}

absl::StatusOr<std::string> Applications::EnvironmentText(const std::string& app,
                                                          uint64_t revision) const {
  if (revision == 0) return "";
  SLIPWAY_ASSIGN_OR_RETURN(const EnvironmentRecord record, store_.GetEnvironment(app, revision));
  return box_.Unseal(app, revision, record.sealed);
}

absl::StatusOr<std::map<std::string, std::string>> Applications::Environment(
    const std::string& app, uint64_t revision) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, EnvironmentText(app, revision));
  return ParseEnvFile(text);
}

absl::StatusOr<ApplicationRecord> Applications::WithEnvironment(const std::string& app) const {
  SLIPWAY_ASSIGN_OR_RETURN(ApplicationRecord record, store_.GetApplication(app));
  if (!record.spec.has_site()) return record;
  return Error(
      absl::StatusCode::kFailedPrecondition, "NO_ENVIRONMENT",
      absl::StrCat(app, " is a site: its files are public, and nothing reads an environment"),
      "give the values to the job that builds the site", ApplicationName(app));
}

absl::StatusOr<EnvironmentChange> Applications::SetEnvironment(const std::string& app,
                                                               const std::string& text,
                                                               const Request& request,
                                                               const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, WithEnvironment(app));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string old,
                           EnvironmentText(app, record.environment_revision));
  return Put(app, record.environment_revision, old, text, request, actor);
}

absl::StatusOr<EnvironmentChange> Applications::SetVariables(
    const std::string& app, const std::map<std::string, std::string>& variables,
    const Request& request, const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, WithEnvironment(app));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string old,
                           EnvironmentText(app, record.environment_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, SetInEnvFile(old, variables));
  return Put(app, record.environment_revision, old, text, request, actor);
}

absl::StatusOr<bool> Applications::SetAllowances(const std::string& app,
                                                 const std::vector<std::string>& allowances,
                                                 const Actor& actor) {
  for (const std::string& allowance : allowances) {
    const std::vector<std::string> parts = absl::StrSplit(allowance, absl::MaxSplits(':', 2));
    if (parts.size() < 2 || (parts[0] != "*" && !IsServiceName(parts[0])) || parts[1].empty() ||
        allowance.size() > 1000) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_ALLOWANCE",
                   absl::StrCat("allowances: '", allowance, "' is none"),
                   "write it as the refusal names it: SERVICE:KEY or SERVICE:KEY:VALUE");
    }
  }
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_ASSIGN_OR_RETURN(const auto present, Allowances(app));
  if (present == allowances) return false;
  store::v1::AllowanceRecord record;
  record.mutable_allowances()->Add(allowances.begin(), allowances.end());
  SLIPWAY_RETURN_IF_ERROR(store_.PutRecord(
      {"allowance", app, record.SerializeAsString(), std::nullopt},
      HistoryDraft{app, actor, "allow", ApplicationName(app),
                   allowances.empty() ? "nothing" : absl::StrJoin(allowances, ", ")}));
  return true;
}

absl::StatusOr<std::vector<std::string>> Applications::Allowances(const std::string& app) const {
  const auto body = store_.GetRecord("allowance", app);
  if (absl::IsNotFound(body.status())) return std::vector<std::string>();
  if (!body.ok()) return body.status();
  store::v1::AllowanceRecord record;
  if (!record.ParseFromString(*body)) return absl::DataLossError("the stored allowances of " + app);
  return std::vector<std::string>(record.allowances().begin(), record.allowances().end());
}

absl::StatusOr<EnvironmentChange> Applications::Put(const std::string& app, uint64_t expected,
                                                    const std::string& old_text,
                                                    const std::string& text, const Request& request,
                                                    const Actor& actor) {
  if (text.size() > kMostBytes) {
    return Error(absl::StatusCode::kInvalidArgument, "ENVIRONMENT_TOO_LARGE",
                 absl::StrCat("the env file has ", text.size(), " bytes, at most ", kMostBytes,
                              " are allowed"));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto variables, ParseEnvFile(text));
  EnvironmentChange change;
  for (const auto& [name, value] : variables) change.names.push_back(name);
  change.revision = expected;
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(app, request));
  if (seen) {
    // The answer that was given the first time.
    if (!absl::SimpleAtoi(*seen, &change.revision)) return absl::InternalError("stored answer");
    return change;
  }
  if (expected != 0 && old_text == text) {
    SLIPWAY_RETURN_IF_ERROR(store_.RememberRequest(app, request, absl::StrCat(expected)));
    return change;
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      change.revision,
      store_.PutEnvironment(app, expected, box_.Seal(app, expected + 1, text), request, actor));
  change.changed = true;
  return change;
}

}  // namespace slipway::controller
