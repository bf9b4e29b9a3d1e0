// What a peer costs a listener before it has shown who it is.
#include "common/grpc_server.h"

#include <arpa/inet.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

namespace hpb = grpc::health::v1;
namespace rpb = grpc::reflection::v1alpha;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Until it holds, at most 10 s.
bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

size_t Entries(const char* folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}
size_t Threads() { return Entries("/proc/self/task"); }

int FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

class GrpcServerTest : public ::testing::Test {
 protected:
  // Callers with the metadata `name` have an identity.
  void Start(const std::function<void(GrpcServerOptions&)>& change = {}) {
    port_ = FreePort();
    options_.listen = absl::StrCat("127.0.0.1:", port_);
    options_.credentials = grpc::InsecureServerCredentials();
    options_.names = {"grpc.health.v1.Health"};
    options_.known_peers = std::make_shared<KnownPeers>();
    options_.admit = [this](const grpc::ServerContextBase& context,
                            const google::protobuf::Message&) {
      if (context.client_metadata().count("name") == 0) {
        return Error(absl::StatusCode::kUnauthenticated, "NO_IDENTITY", "who are you?");
      }
      options_.known_peers->Identified(context.peer());
      return absl::OkStatus();
    };
    if (change) change(options_);
    auto server = StartGrpcServer(options_, {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::shared_ptr<grpc::Channel> Dial() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port_),
                                     grpc::InsecureChannelCredentials(), arguments);
  }
  grpc::Status Check(const std::shared_ptr<grpc::Channel>& channel, const char* service = "") {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    hpb::HealthCheckRequest request;
    request.set_service(service);
    hpb::HealthCheckResponse response;
    return hpb::Health::NewStub(channel)->Check(&context, request, &response);
  }
  using Stream = grpc::ClientReaderWriterInterface<rpb::ServerReflectionRequest,
                                                   rpb::ServerReflectionResponse>;
  std::unique_ptr<Stream> Reflect(const std::shared_ptr<grpc::Channel>& channel, bool with_name) {
    contexts_.push_back(std::make_unique<grpc::ClientContext>());
    if (with_name) contexts_.back()->AddMetadata("name", "ann");
    return rpb::ServerReflection::NewStub(channel)->ServerReflectionInfo(contexts_.back().get());
  }
  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  // Blocks until the other side has closed it.
  static bool Ends(const UniqueFd& fd) {
    timeval patience{10, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char buffer[4096];
    while (true) {
      const ssize_t got = recv(fd.get(), buffer, sizeof(buffer), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return true;
      if (got < 0) return false;
    }
  }

  int port_ = 0;
  GrpcServerOptions options_;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, HealthAnswersEverybody) {
  Start();
  EXPECT_TRUE(Check(Dial()).ok());
  EXPECT_TRUE(Check(Dial(), "grpc.health.v1.Health").ok());
  EXPECT_EQ(Check(Dial(), "another").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcServerTest, ReflectionShowsItsFilesToACallerWithAnIdentity) {
  Start();
  const auto stream = Reflect(Dial(), /*with_name=*/true);
  rpb::ServerReflectionRequest request;
  request.set_list_services("");
  rpb::ServerReflectionResponse response;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.list_services_response().service_size(), 1);
  request.set_file_containing_symbol(response.list_services_response().service(0).name());
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  request.set_file_by_filename("nothing.proto");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcServerTest, ReflectionRefusesACallerWithoutOneAtOnce) {
  Start();
  const auto stream = Reflect(Dial(), /*with_name=*/false);
  // Nothing was asked yet.
  const grpc::Status refused = stream->Finish();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(DetailOf(FromGrpc(refused)).reason(), "NO_IDENTITY");
}

TEST_F(GrpcServerTest, AThousandStreamsTakeNoThreadEach) {
  Start();
  ASSERT_TRUE(Check(Dial()).ok());
  const size_t before = Threads();
  std::vector<std::unique_ptr<Stream>> streams;
  for (int connection = 0; connection < 10; ++connection) {
    const auto channel = Dial();
    for (int i = 0; i < 100; ++i) {
      streams.push_back(Reflect(channel, /*with_name=*/true));
      rpb::ServerReflectionRequest request;
      request.set_list_services("");
      rpb::ServerReflectionResponse response;
      ASSERT_TRUE(streams.back()->Write(request));
      ASSERT_TRUE(streams.back()->Read(&response));
    }
  }
  EXPECT_LT(Threads(), before + 50);
  for (const auto& context : contexts_) context->TryCancel();
}

TEST_F(GrpcServerTest, AStrangerIsSentAwayWhenItsTimeIsOver) {
  Start([](GrpcServerOptions& options) { options.limits.stranger_time = milliseconds(300); });
  const auto ann = Dial();
  const auto stream = Reflect(ann, /*with_name=*/true);
  rpb::ServerReflectionRequest request;
  rpb::ServerReflectionResponse response;
  request.set_list_services("");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(Ends(Connect()));
  // A half-open call keeps its connection no longer.
  const auto stranger = Dial();
  ASSERT_TRUE(Check(stranger).ok());
  EXPECT_TRUE(Eventually([&] { return stranger->GetState(false) != GRPC_CHANNEL_READY; }));
  // The one with an identity has the same connection still.
  ASSERT_TRUE(stream->Write(request));
  EXPECT_TRUE(stream->Read(&response));
  contexts_[0]->TryCancel();
}

TEST_F(GrpcServerTest, AStrangerIsSentAwayWhenItHasSentTooMuch) {
  Start([](GrpcServerOptions& options) {
    options.limits.stranger_bytes = 100'000;
    options.limits.penalty = milliseconds(500);
  });
  const UniqueFd fd = Connect();
  // HTTP/2's preface, an empty SETTINGS frame, and frames of a type that nobody knows for ever.
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  bytes += std::string("\0\0\0\4\0\0\0\0\0", 9);
  uint64_t sent = 0;
  while (true) {
    const ssize_t done = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done <= 0) break;
    sent += static_cast<uint64_t>(done);
    bytes = std::string("\0\x40\0\xfa\0\0\0\0\0", 9) + std::string(0x4000, 'x');
    ASSERT_LT(sent, 4ull << 30);
  }
  EXPECT_GT(sent, 100'000u);
  // For a while its address has no other either.
  EXPECT_TRUE(Ends(Connect()));
  EXPECT_TRUE(Eventually([&] { return Check(Dial()).ok(); }));
}

TEST_F(GrpcServerTest, AnAddressHasOnlySoManyStrangersAndTheirPlacesBecomeFree) {
  Start([](GrpcServerOptions& options) { options.limits.strangers_per_peer = 10; });
  std::vector<UniqueFd> crowd;
  for (int i = 0; i < 30; ++i) crowd.push_back(Connect());
  for (int i = 10; i < 30; ++i) EXPECT_TRUE(Ends(crowd[static_cast<size_t>(i)])) << i;
  crowd.clear();
  EXPECT_TRUE(Eventually([&] { return Check(Dial()).ok(); }));
}

TEST_F(GrpcServerTest, AcceptsAgainAfterTheDescriptorsHadRunOut) {
  Start([](GrpcServerOptions& options) { options.limits.strangers_per_peer = 1'000; });
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::vector<UniqueFd> crowd;
  // Descriptors of this process are also those of the clients.
  rlimit few = before;
  few.rlim_cur = Entries("/proc/self/fd") + 60;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  while (true) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
    if (!fd) break;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    crowd.push_back(std::move(fd));
  }
  // Every one of these waits to be accepted, and there is nothing to accept it with.
  ASSERT_GT(crowd.size(), 10u);
  setrlimit(RLIMIT_NOFILE, &before);
  crowd.clear();
  EXPECT_TRUE(Eventually([&] { return Check(Dial()).ok(); }));
}

TEST_F(GrpcServerTest, AUnixSocketServesAndGoesWithItsServer) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() / "x.sock";
  GrpcServerOptions options;
  options.socket = path;
  options.socket_mode = 0600;
  auto server = StartGrpcServer(options, {});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(DetailOf(StartGrpcServer(options, {}).status()).reason(), "SOCKET_IN_USE");
  const auto channel =
      grpc::CreateChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials());
  EXPECT_TRUE(Check(channel).ok());
  server->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

// By the kernel's word, whatever a client says.
TEST_F(GrpcServerTest, EachUserOfASocketHasServicesOfItsOwn) {
  const testing::TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  GrpcServerOptions options;
  options.socket = folder.path() / "x.sock";
  options.socket_mode = 0666;
  std::mutex mutex;
  std::vector<uid_t> users;
  options.for_user = [&](uid_t user) {
    const std::lock_guard<std::mutex> lock(mutex);
    users.push_back(user);
    return UserServices();
  };
  auto server = StartGrpcServer(options, {});
  ASSERT_TRUE(server.ok()) << server.status();
  for (int i = 0; i < 3; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    EXPECT_TRUE(Check(grpc::CreateCustomChannel("unix:" + options.socket,
                                                grpc::InsecureChannelCredentials(), arguments))
                    .ok());
  }
  const std::lock_guard<std::mutex> lock(mutex);
  EXPECT_THAT(users, ::testing::ElementsAre(getuid()));
}

TEST_F(GrpcServerTest, APortThatIsTakenIsAnErrorWithAHint) {
  Start();
  const absl::Status taken = StartGrpcServer(options_, {}).status();
  EXPECT_EQ(DetailOf(taken).reason(), "CANNOT_LISTEN");
  EXPECT_THAT(std::string(taken.message()), ::testing::HasSubstr("Address already in use"));
}

TEST(KnownPeers, KnowsAnIpv6PeerByGrpcsNameOfIt) {
  KnownPeers peers;
  peers.Opened("ipv6:[::1]:4711");
  EXPECT_FALSE(peers.IsIdentified("ipv6:[::1]:4711"));
  peers.Identified("ipv6:%5B::1%5D:4711");
  EXPECT_TRUE(peers.IsIdentified("ipv6:[::1]:4711"));
  peers.Closed("ipv6:[::1]:4711");
  peers.Identified("ipv6:%5B::1%5D:4711");
  EXPECT_FALSE(peers.IsIdentified("ipv6:[::1]:4711"));
}

}  // namespace
}  // namespace slipway
