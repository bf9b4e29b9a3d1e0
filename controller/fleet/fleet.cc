#include "controller/fleet/fleet.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "clients/transport/dial.h"
#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/fleet/grpc_executor_client.h"

namespace slipway::controller {

absl::StatusOr<std::unique_ptr<Fleet>> Fleet::Start(const std::vector<HostConfig>& hosts,
                                                    Store& store, BlobStore& blobs, Clock& clock) {
  std::unique_ptr<Fleet> fleet(new Fleet(store, clock));
  fleet->configs_ = hosts;
  std::sort(fleet->configs_.begin(), fleet->configs_.end(),
            [](const HostConfig& a, const HostConfig& b) { return a.name < b.name; });
  for (const HostConfig& host : fleet->configs_) {
    auto channel = Dial(host.address);
    if (!channel.ok()) return Annotate(channel.status(), absl::StrCat("host ", host.name));
    if (!IsHostName(host.name) || fleet->members_.contains(host.name)) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_HOST_NAME",
                   absl::StrCat("host '", host.name, "' is not a host name, or comes twice"));
    }
    auto member = std::make_unique<Member>();
    member->config = host;
    member->client = std::make_shared<GrpcExecutorClient>(*channel, blobs);
    fleet->members_[host.name] = std::move(member);
  }
  for (auto& [name, member] : fleet->members_) {
    member->watcher =
        std::thread([fleet = fleet.get(), one = member.get()] { fleet->KeepWatching(*one); });
  }
  return fleet;
}

Fleet::~Fleet() {
  Shutdown();
  for (auto& [name, member] : members_) {
    if (member->watcher.joinable()) member->watcher.join();
  }
}

void Fleet::Shutdown() {
  stop_.Cancel();
  for (auto& [name, member] : members_) member->client->Shutdown();
}

std::vector<std::string> Fleet::HostNames() const {
  std::vector<std::string> names;
  for (const HostConfig& host : configs_) names.push_back(host.name);
  return names;
}

std::shared_ptr<ExecutorClient> Fleet::Client(const std::string& host) {
  const auto found = members_.find(host);
  return found == members_.end() ? nullptr : found->second->client;
}

HostObservation Fleet::Observe(const std::string& host) {
  const auto found = members_.find(host);
  if (found == members_.end()) {
    HostObservation unknown;
    unknown.problem = "not in the controller's configuration";
    return unknown;
  }
  MutexLock lock(mutex_);
  return found->second->seen;
}

void Fleet::KeepWatching(Member& member) {
  constexpr std::chrono::milliseconds kFirst{100};
  constexpr std::chrono::milliseconds kLongest{2000};
  auto pause = kFirst;
  while (!stop_.IsCancelled()) {
    bool heard = false;
    const absl::Status ended = member.client->Watch([&](const xpb::WatchResponse& response) {
      heard = true;
      Take(member, response);
    });
    bool was_connected = false;
    {
      MutexLock lock(mutex_);
      was_connected = std::exchange(member.seen.connected, false);
      member.seen.problem =
          ended.ok() ? "the executor ended the connection" : std::string(ended.message());
    }
    if (was_connected && !stop_.IsCancelled()) {
      LogWarning("a host is not connected any more",
                 {{"host", member.config.name}, {"problem", std::string(ended.message())}});
    }
    if (heard) pause = kFirst;
    if (stop_.WaitFor(pause)) return;
    pause = std::min(pause * 2, kLongest);
  }
}

void Fleet::Take(Member& member, const xpb::WatchResponse& response) {
  bool is_new = false;
  {
    MutexLock lock(mutex_);
    HostObservation& seen = member.seen;
    is_new = !std::exchange(seen.connected, true);
    seen.problem.clear();
    seen.last_seen = clock_.WallNow();
    if (response.has_host()) seen.info = response.host();
    for (const xpb::ApplicationState& application : response.applications()) {
      seen.applications[application.app()] = application;
    }
  }
  if (is_new) {
    LogInfo("a host is connected",
            {{"host", member.config.name}, {"version", response.host().version()}});
  }
  if (response.events().empty()) return;
  const auto recorded = store_.RecordLocalEvents(
      member.config.name, {response.events().begin(), response.events().end()});
  // Not acknowledged, it is told again with the next stream.
  if (!recorded.ok()) {
    LogError("cannot record what a host did",
             {{"host", member.config.name}, {"error", std::string(recorded.status().message())}});
    return;
  }
  member.client->Acknowledge(*recorded).IgnoreError();
}

}  // namespace slipway::controller
