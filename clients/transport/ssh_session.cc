#include "clients/transport/ssh_session.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <libssh/libssh.h>

#include "clients/transport/ssh_host_key.h"
#include "common/file.h"
#include "common/status.h"
#include "common/user.h"

namespace slipway {
namespace {

constexpr long kConnectSeconds = 10;

// What we offer, the quickest first. Nothing with SHA-1, CBC, RC4, 3DES, DSA or a MAC over the plain text.
constexpr char kKeyExchanges[] =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-"
    "sha2-nistp521,"
    "diffie-hellman-group16-sha512,diffie-hellman-group18-sha512";
constexpr char kHostKeys[] =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-"
    "256";
constexpr char kCiphers[] =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-"
    "ctr";
constexpr char kMacs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";
constexpr int kLeastRsaBits = 2048;

struct KeyDeleter {
  void operator()(ssh_key key) const { ssh_key_free(key); }
};
using Key = std::unique_ptr<ssh_key_struct, KeyDeleter>;
struct ChannelDeleter {
  void operator()(ssh_channel channel) const { ssh_channel_free(channel); }
};
using Channel = std::unique_ptr<ssh_channel_struct, ChannelDeleter>;

absl::Status Unreachable(const std::string& who, ssh_session session) {
  const std::string text = ssh_get_error(session);
  if (absl::StrContains(text, "kex error") || absl::StrContains(text, "no match for method")) {
    return Error(absl::StatusCode::kFailedPrecondition, "SSH_WEAK",
                 absl::StrCat(who, " offers no algorithm that is strong enough: ", text),
                 "let its sshd offer what OpenSSH offers by default");
  }
  return Error(absl::StatusCode::kUnavailable, "SSH_UNREACHABLE", absl::StrCat(who, ": ", text),
               "check the address, and that an SSH server answers there");
}

bool IsEncrypted(const std::string& text) {
  // PEM says so in a header; the OpenSSH form names its cipher in the first bytes of the base64 text.
  return absl::StrContains(text, "ENCRYPTED") ||
         (absl::StrContains(text, "BEGIN OPENSSH PRIVATE KEY") &&
          !absl::StrContains(text, "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"));
}

// Null with an OK status: an encrypted key, and nobody to ask for its passphrase.
absl::StatusOr<Key> ReadKey(const std::string& name, const std::string& text,
                            const SshOptions& options) {
  std::string passphrase;
  const bool encrypted = IsEncrypted(text);
  if (encrypted) {
    if (!options.passphrase) return Key();
    SLIPWAY_ASSIGN_OR_RETURN(passphrase, options.passphrase(name));
  }
  ssh_key key = nullptr;
  const int read = ssh_pki_import_privkey_base64(
      text.c_str(), encrypted ? passphrase.c_str() : nullptr, nullptr, nullptr, &key);
  explicit_bzero(passphrase.data(), passphrase.size());
  if (read == SSH_OK) return Key(key);
  return Error(absl::StatusCode::kInvalidArgument, "SSH_BAD_KEY",
               absl::StrCat(name, encrypted ? ": cannot be read with this passphrase"
                                            : ": is no private key that can be read"),
               "give a whole private key as ssh-keygen writes it, its last line included");
}

// What the calling thread's options mean for libssh; false when it does not take one.
bool Configure(ssh_session session, const std::string& user, const std::string& host, uint16_t port,
               const SshOptions& options) {
  const bool no_config = false;
  const unsigned int port_number = port;
  const int no_delay = 1;
  const long timeout = kConnectSeconds;
  const auto set = [session](ssh_options_e option, const void* value) {
    return ssh_options_set(session, option, value) == SSH_OK;
  };
  std::string host_keys = kHostKeys;
  if (!options.pinned_key.empty()) {
    host_keys = options.pinned_key.substr(0, options.pinned_key.find(' '));
    if (host_keys == "ssh-rsa") host_keys = "rsa-sha2-512,rsa-sha2-256";
  }
  // Left to itself libssh asks first for the kinds of keys that the known-hosts files name, of kinds that are strong.
  const bool pick = !options.pinned_key.empty() || !options.pinned_fingerprint.empty();
  return set(SSH_OPTIONS_PROCESS_CONFIG, &no_config) && set(SSH_OPTIONS_HOST, host.c_str()) &&
         set(SSH_OPTIONS_PORT, &port_number) && set(SSH_OPTIONS_USER, user.c_str()) &&
         set(SSH_OPTIONS_KNOWNHOSTS, options.known_hosts.c_str()) &&
         set(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, options.system_known_hosts.c_str()) &&
         set(SSH_OPTIONS_KEY_EXCHANGE, kKeyExchanges) &&
         (!pick || set(SSH_OPTIONS_HOSTKEYS, host_keys.c_str())) &&
         set(SSH_OPTIONS_CIPHERS_C_S, kCiphers) && set(SSH_OPTIONS_CIPHERS_S_C, kCiphers) &&
         set(SSH_OPTIONS_HMAC_C_S, kMacs) && set(SSH_OPTIONS_HMAC_S_C, kMacs) &&
         set(SSH_OPTIONS_RSA_MIN_SIZE, &kLeastRsaBits) && set(SSH_OPTIONS_NODELAY, &no_delay) &&
         set(SSH_OPTIONS_TIMEOUT, &timeout) &&
         (options.agent.empty() || set(SSH_OPTIONS_IDENTITY_AGENT, options.agent.c_str()));
}

// The kernel gives a silent peer up after 20 s; what is older than SSH is the better keepalive.
void KeepAlive(int fd) {
  const int on = 1;
  const int idle = 10;
  const int interval = 5;
  const int count = 2;
  const int unanswered = 20'000;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered, sizeof unanswered);
  // libssh leaves it open for children.
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SshSession>> SshSession::Connect(const std::string& user,
                                                                const std::string& host,
                                                                uint16_t port,
                                                                const SshOptions& options) {
  ssh_session raw = ssh_new();
  if (raw == nullptr) return absl::ResourceExhaustedError("no memory for an SSH session");
  std::unique_ptr<SshSession> session(new SshSession(raw));
  const std::string name = user.empty() ? UserName() : user;
  session->who_ = absl::StrCat("ssh://", name, "@", host, ":", port);
  SLIPWAY_RETURN_IF_ERROR(session->Reach(name, host, port, options));
  SLIPWAY_RETURN_IF_ERROR(session->Authenticate(options));
  return session;
}

absl::StatusOr<SshHostKey> SshSession::HostKeyOf(const std::string& host, uint16_t port,
                                                 const SshOptions& options) {
  ssh_session raw = ssh_new();
  if (raw == nullptr) return absl::ResourceExhaustedError("no memory for an SSH session");
  SshSession session(raw);
  session.who_ = absl::StrCat("ssh://", host, ":", port);
  SLIPWAY_RETURN_IF_ERROR(session.Reach(UserName(), host, port, options));
  return session.host_key_;
}

SshSession::~SshSession() {
  if (session_ == nullptr) return;
  ssh_disconnect(session_);
  ssh_free(session_);
}

absl::Status SshSession::Reach(const std::string& user, const std::string& host, uint16_t port,
                               const SshOptions& options) {
  if (!Configure(session_, user, host, port, options)) {
    return absl::InternalError(absl::StrCat("libssh refuses an option: ", ssh_get_error(session_)));
  }
  if (ssh_connect(session_) != SSH_OK) return Unreachable(who_, session_);
  KeepAlive(ssh_get_fd(session_));
  ssh_key offered = nullptr;
  if (ssh_get_server_publickey(session_, &offered) != SSH_OK) return Unreachable(who_, session_);
  const Key owned(offered);
  SLIPWAY_ASSIGN_OR_RETURN(host_key_, DescribeHostKey(offered));
  return CheckHostKey(session_, host, port, host_key_, options);
}

absl::Status SshSession::Authenticate(const SshOptions& options) {
  std::vector<std::string> tried;
  std::vector<std::string> locked;
  // True when it let us in.
  const auto offer = [&](const std::string& name, const std::string& text) -> absl::StatusOr<bool> {
    SLIPWAY_ASSIGN_OR_RETURN(const Key key, ReadKey(name, text, options));
    if (key == nullptr) {
      locked.push_back(name);
      return false;
    }
    tried.push_back(name);
    return ssh_userauth_publickey(session_, nullptr, key.get()) == SSH_AUTH_SUCCESS;
  };
  if (!options.key_text.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool in, offer("the key of the environment", options.key_text));
    if (in) return absl::OkStatus();
  }
  for (const auto& file : options.key_files) {
    auto text = ReadFile(file);
    if (!text.ok()) {
      if (options.keys_must_exist || !absl::IsNotFound(text.status())) {
        return Error(absl::StatusCode::kInvalidArgument, "SSH_BAD_KEY",
                     absl::StrCat(file.string(), ": ", std::string(text.status().message())));
      }
      continue;
    }
    SLIPWAY_ASSIGN_OR_RETURN(const bool in, offer(file.string(), *text));
    explicit_bzero(text->data(), text->size());
    if (in) return absl::OkStatus();
  }
  if (!options.agent.empty()) {
    tried.push_back("the agent's keys");
    if (ssh_userauth_agent(session_, nullptr) == SSH_AUTH_SUCCESS) return absl::OkStatus();
  }
  if (ssh_is_connected(session_) == 0) return Unreachable(who_, session_);
  const std::string also =
      locked.empty() ? ""
                     : absl::StrCat("; encrypted, and no terminal to ask for a passphrase: ",
                                    absl::StrJoin(locked, ", "));
  return Error(
      absl::StatusCode::kPermissionDenied, "SSH_REFUSED",
      absl::StrCat(who_, " takes none of our keys (",
                   tried.empty() ? "there is none" : absl::StrJoin(tried, ", "), ")", also),
      "add the public key to the user's authorized_keys there, or name another key");
}

absl::StatusOr<SshSession::Result> SshSession::Run(const std::string& command,
                                                   absl::string_view input) {
  constexpr size_t kPiece = 32 << 10;
  constexpr size_t kMost = 64 << 10;
  const Channel channel(ssh_channel_new(session_));
  if (channel == nullptr || ssh_channel_open_session(channel.get()) != SSH_OK ||
      ssh_channel_request_exec(channel.get(), command.c_str()) != SSH_OK) {
    return Unreachable(who_, session_);
  }
  while (!input.empty()) {
    const auto size = static_cast<uint32_t>(std::min(input.size(), kPiece));
    const int written = ssh_channel_write(channel.get(), input.data(), size);
    // A command that has ended reads no more; its exit code says why.
    if (written <= 0) break;
    input.remove_prefix(static_cast<size_t>(written));
  }
  ssh_channel_send_eof(channel.get());
  Result result;
  std::vector<char> piece(kPiece);
  for (const int is_error : {0, 1}) {
    std::string& text = is_error == 0 ? result.output : result.error;
    while (true) {
      const int got = ssh_channel_read(channel.get(), piece.data(),
                                       static_cast<uint32_t>(piece.size()), is_error);
      if (got <= 0) break;
      const size_t room = kMost - std::min(kMost, text.size());
      text.append(piece.data(), std::min(room, static_cast<size_t>(got)));
    }
  }
  result.exit_code = ssh_channel_get_exit_status(channel.get());
  if (result.exit_code < 0 && ssh_is_connected(session_) == 0) return Unreachable(who_, session_);
  return result;
}

absl::StatusOr<std::string> MakeSshKey(const std::filesystem::path& file,
                                       const std::string& comment) {
  ssh_key raw = nullptr;
  auto text = ReadFile(file);
  if (text.ok()) {
    SLIPWAY_ASSIGN_OR_RETURN(const Key key, ReadKey(file.string(), *text, {}));
    if (key == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "SSH_BAD_KEY",
                   absl::StrCat(file.string(), " is encrypted"), "name a key without passphrase");
    }
    if (ssh_pki_export_privkey_to_pubkey(key.get(), &raw) != SSH_OK) {
      return absl::InternalError("cannot take the public half of an SSH key");
    }
  } else {
    if (!absl::IsNotFound(text.status())) return text.status();
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &raw) != SSH_OK) {
      return absl::InternalError("cannot make an SSH key");
    }
    const Key owned(raw);
    char* exported = nullptr;
    if (ssh_pki_export_privkey_base64(raw, nullptr, nullptr, nullptr, &exported) != SSH_OK) {
      return absl::InternalError("cannot write an SSH key");
    }
    const std::string pem(exported);
    explicit_bzero(exported, pem.size());
    ssh_string_free_char(exported);
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(file.parent_path()));
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(file, pem, 0600));
    return MakeSshKey(file, comment);
  }
  const Key owned(raw);
  SLIPWAY_ASSIGN_OR_RETURN(const SshHostKey described, DescribeHostKey(raw));
  return absl::StrCat(described.Line(), " ", comment);
}

}  // namespace slipway
