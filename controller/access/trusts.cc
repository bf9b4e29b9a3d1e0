#include "controller/access/trusts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/digest.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/names.h"
#include "common/random.h"
#include "common/status.h"
#include "controller/access/ref_policy.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "trust";
constexpr char kUsedKind[] = "jwt";
constexpr int kMostTrusts = 10'000;
// Long enough for a deployment with a build, and no longer than a job.
constexpr std::chrono::hours kTokenLife{1};
constexpr std::chrono::minutes kLeeway{2};

std::string OriginOf(const WorkflowClaims& claims) {
  return absl::StrCat("github:", claims.repository, " run ", claims.run_id, "/", claims.run_attempt,
                      " ", claims.ref, " ", claims.commit);
}

}  // namespace

absl::StatusOr<pb::Trust> Trusts::Create(pb::Trust wished, const std::string& request_id,
                                         const Actor& actor) {
  const auto bad = [](absl::string_view problem) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TRUST", problem,
                 "slipway trust add --app APP --repository-id NUMBER --ref refs/heads/main");
  };
  if (wished.role() != pb::ROLE_DEPLOYER && wished.role() != pb::ROLE_VIEWER) {
    return bad("role: a workflow may be viewer or deployer");
  }
  if (!IsApplicationName(wished.app())) return bad("app: is no application's name");
  if (wished.repository_id() == 0) return bad("repository_id: is missing");
  if (wished.ref().empty() || wished.ref().size() > 255) return bad("ref: is missing");
  const std::string id =
      request_id.empty()
          ? RandomHex(6)
          : absl::BytesToHexString(Sha256Of(absl::StrCat("trust:", request_id))).substr(0, 12);
  wished.set_name(absl::StrCat("trusts/", id));
  wished.set_creator(actor.name);
  *wished.mutable_create_time() = ToProto(clock_.WallNow());
  store::v1::TrustRecord record;
  *record.mutable_trust() = wished;
  SLIPWAY_RETURN_IF_ERROR(store_.PutRecord(
      {kKind, id, record.SerializeAsString(), std::nullopt},
      HistoryDraft{
          wished.app(), actor, "trust add", wished.name(),
          absl::StrCat(EnumWord(wished.role()), " for repository ", wished.repository_id(), ", ",
                       wished.ref(), wished.environment().empty() ? "" : ", environment ",
                       wished.environment())}));
  return wished;
}

absl::StatusOr<std::vector<pb::Trust>> Trusts::List(const std::string& after, int limit) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListRecords(kKind, after, limit));
  std::vector<pb::Trust> all;
  for (const auto& [id, body] : records) {
    store::v1::TrustRecord record;
    if (record.ParseFromString(body)) all.push_back(record.trust());
  }
  return all;
}

absl::Status Trusts::Delete(const std::string& id, const Actor& actor) {
  return store_
      .TakeRecord(kKind, id,
                  HistoryDraft{"", actor, "trust remove", absl::StrCat("trusts/", id), "ok"})
      .status();
}

absl::StatusOr<pb::Trust> Trusts::Find(const WorkflowClaims& claims, const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto all, List("", kMostTrusts));
  const pb::Trust* best = nullptr;
  for (const pb::Trust& trust : all) {
    const bool covers = trust.app() == app && trust.repository_id() == claims.repository_id &&
                        MatchesRef(trust.ref(), claims.ref) &&
                        trust.environment() == claims.environment;
    if (covers && (best == nullptr || trust.role() > best->role())) best = &trust;
  }
  if (best != nullptr) return *best;
  return Error(
      absl::StatusCode::kPermissionDenied, "NOT_TRUSTED",
      absl::StrCat("no trust of ", app, " covers repository ", claims.repository_id, " (",
                   claims.repository, "), ", claims.ref,
                   claims.environment.empty() ? ", no environment" : ", environment ",
                   claims.environment),
      absl::StrCat("an operator may add one: `slipway trust add --app ", app, " --repository-id ",
                   claims.repository_id, " --ref ", claims.ref,
                   claims.environment.empty() ? "" : " --environment ", claims.environment, "`"));
}

// Of all who show this token only the first gets something for it; the same request may ask again.
absl::Status Trusts::UseOnce(const WorkflowClaims& claims, const std::string& request_id) {
  const std::string id = absl::BytesToHexString(Sha256Of(claims.id));
  const std::string body = Sha256Of(absl::StrCat("exchange:", request_id));
  const absl::Status first =
      store_.CreateRecord({kUsedKind, id, body, claims.expire_time + kLeeway}, std::nullopt);
  if (!absl::IsAlreadyExists(first)) return first;
  const auto used = store_.GetRecord(kUsedKind, id);
  if (used.ok() && *used == body && !request_id.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kUnauthenticated, "TOKEN_REPLAYED",
               "this OIDC token was used before", "let the workflow ask for a new one");
}

absl::StatusOr<Tokens::Made> Trusts::Exchange(const std::string& github_token,
                                              const std::string& app,
                                              const std::string& request_id) {
  if (verifier_ == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_AUDIENCE",
                 "this controller takes no OIDC tokens",
                 "set github.audience in the controller's configuration");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const WorkflowClaims claims, verifier_->Verify(github_token));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Trust trust, Find(claims, app));
  SLIPWAY_RETURN_IF_ERROR(UseOnce(claims, request_id));
  pb::Token wished;
  wished.set_title(absl::StrCat("github:", claims.actor));
  wished.set_role(trust.role());
  wished.set_app(app);
  wished.set_ref(claims.ref);
  wished.set_commit(claims.commit);
  wished.set_origin(OriginOf(claims));
  return tokens_.Create(std::move(wished), kTokenLife,
                        request_id.empty() ? "" : absl::StrCat("exchange:", request_id),
                        Actor(absl::StrCat("github:", claims.actor), OriginOf(claims)));
}

}  // namespace slipway::controller
