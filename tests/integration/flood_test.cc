// Whoever shouts at the network port keeps nobody else waiting.
#include <algorithm>
#include <atomic>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/grpc_server.h"
#include "executor/process/process_runner.h"
#include "tests/unit/controller/access_fixture.h"

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class FloodTest : public AccessTest {
 protected:
  // The 99th percentile of calls on the operators' socket, as long as the flood lasts and 200 calls at least.
  milliseconds SlowestOfOthers(const std::function<void()>& flood) {
    std::atomic<bool> over{false};
    std::thread flooding([&] {
      flood();
      over = true;
    });
    std::vector<steady_clock::duration> times;
    while (!over || times.size() < 200) {
      const auto start = steady_clock::now();
      const auto identity = Whoami(local_);
      EXPECT_TRUE(identity.ok()) << identity.status();
      if (!identity.ok()) break;
      times.push_back(steady_clock::now() - start);
    }
    flooding.join();
    std::sort(times.begin(), times.end());
    const auto p99 = std::chrono::duration_cast<milliseconds>(times[times.size() * 99 / 100]);
    RecordProperty("p99_ms", static_cast<int>(p99.count()));
    return p99;
  }
  // Of a Python script with the server's port as its argument.
  std::string OutputOf(const char* script) {
    executor::Command command;
    command.argv = {"python3", "-c", script, absl::StrCat(port_)};
    const auto done = executor::SystemProcessRunner().Run(command);
    return done.ok() ? done->standard_output + done->standard_error : done.status().ToString();
  }
};

// In a process of their own, which has descriptors of its own. Half of them begin a handshake and never go on.
constexpr char kSilentCrowd[] = R"(
import resource, socket, sys, time
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
crowd = []
for i in range(10000):
    crowd.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    if i % 2 == 0:
        try:
            crowd[-1].sendall(b"\x16\x03\x01\x02")
        except OSError:
            pass  # It was one too many.
print(len(crowd))
)";

TEST_F(FloodTest, TenThousandConnectionsThatSayNothing) {
  RaiseFileLimit();
  std::string said;
  const auto p99 = SlowestOfOthers([&] { said = OutputOf(kSilentCrowd); });
  EXPECT_EQ(said, "10000\n");
  EXPECT_LT(p99, milliseconds(1000));
  // And one more who means it.
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto identity = Whoami(ann->Dial(port_, kController));
  EXPECT_TRUE(identity.ok()) << identity.status();
}

// Each connection announces a header of 1 GiB and sends it in small frames, for which gRPC 1.51 takes time by the square of what it
// has. No certificate is shown. Exits when the server has ended every connection.
constexpr char kHeaderWithoutEnd[] = R"(
import socket, ssl, sys, threading
def flood():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    frame = lambda kind, flags, stream, body: (
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body)
    try:
        raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
        s = context.wrap_socket(raw)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(4, 1, 0, b""))
        length, rest = b"\x7f", (1 << 30) - 127
        while rest >= 128:
            length += bytes([rest % 128 + 128])
            rest //= 128
        s.sendall(frame(1, 0, 1, b"\x00" + length + bytes([rest])))
        while True:
            s.sendall(frame(9, 0, 1, b"x" * 64))
    except OSError:
        pass
threads = [threading.Thread(target=flood) for i in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("ended")
)";

// Sixteen connections with 100 calls each, of whose message of 1 MiB all but the last byte is sent.
constexpr char kHalfMessages[] = R"(
import socket, ssl, sys, threading
def flood():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    frame = lambda kind, flags, stream, body: (
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body)
    text = lambda name, value: (b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value)
    head = (text(b":method", b"POST") + text(b":scheme", b"https") + text(b":authority", b"x")
            + text(b":path", b"/slipway.v1.AccessService/ExchangeToken")
            + text(b"te", b"trailers") + text(b"content-type", b"application/grpc"))
    try:
        raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
        s = context.wrap_socket(raw)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(4, 1, 0, b""))
        for stream in range(1, 200, 2):
            s.sendall(frame(1, 4, stream, head) + frame(0, 0, stream, b"\0\0\x10\0\0"))
        while True:
            for stream in range(1, 200, 2):
                s.sendall(frame(0, 0, stream, b"x" * 512))
    except OSError:
        pass
threads = [threading.Thread(target=flood) for i in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("ended")
)";

TEST_F(FloodTest, HeadersWithoutEndFromPeersWithoutACertificate) {
  server_.reset();
  config_.mutable_tls()->clear_allow_clients_without_certificate();
  Start();
  std::string said;
  const auto p99 = SlowestOfOthers([&] { said = OutputOf(kHeaderWithoutEnd); });
  EXPECT_EQ(said, "ended\n");
  EXPECT_LT(p99, milliseconds(1000));
}

// Of a thread for each, until there were none left for anybody.
TEST_F(FloodTest, ReflectionStreamsFromPeersWithoutAnIdentity) {
  const auto p99 = SlowestOfOthers([&] {
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    for (int connection = 0; connection < 10; ++connection) {
      const Identity nobody(ServersAuthority().certificate_pem());
      const auto channel = nobody.Dial(port_, kController);
      const auto stub = grpc::reflection::v1alpha::ServerReflection::NewStub(channel);
      for (int i = 0; i < 200; ++i) {
        contexts.push_back(std::make_unique<grpc::ClientContext>());
        const auto stream = stub->ServerReflectionInfo(contexts.back().get());
        EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
      }
    }
  });
  EXPECT_LT(p99, milliseconds(1000));
}

// Messages that never end, of calls whose caller nobody knows: gRPC keeps what has come of each.
TEST_F(FloodTest, HalfMessagesFromPeersWithoutAnIdentity) {
  const auto p99 = SlowestOfOthers([&] {
    executor::Command command;
    command.argv = {"python3", "-c", kHalfMessages, absl::StrCat(port_)};
    const auto done = executor::SystemProcessRunner().Run(command);
    EXPECT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->standard_output, "ended\n") << done->standard_error;
  });
  EXPECT_LT(p99, milliseconds(1000));
}

TEST_F(FloodTest, CallsThatAreResetAsSoonAsTheyAreMade) {
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto channel = ann->Dial(port_, kController);
  ASSERT_TRUE(Whoami(channel).ok());
  const auto p99 = SlowestOfOthers([&] {
    const auto stub = pb::DeploymentService::NewStub(channel);
    for (int i = 0; i < 20'000; ++i) {
      grpc::ClientContext context;
      pb::WatchDeploymentRequest request;
      request.set_name("applications/none/deployments/-");
      const auto stream = stub->WatchDeployment(&context, request);
      context.TryCancel();
      pb::WatchDeploymentResponse event;
      while (stream->Read(&event)) {
      }
      stream->Finish();
    }
  });
  EXPECT_LT(p99, milliseconds(1000));
}

TEST_F(FloodTest, MessagesOfAHundredMebibytes) {
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto channel = ann->Dial(port_, kController);
  const auto p99 = SlowestOfOthers([&] {
    const auto stub = pb::ReleaseService::NewStub(channel);
    pb::UploadBlobsRequest chunk;
    chunk.set_data(std::string(100 << 20, 'x'));
    for (int i = 0; i < 10; ++i) {
      grpc::ClientContext context;
      pb::UploadBlobsResponse response;
      const auto stream = stub->UploadBlobs(&context, &response);
      stream->Write(chunk);
      stream->WritesDone();
      EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    }
  });
  EXPECT_LT(p99, milliseconds(1000));
}

TEST_F(FloodTest, WrongTokensByTheThousand) {
  const auto p99 = SlowestOfOthers([&] {
    for (int i = 0; i < 5'000; ++i) {
      const auto refused = Whoami(open_, "slipway_0000000000000000_" + std::string(43, 'A'));
      EXPECT_EQ(DetailOf(refused.status()).reason(), "BAD_TOKEN");
    }
  });
  EXPECT_LT(p99, milliseconds(1000));
}

}  // namespace
}  // namespace slipway::controller
