#include "executor/credentials.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "common/tls.h"

namespace slipway::executor {
namespace {

// Of the request under way.
constexpr char kNextKey[] = "next-key.pem";
constexpr char kRevoked[] = "revoked.pem";

std::string TextOf(const std::filesystem::path& file) {
  auto text = ReadFile(file);
  return text.ok() ? *std::move(text) : "";
}

}  // namespace

Credentials::Credentials(std::filesystem::path folder) : folder_(std::move(folder)) {
  MutexLock lock(mutex_);
  LoadRevoked();
}

std::string Credentials::Authority() const { return TextOf(FilesIn(folder_).authority); }

std::optional<CertificateFacts> Credentials::Present() const {
  const auto facts = ReadCertificate(TextOf(FilesIn(folder_).certificate));
  return facts.ok() ? std::optional<CertificateFacts>(*facts) : std::nullopt;
}

absl::StatusOr<std::string> Credentials::Request() {
  MutexLock lock(mutex_);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder_));
  std::string key = TextOf(folder_ / kNextKey);
  if (key.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(key, MakePrivateKey());
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(folder_ / kNextKey, key, 0600));
  }
  return MakeCertificateRequest(key);
}

absl::Status Credentials::Install(const std::string& certificate_pem,
                                  const std::string& authority_pem) {
  MutexLock lock(mutex_);
  SLIPWAY_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate_pem));
  if (facts.principal.role != pb::ROLE_EXECUTOR) {
    return absl::InvalidArgumentError("the certificate is not one of an executor");
  }
  const std::string known = Authority();
  if (!known.empty() && known != authority_pem) {
    return Error(
        absl::StatusCode::kInvalidArgument, "OTHER_AUTHORITY",
        "this host belongs to another controller's authority",
        absl::StrCat("to move it, remove ", folder_.string(), " on the host and enrol it anew"));
  }
  const std::string key = TextOf(folder_ / kNextKey);
  if (key.empty()) return absl::FailedPreconditionError("no certificate was asked for");
  SLIPWAY_RETURN_IF_ERROR(PublishCredentials(folder_, key, certificate_pem, authority_pem));
  std::error_code ignored;
  std::filesystem::remove(folder_ / kNextKey, ignored);
  LoadRevoked();
  return absl::OkStatus();
}

absl::Status Credentials::Revoke(const std::string& list_pem) {
  MutexLock lock(mutex_);
  const std::string authority = Authority();
  // Without an authority there is nobody to believe, and no certificate is taken from anybody.
  if (authority.empty()) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(ReadRevocations(authority, list_pem).status());
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(folder_ / kRevoked, list_pem));
  LoadRevoked();
  return absl::OkStatus();
}

void Credentials::LoadRevoked() {
  const auto serials = ReadRevocations(Authority(), TextOf(folder_ / kRevoked));
  if (serials.ok()) revoked_ = {serials->begin(), serials->end()};
}

bool Credentials::IsRevoked(const std::string& serial) const {
  MutexLock lock(mutex_);
  return revoked_.contains(serial);
}

}  // namespace slipway::executor
