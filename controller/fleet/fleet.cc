#include "controller/fleet/fleet.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/identity.h"
#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"
#include "common/thread.h"

namespace slipway::controller {
namespace {

bool SameDifferences(const xpb::ApplicationState& a, const xpb::ApplicationState& b) {
  return std::equal(a.differences().begin(), a.differences().end(), b.differences().begin(),
                    b.differences().end(), [](const auto& one, const auto& other) {
                      return one.SerializeAsString() == other.SerializeAsString();
                    });
}

}  // namespace

void Fleet::Member::Stop() {
  stop.Cancel();
  client->Shutdown();
  if (watcher.joinable()) watcher.join();
}

absl::StatusOr<std::shared_ptr<Link>> Fleet::DialTo(const HostConfig& host) {
  SLIPWAY_ASSIGN_OR_RETURN(const Address address, ParseAddress(host.address, Peer::kExecutor));
  DialOptions dial = dial_;
  dial.ssh.pinned_key = host.ssh_host_key;
  dial.tls_peer = IdentityUri({pb::ROLE_EXECUTOR, "", host.name});
  return dialer_.Dial(address, dial);
}

void Fleet::ShowNewCertificate() {
  std::vector<std::shared_ptr<Member>> members;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, member] : members_) members.push_back(member);
  }
  for (const auto& member : members) {
    if (!absl::StartsWith(member->config.address, "tls://")) continue;
    // What was dialled once can be dialled again.
    const auto link = DialTo(member->config);
    if (link.ok()) member->client->UseChannel((*link)->channel());
  }
}

absl::Status Fleet::Put(const HostConfig& host) {
  if (!IsHostName(host.name)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_HOST_NAME",
                 absl::StrCat("'", host.name, "' is no host name"),
                 "use lower-case letters, digits, dots and dashes");
  }
  {
    MutexLock lock(mutex_);
    const auto known = members_.find(host.name);
    if (known != members_.end() && known->second->config == host) return absl::OkStatus();
  }
  return Install(host, /*only_known=*/false);
}

void Fleet::Reconnect(const std::string& host) {
  HostConfig config;
  {
    MutexLock lock(mutex_);
    const auto known = members_.find(host);
    if (known == members_.end()) return;
    config = known->second->config;
  }
  if (!absl::StartsWith(config.address, "tls://")) return;
  // What was dialled once can be dialled again.
  Install(config, /*only_known=*/true).IgnoreError();
}

absl::Status Fleet::Install(const HostConfig& host, bool only_known) {
  auto link = DialTo(host);
  if (!link.ok()) return Annotate(link.status(), absl::StrCat("host ", host.name));
  auto member = std::make_shared<Member>();
  member->config = host;
  member->link = *std::move(link);
  member->client = std::make_shared<GrpcExecutorClient>(member->link->channel(), files_);
  std::shared_ptr<Member> previous;
  {
    MutexLock lock(mutex_);
    if (shut_down_) return absl::CancelledError("the controller is stopping");
    // Removed meanwhile.
    if (only_known && !members_.contains(host.name)) return absl::OkStatus();
    SLIPWAY_ASSIGN_OR_RETURN(member->watcher,
                             StartThread([this, member = member.get()] { KeepWatching(*member); }));
    previous = std::exchange(members_[host.name], member);
  }
  if (previous != nullptr) previous->Stop();
  return absl::OkStatus();
}

bool Fleet::Remove(const std::string& host) {
  std::shared_ptr<Member> gone;
  {
    MutexLock lock(mutex_);
    const auto found = members_.find(host);
    if (found == members_.end()) return false;
    gone = std::move(found->second);
    members_.erase(found);
  }
  gone->Stop();
  return true;
}

Fleet::~Fleet() { Shutdown(); }

void Fleet::Shutdown() {
  std::vector<std::shared_ptr<Member>> members;
  {
    MutexLock lock(mutex_);
    shut_down_ = true;
    for (const auto& [name, member] : members_) members.push_back(member);
  }
  // All at once, then one after another.
  for (const auto& member : members) {
    member->stop.Cancel();
    member->client->Shutdown();
  }
  for (const auto& member : members) member->Stop();
}

std::vector<HostConfig> Fleet::Hosts() {
  MutexLock lock(mutex_);
  std::vector<HostConfig> hosts;
  for (const auto& [name, member] : members_) hosts.push_back(member->config);
  return hosts;
}

std::vector<std::string> Fleet::HostNames() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, member] : members_) names.push_back(name);
  return names;
}

HostLabels Fleet::Labels() {
  MutexLock lock(mutex_);
  HostLabels labels;
  for (const auto& [name, member] : members_) labels[name] = member->config.labels;
  return labels;
}

std::shared_ptr<GrpcExecutorClient> Fleet::Client(const std::string& host) {
  MutexLock lock(mutex_);
  const auto found = members_.find(host);
  return found == members_.end() ? nullptr : found->second->client;
}

HostObservation Fleet::Observe(const std::string& host) {
  MutexLock lock(mutex_);
  const auto found = members_.find(host);
  if (found != members_.end()) return found->second->seen;
  HostObservation unknown;
  unknown.problem = "the controller knows no such host";
  return unknown;
}

HostObservation Fleet::AwaitConnected(const std::string& host, std::chrono::nanoseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (true) {
    HostObservation seen = Observe(host);
    if (seen.connected) return seen;
    MutexLock lock(mutex_);
    const auto found = members_.find(host);
    if (found == members_.end() || shut_down_) return seen;
    if (found->second->seen.connected) continue;
    if (!seen_changed_.WaitUntil(mutex_, deadline)) return found->second->seen;
  }
}

HostObservation Fleet::Compare(const std::string& host, const std::string& app) {
  const auto client = Client(host);
  if (client == nullptr) return Observe(host);
  const auto answer = client->Inspect(app, /*compare=*/true);
  HostObservation seen = Observe(host);
  if (!answer.ok()) {
    seen.connected = false;
    seen.problem = std::string(answer.status().message());
    return seen;
  }
  for (const xpb::ApplicationState& state : answer->applications()) {
    seen.applications[state.app()] = state;
  }
  return seen;
}

// One stream, from its beginning to its end.
absl::Status Fleet::WatchOnce(Member& member, bool& heard) {
  SLIPWAY_RETURN_IF_ERROR(member.link->Prepare());
  const absl::Status ended = member.client->Watch([&](const xpb::WatchResponse& response) {
    heard = true;
    Take(member, response);
  });
  if (ended.ok()) return absl::UnavailableError("the executor ended the connection");
  // What the channel goes through knows better than gRPC, which saw a socket close.
  const absl::Status problem = member.link->Problem();
  return problem.ok() ? ended : problem;
}

void Fleet::KeepWatching(Member& member) {
  constexpr std::chrono::milliseconds kFirst{100};
  constexpr std::chrono::milliseconds kLongest{2000};
  auto pause = kFirst;
  while (!member.stop.IsCancelled()) {
    bool heard = false;
    const absl::Status ended = WatchOnce(member, heard);
    bool was_connected = false;
    {
      MutexLock lock(mutex_);
      was_connected = std::exchange(member.seen.connected, false);
      member.seen.problem = std::string(ended.message());
    }
    if (was_connected && !member.stop.IsCancelled()) {
      LogWarning("a host is not connected any more",
                 {{"host", member.config.name}, {"problem", std::string(ended.message())}});
    }
    if (heard) pause = kFirst;
    if (member.stop.WaitFor(pause)) return;
    pause = std::min(pause * 2, kLongest);
  }
}

void Fleet::Take(Member& member, const xpb::WatchResponse& response) {
  bool is_new = false;
  bool differs = false;
  {
    MutexLock lock(mutex_);
    HostObservation& seen = member.seen;
    is_new = !std::exchange(seen.connected, true);
    if (is_new) seen_changed_.NotifyAll();
    seen.problem.clear();
    seen.last_seen = clock_.WallNow();
    if (response.has_host()) seen.info = response.host();
    for (const xpb::ApplicationState& application : response.applications()) {
      xpb::ApplicationState& known = seen.applications[application.app()];
      differs |= !SameDifferences(known, application);
      known = application;
    }
  }
  if (is_new) {
    LogInfo("a host is connected",
            {{"host", member.config.name}, {"version", response.host().version()}});
    if (events_.connected) events_.connected(member.config.name);
  }
  if (differs && events_.differs) events_.differs(member.config.name);
  if (response.events().empty()) return;
  if (!events_.leads || events_.leads()) {
    Record(member, {response.events().begin(), response.events().end()});
    return;
  }
  // The leader hears them too. What it could not record any more is told by the host as long as nobody has acknowledged it.
  constexpr size_t kMost = 1000;
  MutexLock lock(mutex_);
  std::vector<xpb::LocalEvent>& untold = member.untold;
  untold.insert(untold.end(), response.events().begin(), response.events().end());
  if (untold.size() > kMost) untold.erase(untold.begin(), untold.end() - kMost);
}

void Fleet::RecordUntold() {
  std::vector<std::pair<std::shared_ptr<Member>, std::vector<xpb::LocalEvent>>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, member] : members_) {
      if (!member->untold.empty()) all.emplace_back(member, std::exchange(member->untold, {}));
    }
  }
  for (const auto& [member, events] : all) Record(*member, events);
}

void Fleet::Record(Member& member, const std::vector<xpb::LocalEvent>& events) {
  const auto recorded = store_.RecordLocalEvents(member.config.name, events);
  // Not acknowledged, it is told again with the next stream.
  if (!recorded.ok()) {
    LogError("cannot record what a host did",
             {{"host", member.config.name}, {"error", std::string(recorded.status().message())}});
    return;
  }
  member.client->Acknowledge(*recorded).IgnoreError();
}

}  // namespace slipway::controller
