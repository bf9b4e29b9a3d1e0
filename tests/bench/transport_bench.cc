// Each way to dial beside a direct TCP connection, in turns within one run: transport_bench [CALLS [MEBIBYTES]]
//
// Round trips of a unary call, and the throughput of a client stream in chunks of 256 KiB. sshd is a real one with its own key.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include <grpcpp/grpcpp.h>

#include "clients/transport/dial.h"
#include "common/grpc_server.h"
#include "common/tls.h"
#include "tests/support/identities.h"
#include "tests/support/ssh_server.h"
#include "tests/support/temporary_folder.h"

#include "slipway/v1/hosts.grpc.pb.h"
#include "slipway/v1/releases.grpc.pb.h"

namespace slipway {
namespace {

using std::chrono::steady_clock;

class Answering : public pb::HostService::Service {
  grpc::Status GetServerInfo(grpc::ServerContext*, const pb::GetServerInfoRequest*,
                             pb::GetServerInfoResponse* response) override {
    response->set_version("0");
    return grpc::Status::OK;
  }
};

class Swallowing : public pb::ReleaseService::Service {
  grpc::Status UploadBlobs(grpc::ServerContext*, grpc::ServerReader<pb::UploadBlobsRequest>* reader,
                           pb::UploadBlobsResponse* response) override {
    pb::UploadBlobsRequest chunk;
    uint64_t bytes = 0;
    while (reader->Read(&chunk)) bytes += chunk.data().size();
    response->set_received_bytes(bytes);
    return grpc::Status::OK;
  }
};

// Microseconds.
double OneCall(pb::HostService::Stub& stub) {
  grpc::ClientContext context;
  pb::GetServerInfoResponse response;
  const auto start = steady_clock::now();
  if (!stub.GetServerInfo(&context, pb::GetServerInfoRequest(), &response).ok()) std::abort();
  return std::chrono::duration<double, std::micro>(steady_clock::now() - start).count();
}

// MiB a second.
double OneUpload(pb::ReleaseService::Stub& stub, int mebibytes) {
  grpc::ClientContext context;
  pb::UploadBlobsRequest chunk;
  chunk.set_data(std::string(256 << 10, 'x'));
  pb::UploadBlobsResponse response;
  const auto start = steady_clock::now();
  const auto stream = stub.UploadBlobs(&context, &response);
  for (int i = 0; i < mebibytes * 4; ++i) {
    if (!stream->Write(chunk)) std::abort();
  }
  stream->WritesDone();
  if (!stream->Finish().ok()) std::abort();
  return mebibytes / std::chrono::duration<double>(steady_clock::now() - start).count();
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

std::unique_ptr<GrpcServer> Serve(Answering& answering, Swallowing& swallowing,
                                  const GrpcServerOptions& options) {
  return StartGrpcServer(options, {&answering, &swallowing}).value();
}

int Main(int calls, int mebibytes) {
  testing::TemporaryFolder folder;
  const auto authority = Authority::Make(std::chrono::system_clock::now()).value();
  const testing::Identity server_identity(authority, {pb::ROLE_CONTROLLER, "", ""},
                                          std::chrono::hours(1));
  const testing::Identity client_identity(authority, {pb::ROLE_OPERATOR, "", "bench"},
                                          std::chrono::hours(1));
  Answering answering[3];
  Swallowing swallowing[3];
  const int tcp_port = testing::FreePort();
  GrpcServerOptions tcp;
  tcp.listen = absl::StrCat("127.0.0.1:", tcp_port);
  tcp.credentials = grpc::InsecureServerCredentials();
  const auto tcp_server = Serve(answering[0], swallowing[0], tcp);
  GrpcServerOptions local;
  local.socket = folder.path() / "x.sock";
  const auto unix_server = Serve(answering[1], swallowing[1], local);
  const int tls_port = testing::FreePort();
  GrpcServerOptions tls;
  tls.listen = absl::StrCat("127.0.0.1:", tls_port);
  tls.credentials = TlsServer(server_identity.Files(), true);
  const auto tls_server = Serve(answering[2], swallowing[2], tls);
  testing::SshServer sshd;
  sshd.Start();

  DialOptions options;
  options.ssh = sshd.Options();
  options.tls = client_identity.Files();
  options.tls_peer = "spiffe://slipway/controller";
  options.relay_folder = folder.path();
  Dialer dialer;
  const auto ssh_link =
      dialer.Dial({Scheme::kSsh, sshd.user(), sshd.address(), sshd.port(), local.socket}, options)
          .value();
  if (!ssh_link->Prepare().ok()) std::abort();
  const std::vector<std::pair<std::string, std::shared_ptr<grpc::Channel>>> ways = {
      {"tcp", grpc::CreateChannel(tcp.listen, grpc::InsecureChannelCredentials())},
      {"unix", dialer.Dial({Scheme::kUnix, "", "", 0, local.socket}, options).value()->channel()},
      {"ssh", ssh_link->channel()},
      {"tls", client_identity.Dial(tls_port, "spiffe://slipway/controller")}};
  std::map<std::string, std::vector<double>> times;
  std::map<std::string, std::vector<double>> rates;
  for (const auto& [name, channel] : ways) {
    const auto stub = pb::HostService::NewStub(channel);
    for (int i = 0; i < 200; ++i) OneCall(*stub);
  }
  // In turns of a hundred calls.
  for (int i = 0; i < calls; i += 100) {
    for (const auto& [name, channel] : ways) {
      const auto stub = pb::HostService::NewStub(channel);
      for (int k = 0; k < 100; ++k) times[name].push_back(OneCall(*stub));
    }
  }
  for (int round = 0; round < 5; ++round) {
    for (const auto& [name, channel] : ways) {
      rates[name].push_back(OneUpload(*pb::ReleaseService::NewStub(channel), mebibytes));
    }
  }
  const double base = Quantile(times["tcp"], 0.5);
  std::printf("%-6s %10s %10s %8s %14s\n", "way", "p50 us", "p99 us", "ratio", "upload MiB/s");
  for (const auto& [name, channel] : ways) {
    std::printf("%-6s %10.0f %10.0f %8.2f %14.0f\n", name.c_str(), Quantile(times[name], 0.5),
                Quantile(times[name], 0.99), Quantile(times[name], 0.5) / base,
                Quantile(rates[name], 0.5));
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return slipway::Main(argc > 1 ? std::atoi(argv[1]) : 5000, argc > 2 ? std::atoi(argv[2]) : 128);
}
