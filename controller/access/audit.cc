#include "controller/access/audit.h"

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

std::string SignedBytes(const xpb::HistoryHead& head) {
  return absl::StrCat("slipway history head\n", head.sequence(), "\n", head.time().seconds(), ".",
                      head.time().nanos(), "\n", head.hash());
}

std::string SignedBytes(const store::v1::RestoreRecord& record) {
  return absl::StrCat("slipway history restored\n", record.sequence(), "\n",
                      record.time().seconds(), ".", record.time().nanos());
}

}  // namespace

absl::Status RecordRestore(Store& store, const Certificates& certificates,
                           const HistoryRecord& last, Time now, const Actor& actor,
                           const std::string& backup) {
  store::v1::RestoreRecord record;
  record.set_sequence(last.sequence);
  *record.mutable_time() = ToProto(now);
  if (certificates.HasAuthority()) {
    SLIPWAY_ASSIGN_OR_RETURN(*record.mutable_signature(), certificates.Sign(SignedBytes(record)));
  }
  return store.PutRecord(
      {kRestoreKind, kNewestId, record.SerializeAsString(), std::nullopt},
      HistoryDraft{"", actor, "restore", backup,
                   absl::StrCat("ok; what came after row ", last.sequence, " is lost")});
}

std::optional<store::v1::RestoreRecord> Audit::Restored() {
  const auto body = store_.GetRecord(kRestoreKind, kNewestId);
  const auto authority = certificates_.AuthorityPem();
  store::v1::RestoreRecord record;
  if (!body.ok() || !authority.ok() || !record.ParseFromString(*body) ||
      !VerifyBytes(*authority, SignedBytes(record), record.signature()).ok()) {
    return std::nullopt;
  }
  return record;
}

bool Audit::WasLostByRestore(const xpb::HistoryHead& kept) {
  const auto restored = Restored();
  return restored && kept.sequence() > restored->sequence() &&
         FromProto(kept.time()) < FromProto(restored->time());
}

absl::StatusOr<xpb::HistoryHead> Audit::SignedHead() {
  SLIPWAY_ASSIGN_OR_RETURN(const auto newest, store_.ListHistory("", 0, 1));
  xpb::HistoryHead head;
  if (newest.empty()) return absl::NotFoundError("the history is empty");
  head.set_sequence(newest[0].sequence);
  head.set_hash(newest[0].hash);
  *head.mutable_time() = ToProto(clock_.WallNow());
  SLIPWAY_ASSIGN_OR_RETURN(*head.mutable_signature(), certificates_.Sign(SignedBytes(head)));
  return head;
}

std::string Audit::ProblemWith(const xpb::HistoryHead& kept) {
  const auto authority = certificates_.AuthorityPem();
  if (!authority.ok() || !VerifyBytes(*authority, SignedBytes(kept), kept.signature()).ok()) {
    return "the head that it keeps is not signed by this controller's authority";
  }
  if (WasLostByRestore(kept)) return "";
  const auto rows = store_.ListHistory("", kept.sequence() + 1, 1);
  if (!rows.ok()) return std::string(rows.status().message());
  if (rows->empty() || rows->front().sequence != kept.sequence()) {
    return absl::StrCat("it remembers row ", kept.sequence(), ", which is not there any more");
  }
  if (rows->front().hash != kept.hash()) {
    return absl::StrCat("it remembers another row ", kept.sequence(),
                        ": the history was written anew before it or there");
  }
  return "";
}

absl::StatusOr<pb::VerifyHistoryResponse> Audit::Verify() {
  pb::VerifyHistoryResponse response;
  SLIPWAY_ASSIGN_OR_RETURN(const auto newest, store_.ListHistory("", 0, 1));
  if (!newest.empty()) {
    response.set_rows(newest[0].sequence);
    response.set_head(newest[0].hash);
  }
  const absl::Status whole = store_.VerifyHistory();
  if (absl::IsDataLoss(whole)) {
    response.add_problems(std::string(whole.message()));
  } else if (!whole.ok()) {
    return whole;
  }
  if (const auto restored = Restored()) {
    response.set_lost_after(restored->sequence());
    *response.mutable_restore_time() = restored->time();
  }
  for (const HostConfig& host : fleet_.Hosts()) {
    pb::KeptHead& kept = *response.add_kept();
    kept.set_host(host.name);
    const auto client = fleet_.Client(host.name);
    const auto head = client == nullptr ? absl::NotFoundError("it was removed just now")
                                        : client->GetHistoryHead();
    if (!head.ok()) {
      kept.set_problem(absl::StrCat("cannot be asked: ", std::string(head.status().message())));
      continue;
    }
    if (head->sequence() == 0) continue;
    kept.set_sequence(head->sequence());
    *kept.mutable_time() = head->time();
    kept.set_problem(ProblemWith(*head));
    if (!kept.problem().empty()) {
      response.add_problems(absl::StrCat("host ", host.name, ": ", kept.problem()));
    }
  }
  return response;
}

}  // namespace slipway::controller
