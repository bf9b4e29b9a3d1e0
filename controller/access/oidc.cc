#include "controller/access/oidc.h"

#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <nlohmann/json.hpp>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "common/openssl_handle.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

using nlohmann::json;

constexpr size_t kLongestToken = 16 << 10;
constexpr size_t kLeastModulus = 256;
constexpr std::chrono::seconds kLeeway{60};
constexpr std::chrono::minutes kFetchAtMost{1};

absl::Status Refused(absl::string_view reason, absl::string_view message,
                     absl::string_view cure = "") {
  return Error(absl::StatusCode::kUnauthenticated, reason, message, cure);
}

// Strict base64url without padding; absl's takes padding and the other alphabet too.
bool Decode(absl::string_view text, std::string& bytes) {
  return text.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
             absl::string_view::npos &&
         absl::WebSafeBase64Unescape(text, &bytes);
}

// Of a JSON object; a key that comes twice means different things to different readers, so it means nothing here.
absl::StatusOr<json> ParseObject(const std::string& text) {
  std::vector<std::set<std::string>> keys;
  bool twice = false;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      twice = twice || !keys.back().insert(parsed.get<std::string>()).second;
    }
    return true;
  };
  json parsed = json::parse(text, watch, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || !parsed.is_object() || twice) {
    return Refused("BAD_JWT", "the OIDC token is no JWT");
  }
  return parsed;
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<std::chrono::system_clock::time_point> TimeOf(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  const auto seconds = found->get<int64_t>();
  if (seconds < 0 || seconds > 32503680000) return std::nullopt;
  return std::chrono::system_clock::from_time_t(seconds);
}

bool IsFor(const json& payload, const std::string& audience) {
  const auto found = payload.find("aud");
  // One audience, as GitHub writes it: a token for several is not for us alone.
  return found != payload.end() && found->is_string() && found->get<std::string>() == audience;
}

using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

// The key's DER form; empty when the numbers are no strong RSA key.
std::string RsaKey(const std::string& modulus, const std::string& exponent) {
  if (modulus.size() < kLeastModulus || exponent.empty() || exponent.size() > 8) return "";
  const auto number = [](const std::string& bytes) {
    return Number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                            static_cast<int>(bytes.size()), nullptr));
  };
  const Number n = number(modulus);
  const Number e = number(exponent);
  const std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  const std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>> params(
      OSSL_PARAM_BLD_to_param(builder.get()));
  const std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* raw = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return "";
  }
  const Key key(raw);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

absl::StatusOr<Jwt> ParseJwt(absl::string_view text) {
  const auto bad = [] { return Refused("BAD_JWT", "the OIDC token is no JWT"); };
  if (text.size() > kLongestToken) return bad();
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 3) return bad();
  Jwt token;
  std::string header_text;
  if (!Decode(parts[0], header_text) || !Decode(parts[1], token.payload) ||
      !Decode(parts[2], token.signature) || token.signature.empty()) {
    return bad();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const json header, ParseObject(header_text));
  SLIPWAY_RETURN_IF_ERROR(ParseObject(token.payload).status());
  token.algorithm = Text(header, "alg");
  token.key_id = Text(header, "kid");
  token.signed_text = absl::StrCat(parts[0], ".", parts[1]);
  return token;
}

absl::StatusOr<KeySet> KeySet::Parse(const std::string& jwks) {
  const auto document = ParseObject(jwks);
  const auto keys = document.ok() ? document->find("keys") : json::const_iterator();
  if (!document.ok() || keys == document->end() || !keys->is_array()) {
    return absl::InvalidArgumentError("this is no JWKS document: an object with a list of `keys`");
  }
  KeySet set;
  for (const json& key : *keys) {
    std::string modulus;
    std::string exponent;
    const std::string use = key.is_object() ? Text(key, "use") : "";
    const std::string algorithm = key.is_object() ? Text(key, "alg") : "";
    const bool fits = key.is_object() && Text(key, "kty") == "RSA" &&
                      (use.empty() || use == "sig") &&
                      (algorithm.empty() || algorithm == "RS256") && !Text(key, "kid").empty() &&
                      Decode(Text(key, "n"), modulus) && Decode(Text(key, "e"), exponent);
    const std::string der = fits ? RsaKey(modulus, exponent) : "";
    if (!der.empty()) set.keys_[Text(key, "kid")] = der;
  }
  return set;
}

absl::Status KeySet::Verify(const Jwt& token) const {
  // Pinned here: `none` has no signature to check, and HS256 would take the public key for a password.
  if (token.algorithm != "RS256") {
    return Refused("BAD_ALGORITHM", "the OIDC token is not signed with RS256");
  }
  const auto found = keys_.find(token.key_id);
  if (found == keys_.end()) {
    return Refused("UNKNOWN_KEY", "the OIDC token names a key that its provider does not have");
  }
  const auto* der = reinterpret_cast<const unsigned char*>(found->second.data());
  const Key key(d2i_PUBKEY(nullptr, &der, static_cast<long>(found->second.size())));
  const std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  if (key == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestVerify(
          context.get(), reinterpret_cast<const unsigned char*>(token.signature.data()),
          token.signature.size(), reinterpret_cast<const unsigned char*>(token.signed_text.data()),
          token.signed_text.size()) != 1) {
    return Refused("BAD_SIGNATURE", "the OIDC token's signature is not its provider's");
  }
  return absl::OkStatus();
}

// Whoever comes while the keys are on their way waits for them. Nothing when they need not or may not be asked for now.
bool OidcVerifier::MayFetch(const std::string& key_id) {
  MutexLock lock(mutex_);
  while (fetching_) changed_.Wait(mutex_);
  const auto now = clock_.Now();
  if (keys_.Has(key_id) || (fetched_ && now - *fetched_ < kFetchAtMost)) return false;
  fetched_ = now;
  fetching_ = true;
  return true;
}

absl::Status OidcVerifier::CheckSignature(const Jwt& token) {
  if (token.algorithm == "RS256" && MayFetch(token.key_id)) {
    const auto text = fetch_();
    auto keys = text.ok() ? KeySet::Parse(*text) : text.status();
    MutexLock lock(mutex_);
    fetching_ = false;
    changed_.NotifyAll();
    if (!keys.ok()) {
      return Error(absl::StatusCode::kUnavailable, "NO_KEYS",
                   absl::StrCat("the keys of ", issuer_,
                                " cannot be had: ", std::string(keys.status().message())),
                   "give them as a file: github.keys_file in the controller's configuration");
    }
    keys_ = *std::move(keys);
  }
  MutexLock lock(mutex_);
  return keys_.Verify(token);
}

absl::StatusOr<WorkflowClaims> OidcVerifier::Verify(absl::string_view text) {
  SLIPWAY_ASSIGN_OR_RETURN(const Jwt token, ParseJwt(text));
  SLIPWAY_RETURN_IF_ERROR(CheckSignature(token));
  SLIPWAY_ASSIGN_OR_RETURN(const json payload, ParseObject(token.payload));
  if (Text(payload, "iss") != issuer_) {
    return Refused("WRONG_ISSUER", absl::StrCat("the OIDC token is not from ", issuer_));
  }
  if (!IsFor(payload, audience_)) {
    return Refused("WRONG_AUDIENCE", absl::StrCat("the OIDC token is not for ", audience_),
                   "let the workflow ask for this audience");
  }
  const auto now = clock_.WallNow();
  const auto expires = TimeOf(payload, "exp");
  const auto issued = TimeOf(payload, "iat");
  const auto valid_from = payload.contains("nbf") ? TimeOf(payload, "nbf") : issued;
  if (!expires || !issued || !valid_from || now > *expires + kLeeway || now < *issued - kLeeway ||
      now < *valid_from - kLeeway) {
    return Refused("TOKEN_EXPIRED", "the OIDC token is not valid now",
                   "ask for it right before it is used, and check the clocks");
  }
  WorkflowClaims claims;
  claims.repository = Text(payload, "repository");
  claims.ref = Text(payload, "ref");
  claims.environment = Text(payload, "environment");
  claims.commit = Text(payload, "sha");
  claims.event = Text(payload, "event_name");
  claims.actor = Text(payload, "actor");
  claims.run_id = Text(payload, "run_id");
  claims.run_attempt = Text(payload, "run_attempt");
  claims.id = Text(payload, "jti");
  claims.expire_time = *expires;
  if (!absl::SimpleAtoi(Text(payload, "repository_id"), &claims.repository_id) ||
      claims.repository_id == 0 || claims.ref.empty() || claims.id.empty()) {
    return Refused("BAD_CLAIMS", "the OIDC token lacks repository_id, ref or jti");
  }
  // Runs with the base branch's ref on code that anybody may propose.
  if (claims.event == "pull_request_target" || claims.event == "workflow_run") {
    return Refused("UNTRUSTED_EVENT",
                   absl::StrCat("workflows started by ", claims.event,
                                " may run anybody's code under your branch's name"),
                   "deploy from a workflow that a push starts");
  }
  return claims;
}

}  // namespace slipway::controller
