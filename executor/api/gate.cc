#include "executor/api/gate.h"

#include "absl/strings/str_cat.h"

#include "common/access_policy.h"
#include "common/peer_certificate.h"
#include "common/status.h"

namespace slipway::executor {

absl::Status Gate::Admit(const grpc::ServerContextBase& context,
                         const google::protobuf::Message& request) const {
  const Rule* rule = RuleFor(*request.GetDescriptor());
  if (rule == nullptr) {
    return absl::InternalError(
        absl::StrCat("no policy for ", request.GetDescriptor()->full_name()));
  }
  if (side_ == Side::kSocket) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto certificate, PeerCertificate(context, clock_.WallNow()));
  if (!certificate) {
    return Error(absl::StatusCode::kUnauthenticated, "NO_IDENTITY",
                 "this call shows no certificate");
  }
  if (credentials_.IsRevoked(certificate->serial)) {
    return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REVOKED",
                 "the caller's certificate was revoked");
  }
  pb::Identity identity;
  identity.set_role(certificate->principal.role);
  identity.set_app(certificate->principal.app);
  return Allow(*rule, identity, "");
}

}  // namespace slipway::executor
