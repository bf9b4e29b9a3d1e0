#include "tests/support/identities.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "clients/transport/dial.h"
#include "common/file.h"

namespace slipway::testing {
namespace {

std::string Encoded(const std::string& bytes) { return absl::WebSafeBase64Escape(bytes); }

std::string SignedText(const nlohmann::json& payload, const nlohmann::json& header) {
  return absl::StrCat(Encoded(header.dump()), ".", Encoded(payload.dump()));
}

}  // namespace

Identity::Identity(const Authority& authority, const Principal& principal,
                   std::chrono::seconds life) {
  const std::string key = MakePrivateKey().value();
  // One that has ended began before it ended.
  const WallTime now = std::chrono::system_clock::now();
  const WallTime from = life.count() < 0 ? now + life - std::chrono::hours(1) : now;
  Write(authority.certificate_pem(),
        authority
            .Sign(MakeCertificateRequest(key).value(), principal, from,
                  life.count() < 0 ? std::chrono::seconds(3600) : life)
            .value(),
        key);
}

Identity::Identity(const std::string& authority_pem, const std::string& certificate_pem,
                   const std::string& key_pem) {
  Write(authority_pem, certificate_pem, key_pem);
}

void Identity::Write(const std::string& authority_pem, const std::string& certificate_pem,
                     const std::string& key_pem) {
  files_ = {folder_.path() / "authority.pem", folder_.path() / "certificate.pem",
            folder_.path() / "key.pem"};
  WriteFileAtomically(files_.key, key_pem, 0600).IgnoreError();
  WriteFileAtomically(files_.certificate, certificate_pem).IgnoreError();
  WriteFileAtomically(files_.authority, authority_pem).IgnoreError();
}

Identity::Identity(const std::string& authority_pem) {
  files_.authority = folder_.path() / "authority.pem";
  WriteFileAtomically(files_.authority, authority_pem).IgnoreError();
}

std::string Identity::Serial() const {
  return ReadCertificate(ReadFile(files_.certificate).value()).value().serial;
}

std::shared_ptr<grpc::Channel> Identity::Dial(int port, const std::string& peer) const {
  DialOptions options;
  options.tls = files_;
  options.tls_peer = peer;
  return Dialer()
      .Dial({Scheme::kTls, "", "127.0.0.1", static_cast<uint16_t>(port), ""}, options)
      .value()
      ->channel();
}

struct TokenIssuer::Key {
  EVP_PKEY* key = nullptr;
  ~Key() { EVP_PKEY_free(key); }
};

TokenIssuer::TokenIssuer(std::string key_id, int bits)
    : key_id_(std::move(key_id)), key_(std::make_unique<Key>()) {
  key_->key = EVP_RSA_gen(static_cast<unsigned>(bits));
}
TokenIssuer::~TokenIssuer() = default;

std::string TokenIssuer::Jwks() const {
  const auto number = [this](const char* name) {
    BIGNUM* big = nullptr;
    EVP_PKEY_get_bn_param(key_->key, name, &big);
    std::string bytes(static_cast<size_t>(BN_num_bytes(big)), '\0');
    BN_bn2bin(big, reinterpret_cast<unsigned char*>(bytes.data()));
    BN_free(big);
    return Encoded(bytes);
  };
  return nlohmann::json{{"keys",
                         {{{"kty", "RSA"},
                           {"alg", "RS256"},
                           {"use", "sig"},
                           {"kid", key_id_},
                           {"n", number(OSSL_PKEY_PARAM_RSA_N)},
                           {"e", number(OSSL_PKEY_PARAM_RSA_E)}}}}}
      .dump();
}

std::string TokenIssuer::PublicKey() const {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(bio, key_->key);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string TokenIssuer::Sign(const nlohmann::json& payload, const nlohmann::json& more) const {
  nlohmann::json header = {{"alg", "RS256"}, {"typ", "JWT"}, {"kid", key_id_}};
  if (more.is_object()) header.update(more);
  const std::string text = SignedText(payload, header);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_->key);
  EVP_DigestSign(context, nullptr, &size, bytes, text.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                 text.size());
  EVP_MD_CTX_free(context);
  return absl::StrCat(text, ".", Encoded(signature));
}

std::string TokenIssuer::SignHs256(const nlohmann::json& payload, const std::string& key_id,
                                   const std::string& secret) {
  const std::string text = SignedText(payload, {{"alg", "HS256"}, {"typ", "JWT"}, {"kid", key_id}});
  unsigned char mac[32];
  unsigned int size = sizeof mac;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  return absl::StrCat(text, ".", Encoded(std::string(reinterpret_cast<char*>(mac), size)));
}

std::string TokenIssuer::Unsigned(const nlohmann::json& payload, const std::string& key_id) {
  return absl::StrCat(SignedText(payload, {{"alg", "none"}, {"kid", key_id}}), ".", Encoded("x"));
}

int FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace slipway::testing
