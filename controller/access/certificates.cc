#include "controller/access/certificates.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/names.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "certificate";
constexpr char kPrefix[] = "certificates/";
constexpr std::chrono::hours kDefaultLife{168};
constexpr int kPage = 1000;

absl::Status NoAuthority() {
  return Error(absl::StatusCode::kFailedPrecondition, "NO_AUTHORITY",
               "this controller uses certificates of your own authority and makes none",
               "let your authority sign one, with the identity as its URI (docs/security.md)");
}

pb::Certificate Described(const CertificateFacts& facts) {
  pb::Certificate certificate;
  certificate.set_name(absl::StrCat(kPrefix, facts.serial));
  certificate.set_role(facts.principal.role);
  certificate.set_app(facts.principal.app);
  certificate.set_subject(facts.principal.subject);
  *certificate.mutable_create_time() = ToProto(facts.not_before);
  *certificate.mutable_expire_time() = ToProto(facts.not_after);
  return certificate;
}

std::vector<pb::Certificate> Read(const std::vector<std::pair<std::string, std::string>>& records) {
  std::vector<pb::Certificate> all;
  for (const auto& [serial, body] : records) {
    store::v1::CertificateRecord record;
    if (record.ParseFromString(body)) all.push_back(record.certificate());
  }
  return all;
}

std::string SerialOf(const pb::Certificate& certificate) {
  return std::string(absl::StripPrefix(certificate.name(), kPrefix));
}

bool IsSerial(const std::string& text) {
  return !text.empty() && text.size() <= 40 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

bool IsDueForRenewal(WallTime ends, std::chrono::seconds life, WallTime now) {
  const auto left = ends - now;
  return left <= life / 3 || left > life + std::chrono::seconds(1);
}

absl::StatusOr<std::unique_ptr<Certificates>> Certificates::Open(
    const std::filesystem::path& folder, const slipway::config::v1::ControllerTls& config,
    Store& store, Clock& clock) {
  const auto life =
      config.has_certificate_life()
          ? std::chrono::duration_cast<std::chrono::seconds>(FromProto(config.certificate_life()))
          : std::chrono::seconds(kDefaultLife);
  if (life < std::chrono::seconds(3)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_LIFE",
                 "tls.certificate_life: is shorter than 3s");
  }
  std::unique_ptr<Certificates> certificates(new Certificates(folder, life, store, clock));
  const int own = (config.authority().empty() ? 0 : 1) + (config.certificate().empty() ? 0 : 1) +
                  (config.key().empty() ? 0 : 1);
  if (own == 3) {
    certificates->files_ = {config.authority(), config.certificate(), config.key()};
    std::string texts[3];
    for (size_t i = 0;
         const auto& file : {config.key(), config.certificate(), config.authority()}) {
      auto text = ReadFile(file);
      if (!text.ok()) return Annotate(text.status(), file);
      texts[i++] = *std::move(text);
    }
    const absl::Status fit = CheckCredentials(texts[0], texts[1], texts[2]);
    if (!fit.ok()) return Annotate(fit, absl::StrCat("tls.certificate ", config.certificate()));
    return certificates;
  }
  if (own != 0) {
    return Error(absl::StatusCode::kInvalidArgument, "INCOMPLETE_TLS",
                 "tls: authority, certificate and key belong together", "name all three, or none");
  }
  SLIPWAY_RETURN_IF_ERROR(certificates->OpenAuthority());
  SLIPWAY_RETURN_IF_ERROR(certificates->RenewOwn().status());
  return certificates;
}

std::vector<std::filesystem::path> Certificates::AuthorityFiles(
    const std::filesystem::path& folder) {
  return {folder / "authority.key", folder / "authority.pem"};
}

absl::Status Certificates::OpenAuthority() {
  const auto files = AuthorityFiles(folder_);
  const auto& key_file = files[0];
  const auto& certificate_file = files[1];
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder_));
  files_ = FilesIn(folder_);
  auto key = ReadFile(key_file);
  auto certificate = ReadFile(certificate_file);
  if (key.ok() && certificate.ok()) {
    auto read = Authority::Read(*std::move(key), *std::move(certificate));
    if (!read.ok()) return Annotate(read.status(), folder_.string());
    authority_ = *std::move(read);
    return absl::OkStatus();
  }
  // The key is written last: without it there is no authority yet, and none that could be lost.
  if (!absl::IsNotFound(key.status())) {
    return Annotate(key.ok() ? certificate.status() : key.status(), folder_.string());
  }
  SLIPWAY_ASSIGN_OR_RETURN(authority_, Authority::Make(clock_.WallNow()));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(certificate_file, authority_->certificate_pem()));
  return WriteFileAtomically(key_file, authority_->key_pem(), 0600);
}

absl::StatusOr<std::string> Certificates::AuthorityPem() const {
  if (authority_) return authority_->certificate_pem();
  return ReadFile(files_.authority);
}

absl::StatusOr<Certificates::Issued> Certificates::Issue(const std::string& request_pem,
                                                         const Principal& principal,
                                                         const Actor& actor) {
  return IssueInLine(request_pem, principal, "", actor);
}

absl::StatusOr<Certificates::Issued> Certificates::Renew(const std::string& request_pem,
                                                         const CertificateFacts& present,
                                                         const Actor& actor) {
  std::string line = absl::StrCat(kPrefix, present.serial);
  if (const auto body = store_.GetRecord(kKind, present.serial); body.ok()) {
    store::v1::CertificateRecord record;
    if (record.ParseFromString(*body) && !record.certificate().renewed_from().empty()) {
      line = record.certificate().renewed_from();
    }
  }
  SLIPWAY_ASSIGN_OR_RETURN(Issued issued, IssueInLine(request_pem, present.principal, line, actor));
  // Either the one who revokes it finds the new one, or it is seen here that it is revoked.
  if (const absl::Status still = CheckNotRevoked(present); !still.ok()) {
    SLIPWAY_RETURN_IF_ERROR(MarkRevoked(issued.certificate, actor));
    return still;
  }
  return issued;
}

absl::StatusOr<Certificates::Issued> Certificates::IssueInLine(const std::string& request_pem,
                                                               const Principal& principal,
                                                               const std::string& line,
                                                               const Actor& actor) {
  if (!authority_) return NoAuthority();
  Issued issued;
  SLIPWAY_ASSIGN_OR_RETURN(issued.pem,
                           authority_->Sign(request_pem, principal, clock_.WallNow(), life_));
  SLIPWAY_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(issued.pem));
  issued.certificate = Described(facts);
  *issued.certificate.mutable_create_time() = ToProto(clock_.WallNow());
  issued.certificate.set_renewed_from(line);
  store::v1::CertificateRecord record;
  *record.mutable_certificate() = issued.certificate;
  // Kept a day longer than it lives, so that one that has just ended is still found.
  const absl::Status recorded = store_.PutRecord(
      {kKind, facts.serial, record.SerializeAsString(), facts.not_after + std::chrono::hours(24)},
      HistoryDraft{principal.app, actor, "certificate", issued.certificate.name(),
                   absl::StrCat("made for ", IdentityUri(principal))});
  // A controller that stands by needs one to be reached at all, and has the key to make it.
  const bool stands_by =
      principal.role == pb::ROLE_CONTROLLER && DetailOf(recorded).reason() == "NOT_LEADER";
  if (!recorded.ok() && !stands_by) return recorded;
  return issued;
}

absl::Status Certificates::CheckNotRevoked(const CertificateFacts& facts) {
  const auto body = store_.GetRecord(kKind, facts.serial);
  // One of your own authority, or from before the store was lost: the handshake has judged it.
  if (absl::IsNotFound(body.status())) return absl::OkStatus();
  if (!body.ok()) return body.status();
  store::v1::CertificateRecord record;
  if (!record.ParseFromString(*body) || record.certificate().has_revoke_time()) {
    return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REVOKED",
                 absl::StrCat("the certificate of ", IdentityUri(facts.principal), " was revoked"),
                 "ask an operator for a new one");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<pb::Certificate>> Certificates::List(const std::string& after,
                                                                int limit) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto page, store_.ListRecords(kKind, after, limit));
  return Read(page);
}

absl::StatusOr<std::vector<pb::Certificate>> Certificates::All() {
  std::vector<pb::Certificate> all;
  std::string after;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto page, store_.ListRecords(kKind, after, kPage));
    const std::vector<pb::Certificate> read = Read(page);
    all.insert(all.end(), read.begin(), read.end());
    if (static_cast<int>(page.size()) < kPage) return all;
    after = page.back().first;
  }
}

absl::Status Certificates::MarkRevoked(pb::Certificate& certificate, const Actor& actor) {
  *certificate.mutable_revoke_time() = ToProto(clock_.WallNow());
  store::v1::CertificateRecord record;
  *record.mutable_certificate() = certificate;
  // One that was not made here is refused for ever; nobody knows when it ends.
  std::optional<Time> expire_time;
  if (certificate.has_expire_time()) {
    expire_time = FromProto(certificate.expire_time()) + std::chrono::hours(24);
  }
  return store_.PutRecord(
      {kKind, SerialOf(certificate), record.SerializeAsString(), expire_time},
      HistoryDraft{certificate.app(), actor, "certificate revoke", certificate.name(), "ok"});
}

absl::StatusOr<std::vector<pb::Certificate>> Certificates::Revoke(const std::string& serial,
                                                                  const Actor& actor) {
  if (!IsSerial(serial)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_SERIAL",
                 "a certificate's number is of lower-case hexadecimal digits",
                 "`slipway certificate list` shows it");
  }
  store::v1::CertificateRecord record;
  const auto body = store_.GetRecord(kKind, serial);
  if (!body.ok() && !absl::IsNotFound(body.status())) return body.status();
  if (body.ok()) record.ParseFromString(*body);
  pb::Certificate& named = *record.mutable_certificate();
  named.set_name(absl::StrCat(kPrefix, serial));
  std::vector<pb::Certificate> revoked;
  if (!named.has_revoke_time()) {
    SLIPWAY_RETURN_IF_ERROR(MarkRevoked(named, actor));
    revoked.push_back(named);
  }
  const std::string line = named.renewed_from().empty() ? named.name() : named.renewed_from();
  const auto follows = [&](const pb::Certificate& other) {
    const Time made = FromProto(other.create_time());
    if (made > FromProto(named.revoke_time())) return false;
    // A host's are renewed by the controller, whoever answers there, and it may show the one before still.
    if (named.role() == pb::ROLE_EXECUTOR) {
      return other.role() == pb::ROLE_EXECUTOR && other.subject() == named.subject();
    }
    return other.renewed_from() == line && made >= FromProto(named.create_time());
  };
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<pb::Certificate> all, All());
  for (pb::Certificate& other : all) {
    if (other.has_revoke_time() || !follows(other)) continue;
    SLIPWAY_RETURN_IF_ERROR(MarkRevoked(other, actor));
    revoked.push_back(other);
  }
  return revoked;
}

absl::StatusOr<std::vector<pb::Certificate>> Certificates::Revoked() {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<pb::Certificate> all, All());
  std::erase_if(all, [](const pb::Certificate& one) { return !one.has_revoke_time(); });
  return all;
}

absl::StatusOr<std::string> Certificates::RevocationList(
    const std::vector<pb::Certificate>& revoked) const {
  if (!authority_) return NoAuthority();
  std::vector<std::string> serials;
  for (const pb::Certificate& one : revoked) serials.push_back(SerialOf(one));
  return authority_->SignRevocations(serials, clock_.WallNow());
}

absl::StatusOr<bool> Certificates::RenewOwn() {
  if (!authority_) return false;
  const Time now = clock_.WallNow();
  const auto present = ReadFile(files_.certificate);
  if (present.ok()) {
    const auto facts = ReadCertificate(*present);
    const auto key = ReadFile(files_.key);
    if (facts.ok() && key.ok() && !IsDueForRenewal(facts->not_after, life_, now) &&
        CheckCredentials(*key, *present, authority_->certificate_pem()).ok()) {
      return false;
    }
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string key, MakePrivateKey());
  SLIPWAY_ASSIGN_OR_RETURN(const std::string request, MakeCertificateRequest(key));
  SLIPWAY_ASSIGN_OR_RETURN(const Issued issued,
                           Issue(request, {pb::ROLE_CONTROLLER, "", ""}, Actor("controller")));
  SLIPWAY_RETURN_IF_ERROR(
      PublishCredentials(folder_, key, issued.pem, authority_->certificate_pem()));
  return true;
}

std::optional<Time> Certificates::OwnEnds() const {
  const auto pem = ReadFile(files_.certificate);
  const auto facts = pem.ok() ? ReadCertificate(*pem) : pem.status();
  return facts.ok() ? std::optional<Time>(facts->not_after) : std::nullopt;
}

absl::StatusOr<std::string> Certificates::Sign(const std::string& bytes) const {
  if (!authority_) return NoAuthority();
  return authority_->SignBytes(bytes);
}

}  // namespace slipway::controller
