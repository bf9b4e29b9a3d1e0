// slipway.v1.AccessService.
#pragma once

#include "controller/access/certificates.h"
#include "controller/access/guard.h"
#include "controller/access/tokens.h"
#include "controller/access/trusts.h"
#include "controller/access/upkeep.h"

#include "slipway/v1/access.grpc.pb.h"

namespace slipway::controller {

class AccessService : public pb::AccessService::Service {
 public:
  AccessService(const Guard& guard, Tokens& tokens, Trusts& trusts, Certificates& certificates,
                Upkeep& upkeep)
      : guard_(guard),
        tokens_(tokens),
        trusts_(trusts),
        certificates_(certificates),
        upkeep_(upkeep) {}

  grpc::Status GetIdentity(grpc::ServerContext* context, const pb::GetIdentityRequest* request,
                           pb::GetIdentityResponse* response) override;
  grpc::Status CreateToken(grpc::ServerContext* context, const pb::CreateTokenRequest* request,
                           pb::CreateTokenResponse* response) override;
  grpc::Status ListTokens(grpc::ServerContext* context, const pb::ListTokensRequest* request,
                          pb::ListTokensResponse* response) override;
  grpc::Status RevokeToken(grpc::ServerContext* context, const pb::RevokeTokenRequest* request,
                           pb::RevokeTokenResponse* response) override;
  grpc::Status ExchangeToken(grpc::ServerContext* context, const pb::ExchangeTokenRequest* request,
                             pb::ExchangeTokenResponse* response) override;
  grpc::Status CreateTrust(grpc::ServerContext* context, const pb::CreateTrustRequest* request,
                           pb::CreateTrustResponse* response) override;
  grpc::Status ListTrusts(grpc::ServerContext* context, const pb::ListTrustsRequest* request,
                          pb::ListTrustsResponse* response) override;
  grpc::Status DeleteTrust(grpc::ServerContext* context, const pb::DeleteTrustRequest* request,
                           pb::DeleteTrustResponse* response) override;
  grpc::Status IssueCertificate(grpc::ServerContext* context,
                                const pb::IssueCertificateRequest* request,
                                pb::IssueCertificateResponse* response) override;
  grpc::Status RenewCertificate(grpc::ServerContext* context,
                                const pb::RenewCertificateRequest* request,
                                pb::RenewCertificateResponse* response) override;
  grpc::Status ListCertificates(grpc::ServerContext* context,
                                const pb::ListCertificatesRequest* request,
                                pb::ListCertificatesResponse* response) override;
  grpc::Status RevokeCertificate(grpc::ServerContext* context,
                                 const pb::RevokeCertificateRequest* request,
                                 pb::RevokeCertificateResponse* response) override;

 private:
  absl::Status MakeToken(const Caller& caller, const pb::CreateTokenRequest& request,
                         pb::CreateTokenResponse& response);
  absl::Status Exchange(const pb::ExchangeTokenRequest& request,
                        pb::ExchangeTokenResponse& response);
  absl::Status Issue(const Caller& caller, const pb::IssueCertificateRequest& request,
                     pb::IssueCertificateResponse& response);
  absl::Status Renew(const grpc::ServerContextBase& context, const Caller& caller,
                     const pb::RenewCertificateRequest& request,
                     pb::RenewCertificateResponse& response);

  const Guard& guard_;
  Tokens& tokens_;
  Trusts& trusts_;
  Certificates& certificates_;
  Upkeep& upkeep_;
};

}  // namespace slipway::controller
