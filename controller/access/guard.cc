#include "controller/access/guard.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/access_policy.h"
#include "common/durations.h"
#include "common/metadata_text.h"
#include "common/peer_certificate.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

// What a client says, made harmless for logs.
std::string Said(const grpc::ServerContextBase& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return DecodeMetadata({found->second.data(), found->second.size()});
}

std::string BearerOf(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return "";
  absl::string_view text(found->second.data(), found->second.size());
  // Another scheme, or a token beside a token, is nobody's; not the same as no token at all.
  if (!absl::ConsumePrefix(&text, "Bearer ") || metadata.count("authorization") != 1) return "?";
  return std::string(text);
}

Caller FromToken(const pb::Token& token) {
  Caller caller;
  pb::Identity& identity = caller.identity;
  identity.set_role(token.role());
  identity.set_app(token.app());
  identity.set_name(absl::StrCat("token:", token.title()));
  identity.set_origin(token.origin());
  identity.set_ref(token.ref());
  identity.set_commit(token.commit());
  *identity.mutable_expire_time() = token.expire_time();
  return caller;
}

Caller FromCertificate(const CertificateFacts& facts) {
  Caller caller;
  pb::Identity& identity = caller.identity;
  identity.set_role(facts.principal.role);
  identity.set_app(facts.principal.app);
  identity.set_name(absl::StrCat("certificate:", facts.principal.subject));
  *identity.mutable_expire_time() = ToProto(facts.not_after);
  return caller;
}

}  // namespace

absl::StatusOr<Caller> Guard::Authenticate(const grpc::ServerContextBase& context,
                                           std::string& kind) const {
  if (const std::string bearer = BearerOf(context); !bearer.empty()) {
    kind = "token";
    SLIPWAY_ASSIGN_OR_RETURN(const pb::Token token, tokens_.Authenticate(bearer));
    return FromToken(token);
  }
  kind = "certificate";
  SLIPWAY_ASSIGN_OR_RETURN(const auto certificate, PeerCertificate(context, clock_.WallNow()));
  if (certificate) {
    SLIPWAY_RETURN_IF_ERROR(certificates_.CheckNotRevoked(*certificate));
    return FromCertificate(*certificate);
  }
  kind = "none";
  if (openers_ == Openers::kOperators) {
    Caller caller;
    const std::string name = Said(context, "x-slipway-actor");
    caller.identity.set_role(pb::ROLE_OPERATOR);
    caller.identity.set_name(absl::StrCat("user:", user_));
    // Nothing proves it, and it could be spelt like a name that something proves.
    if (!name.empty() && name != user_) {
      absl::StrAppend(caller.identity.mutable_name(), ", says ", name);
    }
    caller.identity.set_origin("local socket");
    return caller;
  }
  return Error(absl::StatusCode::kUnauthenticated, "NO_IDENTITY",
               "this call shows neither a token nor a certificate",
               "set SLIPWAY_TOKEN, or name a certificate: `--certificate FILE --key FILE`");
}

void Guard::Refused(const std::string& kind, const absl::Status& refusal) const {
  if (refused_) refused_(kind, DetailOf(refusal).reason());
}

absl::StatusOr<Caller> Guard::Admit(const grpc::ServerContextBase& context,
                                    const google::protobuf::Message& request) const {
  const Rule* rule = RuleFor(*request.GetDescriptor());
  if (rule == nullptr) {
    return absl::InternalError(
        absl::StrCat("no policy for ", request.GetDescriptor()->full_name()));
  }
  std::string kind;
  absl::StatusOr<Caller> caller = Authenticate(context, kind);
  if (caller.ok() && known_peers_ != nullptr) known_peers_->Identified(context.peer());
  // Where an identity is not needed a wrong one does no harm, and a right one is for the history.
  if (!caller.ok() && rule->least == Least::kAnybody) caller = Caller();
  absl::Status allowed = caller.status();
  if (allowed.ok()) {
    allowed = Allow(*rule, caller->identity, AppOf(*rule, request));
    if (!allowed.ok()) kind = "policy";
  }
  if (!allowed.ok()) {
    Refused(kind, allowed);
    return allowed;
  }
  if (rule->answered_by == AnsweredBy::kLeader) SLIPWAY_RETURN_IF_ERROR(CheckLeads());
  caller->claimed_ref = Said(context, "x-slipway-ref");
  caller->override_policy = caller->identity.role() == pb::ROLE_OPERATOR &&
                            Said(context, "x-slipway-override-policy") == "yes";
  caller->actor.name = caller->identity.name();
  caller->actor.origin = caller->identity.origin();
  const std::string claim = Said(context, "x-slipway-origin");
  // A workflow that is known by its token needs not say again where it runs.
  if (!claim.empty() && !absl::StartsWith(caller->actor.origin, "github:")) {
    absl::StrAppend(&caller->actor.origin, caller->actor.origin.empty() ? "" : ", ", "says ",
                    claim);
  }
  if (caller->override_policy) absl::StrAppend(&caller->actor.origin, ", policy overridden");
  return caller;
}

}  // namespace slipway::controller
