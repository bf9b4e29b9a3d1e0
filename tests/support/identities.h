// Keys, certificates and GitHub's tokens, made as a test needs them; real cryptography throughout.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <nlohmann/json.hpp>

#include "common/identity.h"
#include "common/tls.h"
#include "common/x509.h"
#include "tests/support/temporary_folder.h"

namespace slipway::testing {

// A folder of PEM files for one identity.
class Identity {
 public:
  // Signed by the authority; `life` may be negative for one that has ended.
  Identity(const Authority& authority, const Principal& principal, std::chrono::seconds life);
  Identity(const std::string& authority_pem, const std::string& certificate_pem,
           const std::string& key_pem);
  // Without a certificate: only who to believe.
  explicit Identity(const std::string& authority_pem);

  TlsFiles Files() const { return files_; }
  std::string Serial() const;
  // A channel to 127.0.0.1:PORT that takes `peer` for the server.
  std::shared_ptr<grpc::Channel> Dial(int port, const std::string& peer) const;

 private:
  void Write(const std::string& authority_pem, const std::string& certificate_pem,
             const std::string& key_pem);

  TemporaryFolder folder_;
  TlsFiles files_;
};

// An RSA key that signs as GitHub does.
class TokenIssuer {
 public:
  explicit TokenIssuer(std::string key_id, int bits = 2048);
  ~TokenIssuer();

  // {"keys": [...]}
  std::string Jwks() const;
  // PEM of the public half.
  std::string PublicKey() const;
  // With the header's alg set to RS256 unless the header says otherwise; always signed with RS256.
  std::string Sign(const nlohmann::json& payload, const nlohmann::json& header = {}) const;
  // HMAC-SHA256 with the secret, as a confused verifier would accept it.
  static std::string SignHs256(const nlohmann::json& payload, const std::string& key_id,
                               const std::string& secret);
  static std::string Unsigned(const nlohmann::json& payload, const std::string& key_id);

 private:
  struct Key;
  const std::string key_id_;
  std::unique_ptr<Key> key_;
};

// Nobody listens on it a moment ago.
int FreePort();

}  // namespace slipway::testing
