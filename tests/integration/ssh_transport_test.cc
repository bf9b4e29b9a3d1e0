// ssh:// against a real sshd with keys of openssh-client.
#include <chrono>
#include <cstdlib>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "clients/transport/dial.h"
#include "clients/transport/ssh_tunnel.h"
#include "common/grpc_server.h"
#include "common/status.h"
#include "executor/process/process_runner.h"
#include "tests/support/ssh_server.h"
#include "tests/support/temporary_folder.h"

#include "slipway/v1/hosts.grpc.pb.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Answers with its name, so that a test sees who it talks to.
class NamedService : public pb::HostService::Service {
 public:
  explicit NamedService(std::string name) : name_(std::move(name)) {}
  grpc::Status GetServerInfo(grpc::ServerContext*, const pb::GetServerInfoRequest*,
                             pb::GetServerInfoResponse* response) override {
    response->set_version(name_);
    return grpc::Status::OK;
  }

 private:
  const std::string name_;
};

class SshTransportTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<SshSession>> Connect(const SshOptions& options) {
    return SshSession::Connect(server_.user(), server_.address(), server_.port(), options);
  }
  std::string Socket(const std::string& name) { return folder_.path() / name; }
  std::unique_ptr<GrpcServer> Serve(NamedService& service, const std::string& socket) {
    GrpcServerOptions options;
    options.socket = socket;
    return StartGrpcServer(options, {&service}).value();
  }
  std::shared_ptr<Link> DialTo(const std::string& socket) {
    DialOptions options;
    options.ssh = server_.Options();
    options.relay_folder = folder_.path();
    return dialer_
        .Dial({Scheme::kSsh, server_.user(), server_.address(), server_.port(), socket}, options)
        .value();
  }
  static grpc::Status Ask(const Link& link, std::string& answer, int seconds = 10) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
    context.set_wait_for_ready(true);
    pb::GetServerInfoResponse response;
    const grpc::Status status =
        pb::HostService::NewStub(link.channel())
            ->GetServerInfo(&context, pb::GetServerInfoRequest(), &response);
    answer = response.version();
    return status;
  }

  testing::TemporaryFolder folder_;
  testing::SshServer server_;
  Dialer dialer_;
};

TEST_F(SshTransportTest, UnknownHostIsRefusedWithItsFingerprintAndNothingIsSent) {
  server_.Start();
  SshOptions options = server_.Options();
  options.pinned_key.clear();
  const absl::Status refused = Connect(options).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_HOST_UNKNOWN");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("known:   none"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr(server_.Fingerprint()));
  server_.AwaitLog("Connection closed by");
  EXPECT_THAT(server_.Log(), Not(HasSubstr("user root")));
  EXPECT_THAT(server_.Log(), Not(HasSubstr("publickey")));
}

TEST_F(SshTransportTest, RogueServerWithAnotherKeyIsRefusedWithBothFingerprintsAndNothingIsSent) {
  const std::string known = server_.Fingerprint();
  const SshOptions pinned = server_.Options();
  SshOptions by_file = pinned;
  by_file.pinned_key.clear();
  ASSERT_TRUE(WriteFileAtomically(by_file.known_hosts,
                                  absl::StrCat("[", server_.address(), "]:", server_.port(), " ",
                                               server_.HostKey(), "\n"))
                  .ok());
  SshOptions by_fingerprint = by_file;
  by_fingerprint.pinned_fingerprint = known;
  server_.NewHostKey();
  server_.Start();
  for (const SshOptions& options : {pinned, by_file, by_fingerprint}) {
    const absl::Status refused = Connect(options).status();
    EXPECT_EQ(DetailOf(refused).reason(), "SSH_HOST_CHANGED") << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(known));
    EXPECT_THAT(std::string(refused.message()), HasSubstr(server_.Fingerprint()));
  }
  server_.AwaitLog("Connection closed by", 3);
  EXPECT_THAT(server_.Log(), Not(HasSubstr("publickey")));
}

TEST_F(SshTransportTest, KeyOfAnotherKindIsAChangedKey) {
  SshOptions options = server_.Options();
  options.pinned_key.clear();
  ASSERT_TRUE(WriteFileAtomically(options.known_hosts,
                                  absl::StrCat("[", server_.address(), "]:", server_.port(), " ",
                                               server_.HostKey(), "\n"))
                  .ok());
  server_.NewHostKey("ecdsa");
  server_.Start();
  EXPECT_EQ(DetailOf(Connect(options).status()).reason(), "SSH_HOST_CHANGED");
}

TEST_F(SshTransportTest, RevokedKeyIsRefused) {
  SshOptions options = server_.Options();
  options.pinned_key.clear();
  const std::string line =
      absl::StrCat("[", server_.address(), "]:", server_.port(), " ", server_.HostKey(), "\n");
  ASSERT_TRUE(WriteFileAtomically(options.known_hosts, absl::StrCat(line, "@revoked ", line)).ok());
  server_.Start();
  const absl::Status refused = Connect(options).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_HOST_CHANGED");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("revoked"));
}

TEST_F(SshTransportTest, KnownHostsAndFingerprintsLetIn) {
  server_.Start();
  SshOptions by_fingerprint = server_.Options();
  by_fingerprint.pinned_key.clear();
  by_fingerprint.pinned_fingerprint = server_.Fingerprint();
  EXPECT_TRUE(Connect(by_fingerprint).ok());
  // Hashed names, as Debian's ssh writes them.
  SshOptions by_file = server_.Options();
  by_file.pinned_key.clear();
  ASSERT_TRUE(WriteFileAtomically(by_file.known_hosts,
                                  absl::StrCat("[", server_.address(), "]:", server_.port(), " ",
                                               server_.HostKey(), "\n"))
                  .ok());
  testing::RunTool({"ssh-keygen", "-q", "-H", "-f", by_file.known_hosts});
  const auto session = Connect(by_file);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->HostKey().Line(), server_.HostKey());
}

TEST_F(SshTransportTest, UnknownHostMayBeAccepted) {
  server_.Start();
  SshOptions options = server_.Options();
  options.pinned_key.clear();
  std::string shown;
  options.accept_unknown = [&](const SshHostKey& key) {
    shown = key.fingerprint;
    return true;
  };
  EXPECT_TRUE(Connect(options).ok());
  EXPECT_EQ(shown, server_.Fingerprint());
}

TEST_F(SshTransportTest, KeysComeFromFilesTextAndAgent) {
  for (const char* type : {"ed25519", "ecdsa", "rsa"}) {
    const auto key = server_.MakeKey(absl::StrCat("key-", type), type);
    server_.Authorize(key.string() + ".pub");
  }
  server_.Start();
  SshOptions options = server_.Options();
  for (const char* type : {"ed25519", "ecdsa", "rsa"}) {
    const auto key = server_.folder() / absl::StrCat("key-", type);
    options.key_text.clear();
    options.key_files = {server_.folder() / "missing", key};
    EXPECT_TRUE(Connect(options).ok()) << type;
    options.key_files.clear();
    options.key_text = ReadFile(key).value();
    EXPECT_TRUE(Connect(options).ok()) << type;
  }
  options.key_text.clear();
  EXPECT_EQ(DetailOf(Connect(options).status()).reason(), "SSH_REFUSED");

  const std::string socket = Socket("agent");
  Cancellation stop;
  std::thread agent([&] {
    executor::Command command;
    command.argv = {"ssh-agent", "-D", "-a", socket};
    command.cancellation = &stop;
    executor::SystemProcessRunner().Run(command).status().IgnoreError();
  });
  while (!std::filesystem::exists(socket)) std::this_thread::yield();
  testing::RunTool({"env", absl::StrCat("SSH_AUTH_SOCK=", socket), "ssh-add", "-q",
                    server_.folder() / "key-ed25519"});
  options.agent = socket;
  EXPECT_TRUE(Connect(options).ok());
  stop.Cancel();
  agent.join();
}

TEST_F(SshTransportTest, EncryptedKeyNeedsSomebodyToAsk) {
  const auto key = server_.MakeKey("locked", "ed25519", "open sesame");
  server_.Authorize(key.string() + ".pub");
  server_.Start();
  SshOptions options = server_.Options();
  options.key_files = {key};
  const absl::Status refused = Connect(options).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_REFUSED");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("encrypted"));
  std::string asked;
  options.passphrase = [&](const std::string& name) {
    asked = name;
    return "open sesame";
  };
  EXPECT_TRUE(Connect(options).ok());
  EXPECT_EQ(asked, key.string());
  options.passphrase = [&](const std::string&) { return "wrong"; };
  const absl::Status wrong = Connect(options).status();
  EXPECT_EQ(DetailOf(wrong).reason(), "SSH_BAD_KEY");
  EXPECT_THAT(std::string(wrong.message()), Not(HasSubstr("wrong")));
}

TEST_F(SshTransportTest, KeyThatTheServerDoesNotKnowIsRefused) {
  server_.Start();
  SshOptions options = server_.Options();
  options.key_files = {server_.MakeKey("stranger")};
  EXPECT_EQ(DetailOf(Connect(options).status()).reason(), "SSH_REFUSED");
}

// Each setting leaves one weak algorithm as the only choice.
class WeakSshTest : public ::testing::TestWithParam<const char*> {};

TEST_P(WeakSshTest, IsRefused) {
  testing::SshServer server({GetParam()});
  server.Start();
  SshOptions options = server.Options();
  const absl::Status refused =
      SshSession::Connect(server.user(), server.address(), server.port(), options).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_WEAK") << refused;
  EXPECT_THAT(server.Log(), Not(HasSubstr("publickey")));
}
INSTANTIATE_TEST_SUITE_P(Algorithms, WeakSshTest,
                         ::testing::Values("KexAlgorithms diffie-hellman-group14-sha1",
                                           "KexAlgorithms diffie-hellman-group1-sha1",
                                           "Ciphers aes128-cbc", "Ciphers 3des-cbc",
                                           "Ciphers aes128-ctr\nMACs hmac-sha1",
                                           "Ciphers aes128-ctr\nMACs hmac-md5"));

TEST(WeakSshHostKeyTest, OldSignaturesAreRefused) {
  testing::SshServer server({"HostKeyAlgorithms ssh-rsa"});
  server.NewHostKey("rsa");
  server.Start();
  SshOptions options = server.Options();
  const absl::Status refused =
      SshSession::Connect(server.user(), server.address(), server.port(), options).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_WEAK") << refused;
}

TEST_F(SshTransportTest, NobodyThereIsSaidSo) {
  const absl::Status refused = Connect(server_.Options()).status();
  EXPECT_EQ(DetailOf(refused).reason(), "SSH_UNREACHABLE");
}

TEST_F(SshTransportTest, CommandsRunWithInputAndExitCode) {
  server_.Start();
  const auto session = Connect(server_.Options());
  ASSERT_TRUE(session.ok()) << session.status();
  const std::string input(3 << 20, 'x');
  const auto counted = (*session)->Run("wc -c; echo oops >&2; exit 3", input);
  ASSERT_TRUE(counted.ok()) << counted.status();
  EXPECT_EQ(counted->output, "3145728\n");
  EXPECT_EQ(counted->error, "oops\n");
  EXPECT_EQ(counted->exit_code, 3);
}

TEST_F(SshTransportTest, ManyChannelsShareOneSession) {
  server_.Start();
  NamedService one("one");
  NamedService two("two");
  const auto first = Serve(one, Socket("1.sock"));
  const auto second = Serve(two, Socket("2.sock"));
  std::vector<std::shared_ptr<Link>> links;
  for (int i = 0; i < 20; ++i) links.push_back(DialTo(Socket(i % 2 == 0 ? "1.sock" : "2.sock")));
  for (size_t i = 0; i < links.size(); ++i) {
    ASSERT_TRUE(links[i]->Prepare().ok());
    std::string answer;
    const grpc::Status status = Ask(*links[i], answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer, i % 2 == 0 ? "one" : "two");
  }
  const std::string log = server_.Log();
  EXPECT_EQ(log.find("Accepted publickey"), log.rfind("Accepted publickey"));
}

TEST_F(SshTransportTest, SocketThatIsNotThereIsNamed) {
  server_.Start();
  const auto link = DialTo(Socket("none.sock"));
  ASSERT_TRUE(link->Prepare().ok());
  grpc::ClientContext context;
  pb::GetServerInfoResponse response;
  const grpc::Status status = pb::HostService::NewStub(link->channel())
                                  ->GetServerInfo(&context, pb::GetServerInfoRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailOf(link->Problem()).reason(), "SSH_NO_SOCKET");
  EXPECT_THAT(std::string(link->Problem().message()), HasSubstr("none.sock"));
}

TEST_F(SshTransportTest, ComesBackByItselfAfterSshdWasKilled) {
  server_.Start();
  NamedService service("back");
  const auto served = Serve(service, Socket("1.sock"));
  const auto link = DialTo(Socket("1.sock"));
  std::string answer;
  ASSERT_TRUE(Ask(*link, answer).ok());
  for (int round = 0; round < 3; ++round) {
    server_.Kill();
    // A call that is under way when the connection breaks fails, as it must: nobody knows what became of it. Later ones wait.
    ASSERT_TRUE(link->channel()->WaitForStateChange(
        GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(10)));
    server_.Start();
    const auto start = std::chrono::steady_clock::now();
    const grpc::Status status = Ask(*link, answer, 15);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  }
  EXPECT_EQ(answer, "back");
}

TEST_F(SshTransportTest, DeadPeerIsFoundInUnderThirtySeconds) {
  server_.Start();
  NamedService service("dead");
  const auto served = Serve(service, Socket("1.sock"));
  const auto link = DialTo(Socket("1.sock"));
  std::string answer;
  ASSERT_TRUE(Ask(*link, answer).ok());
  server_.Freeze();
  const auto start = std::chrono::steady_clock::now();
  grpc::ClientContext context;
  pb::GetServerInfoResponse response;
  const grpc::Status status = pb::HostService::NewStub(link->channel())
                                  ->GetServerInfo(&context, pb::GetServerInfoRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  server_.Thaw();
  ASSERT_TRUE(Ask(*link, answer, 15).ok());
}

// A raw unix server that sends back what it gets, byte for byte.
void Echo(int listener, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    std::vector<char> piece(200'000);
    ssize_t got = 0;
    while ((got = read(fd.get(), piece.data(), piece.size())) > 0) {
      if (!WriteAll(fd.get(), absl::string_view(piece.data(), static_cast<size_t>(got))).ok())
        return;
    }
  }
}

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

TEST_F(SshTransportTest, BytesArriveAsTheyAreWhoeverIsSlow) {
  server_.Start();
  const sockaddr_un there = UnixAddress(Socket("echo"));
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there), 0);
  ASSERT_EQ(listen(listener.get(), 5), 0);
  std::thread echo([&] { Echo(listener.get(), 1); });

  const auto tunnel = SshTunnel::Start({server_.user(), server_.address(), server_.port()},
                                       server_.Options(), folder_.path());
  ASSERT_TRUE(tunnel.ok()) << tunnel.status();
  const sockaddr_un here = UnixAddress((*tunnel)->Relay(Socket("echo")).value());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);

  constexpr size_t kBytes = 64 << 20;
  std::string sent(kBytes, '\0');
  uint32_t state = 1;
  for (char& c : sent) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  std::thread writer([&] { EXPECT_TRUE(WriteAll(fd.get(), sent).ok()); });
  std::string received;
  std::vector<char> piece(100'000);
  while (received.size() < kBytes) {
    const ssize_t got = read(fd.get(), piece.data(), piece.size());
    ASSERT_GT(got, 0);
    received.append(piece.data(), static_cast<size_t>(got));
  }
  writer.join();
  EXPECT_TRUE(received == sent);
  shutdown(fd.get(), SHUT_RDWR);
  echo.join();
}

TEST_F(SshTransportTest, ReaderThatNeverReadsKeepsNobodyElseWaiting) {
  server_.Start();
  const sockaddr_un there = UnixAddress(Socket("echo"));
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there), 0);
  ASSERT_EQ(listen(listener.get(), 5), 0);
  NamedService service("other");
  const auto served = Serve(service, Socket("1.sock"));
  const auto tunnel = SshTunnel::Start({server_.user(), server_.address(), server_.port()},
                                       server_.Options(), folder_.path());
  ASSERT_TRUE(tunnel.ok()) << tunnel.status();
  const sockaddr_un here = UnixAddress((*tunnel)->Relay(Socket("echo")).value());
  const UniqueFd deaf(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(deaf.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
  const UniqueFd talker(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // Until every buffer and window on the way is full and stays so.
  const std::string piece(64 << 10, 'x');
  pollfd room{talker.get(), POLLOUT, 0};
  while (poll(&room, 1, 1000) == 1) {
    ASSERT_GT(send(talker.get(), piece.data(), piece.size(), MSG_DONTWAIT), 0);
  }
  const auto relay = (*tunnel)->Relay(Socket("1.sock"));
  ASSERT_TRUE(relay.ok());
  const Link link(grpc::CreateChannel("unix:" + *relay, grpc::InsecureChannelCredentials()),
                  nullptr);
  for (int i = 0; i < 20; ++i) {
    std::string answer;
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(Ask(link, answer).ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
  }
}

}  // namespace
}  // namespace slipway
