// Tokens: what CI shows with each call. A token's secret is 256 random bits; only their SHA-256 is stored.
//   slipway_ID_SECRET     ID 16 hexadecimal digits, SECRET 43 of base64url
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/clock.h"
#include "controller/store/store.h"

#include "slipway/v1/access.pb.h"

namespace slipway::controller {

struct TokenText {
  std::string id;
  std::string secret;
};
// Nothing unless it has the form of a token.
std::optional<TokenText> ParseToken(absl::string_view text);

// Safe from several threads.
class Tokens {
 public:
  Tokens(Store& store, Clock& clock) : store_(store), clock_(clock) {}

  struct Made {
    pb::Token token;
    std::string secret;
  };
  // `wished` has title, role, app, ref, origin, commit; name and times are chosen here. The same request id makes the same
  // token once more, with another secret.
  absl::StatusOr<Made> Create(pb::Token wished, std::chrono::seconds lifetime,
                              const std::string& request_id, const Actor& actor);
  // UNAUTHENTICATED (reason BAD_TOKEN): there is no such token, or there is none any more.
  absl::StatusOr<pb::Token> Authenticate(absl::string_view text);
  absl::StatusOr<std::vector<pb::Token>> List(const std::string& after, int limit);
  absl::Status Revoke(const std::string& id, const Actor& actor);

 private:
  Store& store_;
  Clock& clock_;
};

}  // namespace slipway::controller
