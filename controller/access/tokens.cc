#include "controller/access/tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include <openssl/crypto.h>

#include "common/digest.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/random.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "token";
constexpr char kPrefix[] = "slipway_";
constexpr size_t kIdDigits = 16;
constexpr size_t kSecretBytes = 32;
constexpr size_t kSecretLetters = 43;

absl::Status NoSuchToken() {
  return Error(absl::StatusCode::kUnauthenticated, "BAD_TOKEN",
               "this token is not one of ours, has expired, or was revoked",
               "make a new one: `slipway token create NAME`");
}

// The same for one request id, so that a repeated call makes no second token.
std::string IdFor(const std::string& request_id) {
  if (request_id.empty()) return RandomHex(kIdDigits / 2);
  return absl::BytesToHexString(Sha256Of(absl::StrCat("token:", request_id))).substr(0, kIdDigits);
}

}  // namespace

std::optional<TokenText> ParseToken(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kPrefix)) return std::nullopt;
  if (text.size() != kIdDigits + 1 + kSecretLetters || text[kIdDigits] != '_') return std::nullopt;
  TokenText parsed{std::string(text.substr(0, kIdDigits)), std::string(text.substr(kIdDigits + 1))};
  const bool id_fits = std::all_of(parsed.id.begin(), parsed.id.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
  });
  const bool secret_fits = std::all_of(parsed.secret.begin(), parsed.secret.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
  if (!id_fits || !secret_fits) return std::nullopt;
  return parsed;
}

absl::StatusOr<Tokens::Made> Tokens::Create(pb::Token wished, std::chrono::seconds lifetime,
                                            const std::string& request_id, const Actor& actor) {
  const std::string id = IdFor(request_id);
  const std::string secret = absl::WebSafeBase64Escape(RandomBytes(kSecretBytes));
  const Time now = clock_.WallNow();
  store::v1::TokenRecord record;
  *record.mutable_token() = std::move(wished);
  record.mutable_token()->set_name(absl::StrCat("tokens/", id));
  record.mutable_token()->set_creator(actor.name);
  *record.mutable_token()->mutable_create_time() = ToProto(now);
  *record.mutable_token()->mutable_expire_time() = ToProto(now + lifetime);
  record.set_secret_hash(Sha256Of(secret));
  const pb::Token& token = record.token();
  const HistoryDraft history{
      token.app(), actor, "token create", absl::StrCat("tokens/", id),
      absl::StrCat(EnumWord(token.role()), token.app().empty() ? "" : " of ", token.app(),
                   " until ",
                   absl::FormatTime("%Y-%m-%d %H:%M", absl::FromChrono(now + lifetime),
                                    absl::UTCTimeZone()))};
  SLIPWAY_RETURN_IF_ERROR(
      store_.PutRecord({kKind, id, record.SerializeAsString(), now + lifetime}, history));
  return Made{token, absl::StrCat(kPrefix, id, "_", secret)};
}

absl::StatusOr<pb::Token> Tokens::Authenticate(absl::string_view text) {
  const std::optional<TokenText> parsed = ParseToken(text);
  if (!parsed) return NoSuchToken();
  const auto body = store_.GetRecord(kKind, parsed->id);
  if (absl::IsNotFound(body.status())) return NoSuchToken();
  if (!body.ok()) return body.status();
  store::v1::TokenRecord record;
  const std::string hash = Sha256Of(parsed->secret);
  if (!record.ParseFromString(*body) || record.secret_hash().size() != hash.size() ||
      CRYPTO_memcmp(record.secret_hash().data(), hash.data(), hash.size()) != 0) {
    return NoSuchToken();
  }
  return record.token();
}

absl::StatusOr<std::vector<pb::Token>> Tokens::List(const std::string& after, int limit) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListRecords(kKind, after, limit));
  std::vector<pb::Token> tokens;
  for (const auto& [id, body] : records) {
    store::v1::TokenRecord record;
    if (record.ParseFromString(body)) tokens.push_back(record.token());
  }
  return tokens;
}

absl::Status Tokens::Revoke(const std::string& id, const Actor& actor) {
  return store_
      .TakeRecord(kKind, id,
                  HistoryDraft{"", actor, "token revoke", absl::StrCat("tokens/", id), "ok"})
      .status();
}

}  // namespace slipway::controller
