#include "common/tls.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "common/file.h"
#include "common/status.h"
#include "common/x509.h"

namespace slipway {
namespace {

namespace tls = grpc::experimental;

// Seconds between two looks at the files; the shortest that gRPC knows.
constexpr unsigned int kLookEvery = 1;

std::shared_ptr<tls::CertificateProviderInterface> ProviderOf(const TlsFiles& files) {
  if (files.certificate.empty()) {
    return std::make_shared<tls::FileWatcherCertificateProvider>(files.authority, kLookEvery);
  }
  return std::make_shared<tls::FileWatcherCertificateProvider>(files.key, files.certificate,
                                                               files.authority, kLookEvery);
}

// gRPC's settings know no least version, but a list of cipher suites, which it reads with its first handshake: this one is of TLS
// 1.2 and takes pre-shared keys, of which there are none. Those of TLS 1.3 are another list.
void RequireTls13() {
  static const bool done = [] {
    setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", /*overwrite=*/1);
    return true;
  }();
  static_cast<void>(done);
}

// Host names play no part: a daemon is who its URI says, wherever it runs, until its certificate is revoked.
class UriVerifier : public tls::ExternalCertificateVerifier {
 public:
  UriVerifier(std::string expected, CertificateCheck check)
      : expected_(std::move(expected)), check_(std::move(check)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const auto uris = request->uri_names();
    if (uris.size() != 1 || absl::string_view(uris[0].data(), uris[0].size()) != expected_) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                             absl::StrCat("the peer's certificate is not that of ", expected_));
      return true;
    }
    if (!check_) return true;
    const auto facts =
        ReadCertificate(std::string(request->peer_cert().data(), request->peer_cert().size()));
    const absl::Status good = facts.ok() ? check_(*facts) : facts.status();
    if (!good.ok()) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(good.message()));
    }
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string expected_;
  const CertificateCheck check_;
};

}  // namespace

TlsFiles FilesIn(const std::filesystem::path& folder) {
  const auto current = folder / "current";
  return {current / "authority.pem", current / "certificate.pem", current / "key.pem"};
}

absl::Status PublishCredentials(const std::filesystem::path& folder, const std::string& key_pem,
                                const std::string& certificate_pem,
                                const std::string& authority_pem) {
  SLIPWAY_RETURN_IF_ERROR(CheckCredentials(key_pem, certificate_pem, authority_pem));
  SLIPWAY_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate_pem));
  const std::filesystem::path made = folder / facts.serial;
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(made));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(made / "key.pem", key_pem, 0600));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(made / "certificate.pem", certificate_pem));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(made / "authority.pem", authority_pem));
  std::error_code error;
  const auto previous = std::filesystem::read_symlink(folder / "current", error);
  std::filesystem::remove(folder / "next", error);
  std::filesystem::create_directory_symlink(facts.serial, folder / "next", error);
  if (!error) std::filesystem::rename(folder / "next", folder / "current", error);
  if (error) return absl::UnavailableError(absl::StrCat(folder.string(), ": ", error.message()));
  SLIPWAY_RETURN_IF_ERROR(SyncFolder(folder));
  // The one before stays for a reader that is between two files; older ones go.
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const auto name = entry.path().filename();
    if (entry.is_directory() && !entry.is_symlink() && name != facts.serial && name != previous) {
      std::filesystem::remove_all(entry.path(), error);
    }
  }
  return absl::OkStatus();
}

std::chrono::milliseconds ConnectionAge(std::chrono::nanoseconds certificate_life) {
  // Well within the last third of a life, in which there is a newer certificate already.
  return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(certificate_life / 10),
                    std::chrono::milliseconds(200), std::chrono::milliseconds(3'600'000));
}

std::shared_ptr<grpc::ServerCredentials> TlsServer(const TlsFiles& files, bool required) {
  RequireTls13();
  tls::TlsServerCredentialsOptions options(ProviderOf(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(required
                                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return tls::TlsServerCredentials(options);
}

absl::StatusOr<TlsClients> TlsClients::Watch(const TlsFiles& files) {
  if (files.authority.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "NO_AUTHORITY",
                 "a tls:// address needs the certificate of the controller's authority",
                 "name its file: `--authority FILE`, or SLIPWAY_AUTHORITY");
  }
  if (files.certificate.empty() != files.key.empty()) {
    const bool no_key = files.key.empty();
    return Error(
        absl::StatusCode::kInvalidArgument,
        no_key ? "CERTIFICATE_WITHOUT_KEY" : "KEY_WITHOUT_CERTIFICATE",
        no_key ? absl::StrCat("the certificate ", files.certificate.string(),
                              " is named without its key")
               : absl::StrCat("the key ", files.key.string(), " is named without its certificate"),
        no_key ? "name the key as well: `--key FILE`, or SLIPWAY_KEY"
               : "name the certificate as well: `--certificate FILE`, or "
                 "SLIPWAY_CERTIFICATE");
  }
  RequireTls13();
  return TlsClients(ProviderOf(files), !files.certificate.empty());
}

std::shared_ptr<grpc::ChannelCredentials> TlsClients::For(const std::string& peer,
                                                          CertificateCheck check) const {
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(provider_);
  options.watch_root_certs();
  if (shows_certificate_) options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<UriVerifier>(peer, std::move(check)));
  return tls::TlsCredentials(options);
}

}  // namespace slipway
