#include "clients/transport/ssh_host_key.h"

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <libssh/libssh.h>

#include "common/file.h"
#include "common/status.h"

namespace slipway {
namespace {

std::string Named(const std::string& host, uint16_t port) {
  return port == 22 ? host : absl::StrCat("[", host, "]:", port);
}

// The keys that a file knows for a host. libssh tells whether the offered one is among them, not which ones are.
std::vector<std::string> KnownFingerprints(const std::filesystem::path& file,
                                           const std::string& name) {
  std::vector<std::string> found;
  const auto text = ReadFile(file);
  if (!text.ok()) return found;
  for (const absl::string_view part : absl::StrSplit(*text, '\n')) {
    const std::string line(part);
    if (line.empty() || line[0] == '#' || line[0] == '@') continue;
    ssh_knownhosts_entry* entry = nullptr;
    if (ssh_known_hosts_parse_line(name.c_str(), line.c_str(), &entry) != SSH_OK) continue;
    const auto key = DescribeHostKey(entry->publickey);
    if (key.ok()) found.push_back(absl::StrCat(key->type, " ", key->fingerprint));
    ssh_knownhosts_entry_free(entry);
  }
  return found;
}

// known_hosts may say of a key that it must not be trusted any more; libssh does not read such lines.
bool IsRevoked(const std::filesystem::path& file, const std::string& name,
               const SshHostKey& offered) {
  const auto text = ReadFile(file);
  if (!text.ok()) return false;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::StartsWith(line, "@revoked ")) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 4 || words[3] != offered.key) continue;
    ssh_knownhosts_entry* entry = nullptr;
    const std::string rest = absl::StrJoin(words.begin() + 1, words.end(), " ");
    if (words[1] == "*") return true;
    if (ssh_known_hosts_parse_line(name.c_str(), rest.c_str(), &entry) != SSH_OK) continue;
    ssh_knownhosts_entry_free(entry);
    return true;
  }
  return false;
}

absl::Status Changed(const std::string& name, const std::string& expected,
                     const SshHostKey& offered) {
  return Error(absl::StatusCode::kFailedPrecondition, "SSH_HOST_CHANGED",
               absl::StrCat("the SSH host key of ", name,
                            " is not the known one; nothing was sent\n  known:   ", expected,
                            "\n  offered: ", offered.type, " ", offered.fingerprint),
               "somebody may be in between. If the host was set up anew, compare the fingerprint "
               "on its console "
               "(`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) and replace the known key");
}

absl::Status Unknown(const std::string& name, const SshHostKey& offered) {
  return Error(
      absl::StatusCode::kFailedPrecondition, "SSH_HOST_UNKNOWN",
      absl::StrCat("the SSH host key of ", name,
                   " is not known; nothing was sent\n  known:   none\n  offered: ", offered.type,
                   " ", offered.fingerprint),
      absl::StrCat("compare the fingerprint on its console and pin it: `--ssh-fingerprint ",
                   offered.fingerprint, "`, or add the host to the known_hosts file"));
}

absl::Status CheckPinned(const std::string& name, const SshHostKey& offered,
                         const SshOptions& options) {
  if (!options.pinned_key.empty() && options.pinned_key != offered.Line()) {
    std::string expected = options.pinned_key;
    ssh_key key = nullptr;
    const std::vector<std::string> words = absl::StrSplit(options.pinned_key, ' ');
    if (words.size() == 2 &&
        ssh_pki_import_pubkey_base64(words[1].c_str(), ssh_key_type_from_name(words[0].c_str()),
                                     &key) == SSH_OK) {
      const auto known = DescribeHostKey(key);
      if (known.ok()) expected = absl::StrCat(known->type, " ", known->fingerprint);
      ssh_key_free(key);
    }
    return Changed(name, expected, offered);
  }
  if (options.pinned_key.empty() && options.pinned_fingerprint != offered.fingerprint) {
    return Changed(name, options.pinned_fingerprint, offered);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SshHostKey> DescribeHostKey(const ssh_key_struct* key) {
  // libssh's signatures are not const, its reading of keys is.
  const auto mutable_key = const_cast<ssh_key>(key);
  SshHostKey described;
  unsigned char* hash = nullptr;
  size_t length = 0;
  char* base64 = nullptr;
  if (ssh_get_publickey_hash(mutable_key, SSH_PUBLICKEY_HASH_SHA256, &hash, &length) != SSH_OK ||
      ssh_pki_export_pubkey_base64(mutable_key, &base64) != SSH_OK) {
    if (hash != nullptr) ssh_clean_pubkey_hash(&hash);
    return absl::InternalError("a host key that libssh cannot describe");
  }
  char* fingerprint = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, length);
  described.fingerprint = fingerprint == nullptr ? "" : fingerprint;
  described.key = base64;
  const char* ecdsa = ssh_pki_key_ecdsa_name(mutable_key);
  const bool is_ecdsa = ecdsa != nullptr && absl::string_view(ecdsa) != "unknown";
  described.type = is_ecdsa ? ecdsa : ssh_key_type_to_char(ssh_key_type(mutable_key));
  ssh_string_free_char(fingerprint);
  ssh_string_free_char(base64);
  ssh_clean_pubkey_hash(&hash);
  return described;
}

absl::Status CheckHostKey(ssh_session_struct* session, const std::string& host, uint16_t port,
                          const SshHostKey& offered, const SshOptions& options) {
  const std::string name = Named(host, port);
  if (!options.pinned_key.empty() || !options.pinned_fingerprint.empty()) {
    return CheckPinned(name, offered, options);
  }
  for (const auto& file : {options.known_hosts, options.system_known_hosts}) {
    if (IsRevoked(file, name, offered)) {
      return Changed(name, absl::StrCat("revoked in ", file.string()), offered);
    }
  }
  switch (ssh_session_is_known_server(session)) {
    case SSH_KNOWN_HOSTS_OK:
      return absl::OkStatus();
    case SSH_KNOWN_HOSTS_UNKNOWN:
    case SSH_KNOWN_HOSTS_NOT_FOUND:
      if (options.accept_unknown && options.accept_unknown(offered)) return absl::OkStatus();
      return Unknown(name, offered);
    // OTHER: a key of another type is known. The host has it, or should have, so this one is as good as changed.
    case SSH_KNOWN_HOSTS_OTHER:
    case SSH_KNOWN_HOSTS_CHANGED: {
      std::vector<std::string> known = KnownFingerprints(options.known_hosts, name);
      for (std::string& more : KnownFingerprints(options.system_known_hosts, name)) {
        known.push_back(std::move(more));
      }
      return Changed(name, absl::StrJoin(known, ", "), offered);
    }
    default:
      return Annotate(Unknown(name, offered), ssh_get_error(session));
  }
}

}  // namespace slipway
