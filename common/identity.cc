#include "common/identity.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "common/names.h"
#include "common/status.h"

namespace slipway {
namespace {
constexpr char kTrustDomain[] = "spiffe://slipway/";

bool HasApp(pb::Role role) { return role == pb::ROLE_VIEWER || role == pb::ROLE_DEPLOYER; }
}  // namespace

bool IsSubjectName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         absl::ascii_isalnum(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::string_view("._@-").find(c) != absl::string_view::npos;
         });
}

std::string IdentityUri(const Principal& principal) {
  switch (principal.role) {
    case pb::ROLE_CONTROLLER:
      return absl::StrCat(kTrustDomain, "controller");
    case pb::ROLE_EXECUTOR:
      return absl::StrCat(kTrustDomain, "executor/", principal.subject);
    case pb::ROLE_OPERATOR:
      return absl::StrCat(kTrustDomain, "operator/", principal.subject);
    case pb::ROLE_DEPLOYER:
    case pb::ROLE_VIEWER:
      return absl::StrCat(kTrustDomain,
                          principal.role == pb::ROLE_DEPLOYER ? "deployer/" : "viewer/",
                          principal.app.empty() ? "-" : principal.app, "/", principal.subject);
    default:
      return "";
  }
}

absl::StatusOr<Principal> ParseIdentityUri(absl::string_view uri) {
  absl::string_view rest = uri;
  Principal principal;
  if (absl::ConsumePrefix(&rest, kTrustDomain)) {
    const std::vector<std::string> parts = absl::StrSplit(rest, '/');
    const std::string& role = parts[0];
    principal.role = role == "controller" ? pb::ROLE_CONTROLLER
                     : role == "executor" ? pb::ROLE_EXECUTOR
                     : role == "operator" ? pb::ROLE_OPERATOR
                     : role == "deployer" ? pb::ROLE_DEPLOYER
                     : role == "viewer"   ? pb::ROLE_VIEWER
                                          : pb::ROLE_UNSPECIFIED;
    const size_t expected = principal.role == pb::ROLE_CONTROLLER ? 1
                            : HasApp(principal.role)              ? 3
                                                                  : 2;
    if (principal.role != pb::ROLE_UNSPECIFIED && parts.size() == expected) {
      if (HasApp(principal.role) && parts[1] != "-") principal.app = parts[1];
      if (expected > 1) principal.subject = parts.back();
      const bool subject_fits =
          principal.role == pb::ROLE_CONTROLLER ||
          (principal.role == pb::ROLE_EXECUTOR ? IsHostName(principal.subject)
                                               : IsSubjectName(principal.subject));
      const bool app_fits =
          !HasApp(principal.role) || parts[1] == "-" || IsApplicationName(principal.app);
      if (subject_fits && app_fits) return principal;
    }
  }
  return Error(absl::StatusCode::kInvalidArgument, "BAD_IDENTITY",
               "the certificate's URI names no identity of Slipway");
}

}  // namespace slipway
