#include "common/x509.h"

#include <ctime>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/openssl_handle.h"
#include "common/status.h"

namespace slipway {
namespace {

using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Free<X509_free>>;
using Csr = std::unique_ptr<X509_REQ, Free<X509_REQ_free>>;
using Crl = std::unique_ptr<X509_CRL, Free<X509_CRL_free>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;

constexpr char kControllerDnsName[] = "slipway-controller";
constexpr auto kAuthorityLife = std::chrono::hours(24 * 3650);
// For clocks that are a little apart.
constexpr auto kLeeway = std::chrono::minutes(1);

absl::Status Failed(absl::string_view what) {
  char text[160] = "";
  if (const unsigned long code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(what, *text == '\0' ? "" : ": ", text));
}

Bio Reader(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

template <typename Write>
absl::StatusOr<std::string> Written(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) return Failed("cannot write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

// Nobody is asked for a passphrase, least of all on a terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<PrivateKey> ReadKey(const std::string& pem) {
  PrivateKey key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, &NoPassphrase, nullptr));
  if (key == nullptr) return Failed("cannot read a private key");
  return key;
}

absl::StatusOr<Cert> ReadX509(const std::string& pem) {
  Cert certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, &NoPassphrase, nullptr));
  if (certificate == nullptr) return Failed("cannot read a certificate");
  return certificate;
}

std::string Hex(const ASN1_INTEGER* number) {
  const Number big(ASN1_INTEGER_to_BN(number, nullptr));
  char* text = BN_bn2hex(big.get());
  std::string hex = absl::AsciiStrToLower(text);
  OPENSSL_free(text);
  return hex;
}

bool SetSerial(ASN1_INTEGER* serial) {
  const Number random(BN_new());
  // 127 bits: positive, and never the same twice.
  return BN_rand(random.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(random.get(), serial) != nullptr;
}

bool SetTime(ASN1_TIME* field, WallTime time) {
  return ASN1_TIME_set(field, std::chrono::system_clock::to_time_t(time)) != nullptr;
}

WallTime TimeOf(const ASN1_TIME* field) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(field, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

bool AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetName(X509_NAME* name, const std::string& text) {
  // A common name has 64 bytes at most; the identity stands in the URI.
  const std::string part = text.substr(0, 64);
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(part.data()),
                                    static_cast<int>(part.size()), -1, 0) == 1;
}

// The one URI among the subject's alternative names; empty when there are none or several.
std::string OnlyUri(X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string uri;
  int count = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    ++count;
    uri.assign(
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier)),
        static_cast<size_t>(ASN1_STRING_length(name->d.uniformResourceIdentifier)));
  }
  GENERAL_NAMES_free(names);
  return count == 1 ? uri : "";
}

bool IsStrong(EVP_PKEY* key) {
  switch (EVP_PKEY_base_id(key)) {
    case EVP_PKEY_EC:
      return EVP_PKEY_bits(key) >= 256;
    case EVP_PKEY_ED25519:
      return true;
    case EVP_PKEY_RSA:
      return EVP_PKEY_bits(key) >= 2048;
    default:
      return false;
  }
}

absl::StatusOr<std::string> SignedCertificate(EVP_PKEY* subject_key, EVP_PKEY* issuer_key,
                                              X509* issuer, const std::string& name,
                                              const std::string& other_names, WallTime from,
                                              WallTime to) {
  const Cert certificate(X509_new());
  X509* x = certificate.get();
  X509* signer = issuer == nullptr ? x : issuer;
  const bool is_authority = issuer == nullptr;
  bool good = x != nullptr && X509_set_version(x, 2) == 1 && SetSerial(X509_get_serialNumber(x)) &&
              SetTime(X509_getm_notBefore(x), from) && SetTime(X509_getm_notAfter(x), to) &&
              SetName(X509_get_subject_name(x), name) &&
              X509_set_issuer_name(x, X509_get_subject_name(signer)) == 1 &&
              X509_set_pubkey(x, subject_key) == 1 &&
              AddExtension(x, signer, NID_basic_constraints,
                           is_authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
              AddExtension(x, signer, NID_key_usage,
                           is_authority ? "critical,keyCertSign,cRLSign,digitalSignature"
                                        : "critical,digitalSignature") &&
              AddExtension(x, signer, NID_subject_key_identifier, "hash");
  if (good && !is_authority) {
    good = AddExtension(x, signer, NID_authority_key_identifier, "keyid") &&
           AddExtension(x, signer, NID_ext_key_usage, "serverAuth,clientAuth") &&
           AddExtension(x, signer, NID_subject_alt_name, other_names);
  }
  if (!good || X509_sign(x, issuer_key, EVP_sha256()) <= 0)
    return Failed("cannot sign a certificate");
  return Written([x](BIO* bio) { return PEM_write_bio_X509(bio, x); });
}

}  // namespace

absl::StatusOr<std::string> MakePrivateKey() {
  const PrivateKey key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Failed("cannot make a key");
  return Written([&key](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem) {
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem));
  const Csr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), 0) != 1 ||
      !SetName(X509_REQ_get_subject_name(request.get()), "slipway") ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return Failed("cannot make a certificate request");
  }
  return Written([&request](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); });
}

absl::StatusOr<CertificateFacts> ReadCertificate(const std::string& certificate_pem) {
  SLIPWAY_ASSIGN_OR_RETURN(const Cert certificate, ReadX509(certificate_pem));
  CertificateFacts facts;
  SLIPWAY_ASSIGN_OR_RETURN(facts.principal, ParseIdentityUri(OnlyUri(certificate.get())));
  facts.serial = Hex(X509_get0_serialNumber(certificate.get()));
  facts.not_before = TimeOf(X509_get0_notBefore(certificate.get()));
  facts.not_after = TimeOf(X509_get0_notAfter(certificate.get()));
  return facts;
}

absl::Status CheckCredentials(const std::string& key_pem, const std::string& certificate_pem,
                              const std::string& authority_pem) {
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem));
  SLIPWAY_ASSIGN_OR_RETURN(const Cert certificate, ReadX509(certificate_pem));
  SLIPWAY_ASSIGN_OR_RETURN(const Cert authority, ReadX509(authority_pem));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Failed("the private key is not the certificate's");
  }
  const std::unique_ptr<X509_STORE, Free<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  if (store == nullptr || context == nullptr ||
      X509_STORE_add_cert(store.get(), authority.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1) {
    return Failed("cannot check a certificate");
  }
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat("the certificate is not good: ",
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
}

absl::StatusOr<Authority> Authority::Make(WallTime now) {
  SLIPWAY_ASSIGN_OR_RETURN(std::string key_pem, MakePrivateKey());
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem));
  SLIPWAY_ASSIGN_OR_RETURN(std::string certificate,
                           SignedCertificate(key.get(), key.get(), nullptr, "Slipway authority", "",
                                             now - kLeeway, now + kAuthorityLife));
  return Authority(std::move(key_pem), std::move(certificate));
}

absl::StatusOr<Authority> Authority::Read(std::string key_pem, std::string certificate_pem) {
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem));
  SLIPWAY_ASSIGN_OR_RETURN(const Cert certificate, ReadX509(certificate_pem));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Failed("the authority's key is not its certificate's");
  }
  return Authority(std::move(key_pem), std::move(certificate_pem));
}

absl::StatusOr<std::string> Authority::Sign(const std::string& request_pem,
                                            const Principal& principal, WallTime now,
                                            std::chrono::seconds life) const {
  const Csr request(
      PEM_read_bio_X509_REQ(Reader(request_pem).get(), nullptr, &NoPassphrase, nullptr));
  EVP_PKEY* subject_key = request == nullptr ? nullptr : X509_REQ_get0_pubkey(request.get());
  if (subject_key == nullptr || X509_REQ_verify(request.get(), subject_key) != 1 ||
      !IsStrong(subject_key)) {
    ERR_clear_error();
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_CERTIFICATE_REQUEST",
        "the certificate request is not one, is not signed by its own key, or its key is weak",
        "use ECDSA from P-256, Ed25519, or RSA from 2048 bits");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem_));
  SLIPWAY_ASSIGN_OR_RETURN(const Cert issuer, ReadX509(certificate_pem_));
  const std::string uri = IdentityUri(principal);
  std::string names = absl::StrCat("URI:", uri);
  // For clients that check no URI: gRPC in other languages, curl.
  if (principal.role == pb::ROLE_CONTROLLER) absl::StrAppend(&names, ",DNS:", kControllerDnsName);
  return SignedCertificate(subject_key, key.get(), issuer.get(), uri, names, now - kLeeway,
                           now + life);
}

absl::StatusOr<std::string> Authority::SignRevocations(const std::vector<std::string>& serials,
                                                       WallTime now) const {
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem_));
  SLIPWAY_ASSIGN_OR_RETURN(const Cert issuer, ReadX509(certificate_pem_));
  const Crl list(X509_CRL_new());
  const std::unique_ptr<ASN1_TIME, Free<ASN1_TIME_free>> issued(ASN1_TIME_new());
  bool good = list != nullptr && SetTime(issued.get(), now) &&
              X509_CRL_set_version(list.get(), 1) == 1 &&
              X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.get())) == 1 &&
              X509_CRL_set1_lastUpdate(list.get(), issued.get()) == 1;
  for (const std::string& serial : serials) {
    BIGNUM* raw = nullptr;
    good = good && BN_hex2bn(&raw, serial.c_str()) != 0;
    const Number number(raw);
    X509_REVOKED* entry = X509_REVOKED_new();
    const std::unique_ptr<ASN1_INTEGER, Free<ASN1_INTEGER_free>> as_integer(
        raw == nullptr ? nullptr : BN_to_ASN1_INTEGER(raw, nullptr));
    good = good && entry != nullptr &&
           X509_REVOKED_set_serialNumber(entry, as_integer.get()) == 1 &&
           X509_REVOKED_set_revocationDate(entry, issued.get()) == 1 &&
           X509_CRL_add0_revoked(list.get(), entry) == 1;
  }
  if (!good || X509_CRL_sort(list.get()) != 1 ||
      X509_CRL_sign(list.get(), key.get(), EVP_sha256()) <= 0) {
    return Failed("cannot sign the list of revoked certificates");
  }
  return Written([&list](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list.get()); });
}

absl::StatusOr<std::string> Authority::SignBytes(const std::string& bytes) const {
  SLIPWAY_ASSIGN_OR_RETURN(const PrivateKey key, ReadKey(key_pem_));
  const Digest digest(EVP_MD_CTX_new());
  size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(digest.get(), nullptr, &size, data, bytes.size()) != 1) {
    return Failed("cannot sign");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data,
                     bytes.size()) != 1) {
    return Failed("cannot sign");
  }
  signature.resize(size);
  return signature;
}

absl::Status VerifyBytes(const std::string& authority_pem, const std::string& bytes,
                         const std::string& signature) {
  SLIPWAY_ASSIGN_OR_RETURN(const Cert authority, ReadX509(authority_pem));
  const Digest digest(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr,
                           X509_get0_pubkey(authority.get())) == 1 &&
      EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                       bytes.size()) == 1) {
    return absl::OkStatus();
  }
  ERR_clear_error();
  return absl::UnauthenticatedError("the signature is not the authority's");
}

absl::StatusOr<std::vector<std::string>> ReadRevocations(const std::string& authority_pem,
                                                         const std::string& list_pem) {
  SLIPWAY_ASSIGN_OR_RETURN(const Cert authority, ReadX509(authority_pem));
  const Crl list(PEM_read_bio_X509_CRL(Reader(list_pem).get(), nullptr, &NoPassphrase, nullptr));
  if (list == nullptr || X509_CRL_verify(list.get(), X509_get0_pubkey(authority.get())) != 1) {
    return Failed("the list of revoked certificates is not the authority's");
  }
  std::vector<std::string> serials;
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(list.get());
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    serials.push_back(Hex(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i))));
  }
  return serials;
}

}  // namespace slipway
