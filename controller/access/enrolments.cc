#include "controller/access/enrolments.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/digest.h"
#include "common/durations.h"
#include "common/names.h"
#include "common/random.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {
constexpr char kKind[] = "enrolment";
constexpr char kPrefix[] = "slipway-enrol-";
constexpr std::chrono::minutes kLife{15};
constexpr size_t kSecretBytes = 32;
}  // namespace

absl::StatusOr<Enrolments::Invitation> Enrolments::Create(const std::string& host,
                                                          const Actor& actor) {
  Invitation invitation;
  invitation.secret = absl::StrCat(kPrefix, absl::WebSafeBase64Escape(RandomBytes(kSecretBytes)));
  invitation.expire_time = clock_.WallNow() + kLife;
  store::v1::EnrolmentRecord record;
  record.set_host(host);
  *record.mutable_expire_time() = ToProto(invitation.expire_time);
  // Found by its hash: the secret itself is nowhere.
  const std::string id = absl::BytesToHexString(Sha256Of(invitation.secret));
  SLIPWAY_RETURN_IF_ERROR(
      store_.CreateRecord({kKind, id, record.SerializeAsString(), invitation.expire_time},
                          HistoryDraft{"", actor, "enrolment", HostName(host), "invited"}));
  return invitation;
}

absl::StatusOr<std::string> Enrolments::Redeem(absl::string_view secret,
                                               const std::string& origin) {
  const absl::Status bad =
      Error(absl::StatusCode::kUnauthenticated, "BAD_ENROLMENT",
            "this invitation is not one of ours, was used, or is older than 15 minutes",
            "run `slipway hosts add HOST --ssh USER@HOST` again, which makes a new one");
  if (!absl::ConsumePrefix(&secret, kPrefix)) return bad;
  const std::string id = absl::BytesToHexString(Sha256Of(absl::StrCat(kPrefix, secret)));
  const auto body = store_.TakeRecord(kKind, id, std::nullopt);
  if (absl::IsNotFound(body.status())) return bad;
  if (!body.ok()) return body.status();
  store::v1::EnrolmentRecord record;
  if (!record.ParseFromString(*body)) return bad;
  SLIPWAY_RETURN_IF_ERROR(store_.AppendHistory(
      {"", Actor(HostName(record.host()), origin), "enrol", HostName(record.host()), "ok"}));
  return record.host();
}

}  // namespace slipway::controller
