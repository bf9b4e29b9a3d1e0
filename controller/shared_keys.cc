#include "controller/shared_keys.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/digest.h"
#include "common/status.h"
#include "controller/state_folder.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "keys";
constexpr char kId[] = "controllers";
constexpr char kCure[] =
    "copy key, tls/authority.key, tls/authority.pem and the ssh key from another controller's "
    "state folder (docs/postgres.md)";

absl::StatusOr<std::optional<store::v1::KeysRecord>> Known(Store& store) {
  const auto body = store.GetRecord(kKind, kId);
  if (absl::IsNotFound(body.status())) return std::optional<store::v1::KeysRecord>();
  SLIPWAY_RETURN_IF_ERROR(body.status());
  store::v1::KeysRecord record;
  if (!record.ParseFromString(*body)) {
    return Error(absl::StatusCode::kDataLoss, "STORE_DAMAGED", "the stored keys cannot be read");
  }
  return record;
}

absl::StatusOr<store::v1::KeysRecord> Own(const SecretBox& box, const Certificates& certificates,
                                          const std::string& ssh_public_key) {
  store::v1::KeysRecord record;
  record.set_environments(box.Fingerprint("", "of this key"));
  record.set_ssh(Sha256Of(ssh_public_key));
  if (certificates.HasAuthority()) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string pem, certificates.AuthorityPem());
    record.set_authority(Sha256Of(pem));
  }
  return record;
}

}  // namespace

absl::Status CheckKeysArePresent(Store& store, const config::v1::ControllerConfig& config) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto known, Known(store));
  if (!known) return absl::OkStatus();
  const StateFolder folder(config.state());
  std::vector<std::filesystem::path> files = {folder.Key(), config.ssh().key()};
  if (!known->authority().empty()) {
    for (const auto& file : Certificates::AuthorityFiles(folder.Tls())) files.push_back(file);
  }
  std::vector<std::string> missing;
  for (const auto& file : files) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) missing.push_back(file.string());
  }
  if (missing.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "KEYS_MISSING",
               absl::StrCat("this controller lacks keys of those that share its database: ",
                            absl::StrJoin(missing, ", ")),
               kCure, missing.front());
}

absl::Status CheckKeysAreShared(Store& store, const SecretBox& box,
                                const Certificates& certificates,
                                const std::string& ssh_public_key) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto known, Known(store));
  if (!known) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto own, Own(box, certificates, ssh_public_key));
  std::vector<std::string> other;
  if (own.environments() != known->environments()) other.push_back("key");
  if (own.authority() != known->authority()) other.push_back("tls/authority.pem");
  if (own.ssh() != known->ssh()) other.push_back("the ssh key");
  if (other.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "OTHER_KEYS",
               absl::StrCat("this controller has other keys than those that share its database: ",
                            absl::StrJoin(other, ", ")),
               kCure);
}

absl::Status RememberKeys(Store& store, const SecretBox& box, const Certificates& certificates,
                          const std::string& ssh_public_key) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto known, Known(store));
  if (known) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto own, Own(box, certificates, ssh_public_key));
  return store.PutRecord({kKind, kId, own.SerializeAsString(), std::nullopt}, std::nullopt);
}

}  // namespace slipway::controller
