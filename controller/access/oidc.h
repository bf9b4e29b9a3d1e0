// GitHub's OIDC tokens: which workflow run asks, as GitHub signed it. Nothing but RS256 is taken, whatever a token's header says.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/clock.h"
#include "common/mutex.h"

namespace slipway::controller {

struct WorkflowClaims {
  uint64_t repository_id = 0;
  // OWNER/NAME, for people: a name can change hands.
  std::string repository;
  std::string ref;
  std::string environment;
  std::string commit;
  std::string event;
  std::string actor;
  std::string run_id;
  std::string run_attempt;
  // Of this token, for ever.
  std::string id;
  std::chrono::system_clock::time_point expire_time;
};

// A JWT taken apart; nothing in it is verified.
struct Jwt {
  std::string algorithm;
  std::string key_id;
  // JSON.
  std::string payload;
  std::string signed_text;
  std::string signature;
};
// INVALID_ARGUMENT unless it has three parts of base64url, two of them JSON objects without a duplicate of what matters.
absl::StatusOr<Jwt> ParseJwt(absl::string_view text);

// RSA public keys by id.
class KeySet {
 public:
  // Of a JWKS document; keys of other kinds and short ones are left out. INVALID_ARGUMENT when it is none.
  static absl::StatusOr<KeySet> Parse(const std::string& jwks);
  KeySet() = default;
  // UNAUTHENTICATED (reason UNKNOWN_KEY, BAD_SIGNATURE).
  absl::Status Verify(const Jwt& token) const;
  bool Has(const std::string& key_id) const { return keys_.contains(key_id); }

 private:
  // DER.
  std::map<std::string, std::string> keys_;
};

// Safe from several threads.
class OidcVerifier {
 public:
  // Answers the provider's JWKS document.
  using Fetch = std::function<absl::StatusOr<std::string>()>;

  OidcVerifier(std::string issuer, std::string audience, Fetch fetch, Clock& clock)
      : issuer_(std::move(issuer)),
        audience_(std::move(audience)),
        fetch_(std::move(fetch)),
        clock_(clock) {}

  // UNAUTHENTICATED with reason BAD_JWT, BAD_ALGORITHM, UNKNOWN_KEY, BAD_SIGNATURE, WRONG_ISSUER, WRONG_AUDIENCE, TOKEN_EXPIRED,
  // BAD_CLAIMS or UNTRUSTED_EVENT; UNAVAILABLE when the keys cannot be had. Keys are kept, and asked for again when a token names
  // one that is not known, once a minute at most.
  absl::StatusOr<WorkflowClaims> Verify(absl::string_view token);

 private:
  bool MayFetch(const std::string& key_id);
  absl::Status CheckSignature(const Jwt& token);

  const std::string issuer_;
  const std::string audience_;
  const Fetch fetch_;
  Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  bool fetching_ SLIPWAY_GUARDED_BY(mutex_) = false;
  KeySet keys_ SLIPWAY_GUARDED_BY(mutex_);
  std::optional<Clock::Monotonic> fetched_ SLIPWAY_GUARDED_BY(mutex_);
};

// GET of ISSUER/.well-known/jwks over HTTPS with the system's authorities; of a loopback issuer also over HTTP.
OidcVerifier::Fetch FetchFrom(const std::string& issuer);

}  // namespace slipway::controller
