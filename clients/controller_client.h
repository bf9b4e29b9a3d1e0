// The controller as a client sees it: StatusOr calls over the generated stubs. Every call has a
// deadline; UNAVAILABLE is tried again with growing pauses where the call carries a request id or
// changes nothing. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <grpcpp/client_context.h>

#include "common/manifest.h"
#include "common/protos.h"

#include "slipway/v1/access.grpc.pb.h"
#include "slipway/v1/applications.grpc.pb.h"
#include "slipway/v1/deployments.grpc.pb.h"
#include "slipway/v1/hosts.grpc.pb.h"
#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::client {

struct UploadStats {
  uint64_t files_sent = 0;
  uint64_t bytes_sent = 0;
};

// As whom the calls are made.
struct Caller {
  // A name for the history where nothing proves another one; empty for the user of this process.
  std::string name;
  // Empty for none; as CleanSecret() returns it.
  std::string token;
  // What is said of the deployed ref and of the workflow run; it counts where nothing better is known.
  std::string ref;
  std::string origin;
  // An operator's word that the application's ref policy and checks do not matter this time.
  bool override_policy = false;
};

// One of the controllers that share a state.
struct Endpoint {
  // As it was named, and as the others may name it.
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  // Brings up what the channel goes through, and says what is wrong with it; may be null.
  std::function<absl::Status()> prepare;
};

// With several endpoints it goes on with the next one when one cannot be reached, and with the one that leads when another
// says so, for up to 45 seconds: longer than a takeover lasts.
class ControllerClient {
 public:
  explicit ControllerClient(std::shared_ptr<grpc::Channel> channel, Caller caller = {});
  // At least one.
  explicit ControllerClient(std::vector<Endpoint> endpoints, Caller caller = {});

  // One unary call of any service, as Call(&pb::AccessService::Stub::ListTokens, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    Response response;
    const absl::Status status = Retry([&](grpc::ClientContext& context) {
      return (StubOf(static_cast<Stub*>(nullptr)).*method)(&context, request, &response);
    });
    if (!status.ok()) return status;
    return response;
  }

  // All pages of a list as one answer.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallForAll(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                   const Request&, Response*),
                                      Request request) {
    Response all;
    request.set_page_size(500);
    do {
      const absl::StatusOr<Response> page = Call(method, request);
      if (!page.ok()) return page.status();
      all.MergeFrom(*page);
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    all.clear_next_page_token();
    return all;
  }

  absl::StatusOr<pb::ApplyApplicationResponse> Apply(const pb::ApplyApplicationRequest& request);
  absl::StatusOr<pb::Application> GetApplication(const std::string& app);
  absl::StatusOr<pb::ListApplicationsResponse> ListApplications();
  absl::StatusOr<pb::SetEnvironmentResponse> SetEnvironment(
      const pb::SetEnvironmentRequest& request);
  absl::StatusOr<pb::ListEnvironmentResponse> ListEnvironment(const std::string& app);

  // Sends what the controller lacks of the folder that `manifest` describes.
  absl::StatusOr<UploadStats> Upload(const std::filesystem::path& folder,
                                     const pb::Manifest& manifest, std::string* manifest_digest);
  absl::StatusOr<pb::Release> CreateRelease(const pb::CreateReleaseRequest& request);
  absl::StatusOr<pb::Release> GetRelease(const std::string& name);

  absl::StatusOr<pb::CreateDeploymentResponse> CreateDeployment(
      const pb::CreateDeploymentRequest& request);
  absl::StatusOr<pb::RollbackApplicationResponse> Rollback(
      const pb::RollbackApplicationRequest& request);
  absl::StatusOr<pb::Deployment> GetDeployment(const std::string& name);
  absl::StatusOr<pb::ListDeploymentsResponse> ListDeployments(
      const pb::ListDeploymentsRequest& request);
  absl::StatusOr<pb::ListHistoryResponse> ListHistory(const pb::ListHistoryRequest& request);
  absl::StatusOr<pb::Deployment> Cancel(const std::string& name);
  absl::StatusOr<pb::Deployment> Resume(const std::string& name);
  // Calls `sink` with each event after `after`, across lost connections, until the deployment has
  // ended or the sink answers false. With `attend` the deployment is the caller's own, see
  // WatchDeploymentRequest.
  absl::Status Watch(const std::string& name, uint64_t after, bool attend,
                     const std::function<bool(const pb::Event&)>& sink);
  absl::Status StreamLogs(const pb::StreamLogsRequest& request,
                          const std::function<bool(const pb::StreamLogsResponse&)>& sink);

  absl::StatusOr<pb::ListHostsResponse> ListHosts();
  absl::StatusOr<pb::CheckHostResponse> CheckHost(const pb::CheckHostRequest& request);
  absl::StatusOr<pb::GetServerInfoResponse> GetServerInfo();

 private:
  absl::StatusOr<std::vector<std::string>> FindMissing(const std::string& manifest_digest);
  void Prepare(grpc::ClientContext& context, std::optional<std::chrono::nanoseconds> timeout) const;
  absl::Status Retry(const std::function<grpc::Status(grpc::ClientContext&)>& call) const;

  // One way after a failure: tells whether to try again, when it has waited and chosen where.
  class Persistence;

  struct Stubs {
    explicit Stubs(const std::shared_ptr<grpc::Channel>& channel);

    std::unique_ptr<pb::AccessService::Stub> access;
    std::unique_ptr<pb::ApplicationService::Stub> applications;
    std::unique_ptr<pb::ReleaseService::Stub> releases;
    std::unique_ptr<pb::DeploymentService::Stub> deployments;
    std::unique_ptr<pb::HostService::Stub> hosts;
  };
  const Stubs& Present() const { return stubs_[present_]; }
  pb::AccessService::Stub& StubOf(pb::AccessService::Stub*) { return *Present().access; }
  pb::ApplicationService::Stub& StubOf(pb::ApplicationService::Stub*) {
    return *Present().applications;
  }
  pb::ReleaseService::Stub& StubOf(pb::ReleaseService::Stub*) { return *Present().releases; }
  pb::DeploymentService::Stub& StubOf(pb::DeploymentService::Stub*) {
    return *Present().deployments;
  }
  pb::HostService::Stub& StubOf(pb::HostService::Stub*) { return *Present().hosts; }

  const Caller caller_;
  const std::vector<Endpoint> endpoints_;
  // Of each endpoint.
  std::vector<Stubs> stubs_;
  // Index of the one that is asked.
  mutable std::atomic<size_t> present_ = 0;
};

// A request id: 128 random bits in hexadecimal.
std::string NewRequestId();

}  // namespace slipway::client
