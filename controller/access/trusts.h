// Which GitHub workflows are given tokens, and the exchange itself.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/access/oidc.h"
#include "controller/access/tokens.h"
#include "controller/store/store.h"

#include "slipway/v1/access.pb.h"

namespace slipway::controller {

// Safe from several threads.
class Trusts {
 public:
  // Without a verifier nothing can be exchanged.
  Trusts(Store& store, Tokens& tokens, std::unique_ptr<OidcVerifier> verifier, Clock& clock)
      : store_(store), tokens_(tokens), verifier_(std::move(verifier)), clock_(clock) {}

  // INVALID_ARGUMENT unless it names a role below operator, an application, a repository and a ref.
  absl::StatusOr<pb::Trust> Create(pb::Trust wished, const std::string& request_id,
                                   const Actor& actor);
  absl::StatusOr<std::vector<pb::Trust>> List(const std::string& after, int limit);
  absl::Status Delete(const std::string& id, const Actor& actor);

  // A token for the workflow, if some trust of the application covers it. UNAUTHENTICATED as OidcVerifier says, or with reason
  // TOKEN_REPLAYED when it was exchanged before (by another request); PERMISSION_DENIED (reason NOT_TRUSTED);
  // FAILED_PRECONDITION (reason NO_AUDIENCE) when no audience is configured.
  absl::StatusOr<Tokens::Made> Exchange(const std::string& github_token, const std::string& app,
                                        const std::string& request_id);

 private:
  absl::StatusOr<pb::Trust> Find(const WorkflowClaims& claims, const std::string& app);
  absl::Status UseOnce(const WorkflowClaims& claims, const std::string& request_id);

  Store& store_;
  Tokens& tokens_;
  const std::unique_ptr<OidcVerifier> verifier_;
  Clock& clock_;
};

}  // namespace slipway::controller
