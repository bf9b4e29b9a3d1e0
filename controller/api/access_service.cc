#include "controller/api/access_service.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/names.h"
#include "common/peer_certificate.h"
#include "common/status.h"
#include "controller/api/edge.h"

namespace slipway::controller {
namespace {

constexpr std::chrono::hours kTokenLife{24 * 90};
constexpr std::chrono::hours kLongestTokenLife{24 * 366};

// tokens/ID without its first part.
absl::StatusOr<std::string> IdIn(absl::string_view collection, absl::string_view name) {
  if (absl::ConsumePrefix(&name, collection) && !name.empty() &&
      name.find('/') == absl::string_view::npos) {
    return std::string(name);
  }
  return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
               absl::StrCat("name: is not ", collection, "ID"));
}

absl::Status CheckScope(pb::Role role, const std::string& app) {
  if (role != pb::ROLE_VIEWER && role != pb::ROLE_DEPLOYER && role != pb::ROLE_OPERATOR) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ROLE",
                 "role: viewer, deployer or operator");
  }
  if (!app.empty() && !IsApplicationName(app)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_APPLICATION",
                 "app: is no application's name");
  }
  if (role == pb::ROLE_OPERATOR && !app.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ROLE",
                 "app: an operator is one of every application");
  }
  return absl::OkStatus();
}

// What every List call has: a size, and the last id of the page before.
template <typename Source, typename Id, typename Response, typename Add>
absl::Status Page(int asked, const std::string& after, Response& response, Source source, Id id,
                  Add add) {
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(asked));
  SLIPWAY_ASSIGN_OR_RETURN(const auto all, source(after, size));
  for (const auto& one : all) add(one);
  if (static_cast<int>(all.size()) == size) {
    const std::string name = id(all.back());
    response.set_next_page_token(name.substr(name.rfind('/') + 1));
  }
  return absl::OkStatus();
}

constexpr auto kNameOf = [](const auto& one) { return one.name(); };

}  // namespace

absl::Status AccessService::MakeToken(const Caller& caller, const pb::CreateTokenRequest& request,
                                      pb::CreateTokenResponse& response) {
  SLIPWAY_RETURN_IF_ERROR(CheckScope(request.role(), request.app()));
  if (!IsSubjectName(request.title())) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TITLE",
                 "title: letters, digits and any of . _ @ -, at most 63");
  }
  const std::chrono::nanoseconds lifetime =
      request.has_lifetime() ? FromProto(request.lifetime()) : std::chrono::nanoseconds(kTokenLife);
  if (lifetime < std::chrono::seconds(1) || lifetime > kLongestTokenLife) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_LIFETIME",
                 "lifetime: from one second to a year");
  }
  pb::Token wished;
  wished.set_title(request.title());
  wished.set_role(request.role());
  wished.set_app(request.app());
  wished.set_ref(request.ref());
  SLIPWAY_ASSIGN_OR_RETURN(
      Tokens::Made made,
      tokens_.Create(std::move(wished), std::chrono::duration_cast<std::chrono::seconds>(lifetime),
                     request.request_id(), caller.actor));
  *response.mutable_token() = std::move(made.token);
  response.set_secret(std::move(made.secret));
  return absl::OkStatus();
}

absl::Status AccessService::Exchange(const pb::ExchangeTokenRequest& request,
                                     pb::ExchangeTokenResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.application()));
  SLIPWAY_ASSIGN_OR_RETURN(Tokens::Made made,
                           trusts_.Exchange(request.github_token(), app, request.request_id()));
  *response.mutable_token() = std::move(made.token);
  response.set_secret(std::move(made.secret));
  return absl::OkStatus();
}

absl::Status AccessService::Issue(const Caller& caller, const pb::IssueCertificateRequest& request,
                                  pb::IssueCertificateResponse& response) {
  SLIPWAY_RETURN_IF_ERROR(CheckScope(request.role(), request.app()));
  if (!IsSubjectName(request.subject())) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_SUBJECT",
                 "subject: letters, digits and any of . _ @ -, at most 63");
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      Certificates::Issued issued,
      certificates_.Issue(request.certificate_request(),
                          {request.role(), request.app(), request.subject()}, caller.actor));
  *response.mutable_certificate() = std::move(issued.certificate);
  response.set_certificate_pem(std::move(issued.pem));
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_authority_pem(), certificates_.AuthorityPem());
  return absl::OkStatus();
}

absl::Status AccessService::Renew(const grpc::ServerContextBase& context, const Caller& caller,
                                  const pb::RenewCertificateRequest& request,
                                  pb::RenewCertificateResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto present,
                           PeerCertificate(context, std::chrono::system_clock::now()));
  if (!present) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_CERTIFICATE",
                 "this call did not come with a certificate that could be renewed");
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      Certificates::Issued issued,
      certificates_.Renew(request.certificate_request(), *present, caller.actor));
  *response.mutable_certificate() = std::move(issued.certificate);
  response.set_certificate_pem(std::move(issued.pem));
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_authority_pem(), certificates_.AuthorityPem());
  return absl::OkStatus();
}

grpc::Status AccessService::GetIdentity(grpc::ServerContext* context,
                                        const pb::GetIdentityRequest* request,
                                        pb::GetIdentityResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) {
    *response->mutable_identity() = caller.identity;
    return absl::OkStatus();
  });
}
grpc::Status AccessService::CreateToken(grpc::ServerContext* context,
                                        const pb::CreateTokenRequest* request,
                                        pb::CreateTokenResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return MakeToken(caller, *request, *response); });
}
grpc::Status AccessService::ListTokens(grpc::ServerContext* context,
                                       const pb::ListTokensRequest* request,
                                       pb::ListTokensResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) {
    return Page(
        request->page_size(), request->page_token(), *response,
        [&](const auto& after, int size) { return tokens_.List(after, size); }, kNameOf,
        [&](const auto& one) { *response->add_tokens() = one; });
  });
}
grpc::Status AccessService::RevokeToken(grpc::ServerContext* context,
                                        const pb::RevokeTokenRequest* request,
                                        pb::RevokeTokenResponse*) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string id, IdIn("tokens/", request->name()));
    return tokens_.Revoke(id, caller.actor);
  });
}
grpc::Status AccessService::ExchangeToken(grpc::ServerContext* context,
                                          const pb::ExchangeTokenRequest* request,
                                          pb::ExchangeTokenResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) -> absl::Status {
    const absl::Status done = Exchange(*request, *response);
    if (!done.ok()) guard_.Refused("oidc", done);
    return done;
  });
}
grpc::Status AccessService::CreateTrust(grpc::ServerContext* context,
                                        const pb::CreateTrustRequest* request,
                                        pb::CreateTrustResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(*response->mutable_trust(),
                             trusts_.Create(request->trust(), request->request_id(), caller.actor));
    return absl::OkStatus();
  });
}
grpc::Status AccessService::ListTrusts(grpc::ServerContext* context,
                                       const pb::ListTrustsRequest* request,
                                       pb::ListTrustsResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) {
    return Page(
        request->page_size(), request->page_token(), *response,
        [&](const auto& after, int size) { return trusts_.List(after, size); }, kNameOf,
        [&](const auto& one) { *response->add_trusts() = one; });
  });
}
grpc::Status AccessService::DeleteTrust(grpc::ServerContext* context,
                                        const pb::DeleteTrustRequest* request,
                                        pb::DeleteTrustResponse*) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string id, IdIn("trusts/", request->name()));
    return trusts_.Delete(id, caller.actor);
  });
}
grpc::Status AccessService::IssueCertificate(grpc::ServerContext* context,
                                             const pb::IssueCertificateRequest* request,
                                             pb::IssueCertificateResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Issue(caller, *request, *response); });
}
grpc::Status AccessService::RenewCertificate(grpc::ServerContext* context,
                                             const pb::RenewCertificateRequest* request,
                                             pb::RenewCertificateResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Renew(*context, caller, *request, *response); });
}
grpc::Status AccessService::ListCertificates(grpc::ServerContext* context,
                                             const pb::ListCertificatesRequest* request,
                                             pb::ListCertificatesResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) {
    return Page(
        request->page_size(), request->page_token(), *response,
        [&](const auto& after, int size) { return certificates_.List(after, size); }, kNameOf,
        [&](const auto& one) { *response->add_certificates() = one; });
  });
}
grpc::Status AccessService::RevokeCertificate(grpc::ServerContext* context,
                                              const pb::RevokeCertificateRequest* request,
                                              pb::RevokeCertificateResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string serial, IdIn("certificates/", request->name()));
    SLIPWAY_ASSIGN_OR_RETURN(const auto revoked, certificates_.Revoke(serial, caller.actor));
    for (const pb::Certificate& one : revoked) {
      response->add_names(one.name());
    }
    upkeep_.Look();
    return absl::OkStatus();
  });
}

}  // namespace slipway::controller
