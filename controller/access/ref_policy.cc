#include "controller/access/ref_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"

namespace slipway::controller {
namespace {

bool MatchesAny(const google::protobuf::RepeatedPtrField<std::string>& patterns,
                const std::string& ref) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&ref](const std::string& pattern) { return MatchesRef(pattern, ref); });
}

}  // namespace

bool MatchesRef(absl::string_view pattern, absl::string_view ref) {
  // The last star and what it stands for so far: on a mismatch it takes one letter more.
  size_t p = 0;
  size_t r = 0;
  size_t star = absl::string_view::npos;
  size_t taken = 0;
  while (r < ref.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = r;
    } else if (p < pattern.size() && pattern[p] == ref[r]) {
      ++p;
      ++r;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      r = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

absl::Status CheckRef(const pb::PolicySpec& policy, const Caller& caller) {
  if (policy.deploy_from().empty() && policy.check_only().empty()) return absl::OkStatus();
  if (caller.override_policy) return absl::OkStatus();
  const bool is_operator = caller.identity.role() == pb::ROLE_OPERATOR;
  // What an operator's client says is a guard against mistakes; of others only what is verified counts.
  const std::string& ref = !caller.identity.ref().empty() ? caller.identity.ref()
                           : is_operator                  ? caller.claimed_ref
                                                          : caller.identity.ref();
  const std::string from = absl::StrJoin(policy.deploy_from(), ", ");
  if (ref.empty()) {
    return Error(
        absl::StatusCode::kPermissionDenied, "REF_NOT_KNOWN",
        absl::StrCat("the application is deployed from ", from.empty() ? "some refs only" : from,
                     ", and nothing ", is_operator ? "is known" : "verified is known", " of yours"),
        is_operator
            ? "deploy from a git branch, or say --override-policy, which the history records"
            : "authenticate with GitHub's OIDC, or with a token that was made for a ref");
  }
  if (MatchesAny(policy.check_only(), ref)) {
    return Error(absl::StatusCode::kPermissionDenied, "REF_CHECK_ONLY",
                 absl::StrCat(ref, " is only checked, never deployed (policy.check_only)"),
                 "`slipway plan` shows what it would change; merge it to deploy it");
  }
  if (!policy.deploy_from().empty() && !MatchesAny(policy.deploy_from(), ref)) {
    return Error(
        absl::StatusCode::kPermissionDenied, "REF_NOT_ALLOWED",
        absl::StrCat(ref, " is not among what is deployed: ", from, " (policy.deploy_from)"),
        "merge it there, or let an operator change the policy");
  }
  return absl::OkStatus();
}

}  // namespace slipway::controller
