#include "controller/fleet/host_registry.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/host_selector.h"
#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "host";
constexpr char kCordonKind[] = "cordon";
constexpr size_t kLongestReason = 200;
constexpr int kPage = 1000;

HostConfig FromRecord(const std::string& name, const pb::Host& host) {
  return {name,
          host.address(),
          {host.labels().begin(), host.labels().end()},
          host.ssh_host_key(),
          /*configured=*/false};
}

}  // namespace

absl::Status HostRegistry::CheckNotConfigured(const std::string& host) {
  for (const HostConfig& known : fleet_.Hosts()) {
    if (known.name != host || !known.configured) continue;
    return Error(absl::StatusCode::kFailedPrecondition, "CONFIGURED_HOST",
                 absl::StrCat("host ", host, " is named in the controller's configuration file"),
                 "change it there", HostName(host));
  }
  return absl::OkStatus();
}

absl::Status HostRegistry::EachRecord(
    const std::string& kind,
    const std::function<void(const std::string& id, const std::string& body)>& take) {
  std::string after;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListRecords(kind, after, kPage));
    for (const auto& [id, body] : records) {
      after = id;
      take(id, body);
    }
    if (static_cast<int>(records.size()) < kPage) return absl::OkStatus();
  }
}

absl::Status HostRegistry::Load() {
  std::map<std::string, pb::Cordon> cordons;
  SLIPWAY_RETURN_IF_ERROR(
      EachRecord(kCordonKind, [&cordons](const std::string& host, const std::string& body) {
        store::v1::CordonRecord record;
        // One that cannot be read leaves the host out, which is the safe side.
        if (!record.ParseFromString(body)) record.mutable_cordon()->set_reason("unreadable");
        cordons[host] = record.cordon();
      }));
  {
    MutexLock lock(mutex_);
    cordons_ = std::move(cordons);
  }
  std::set<std::string> added;
  SLIPWAY_RETURN_IF_ERROR(EachRecord(kKind, [&](const std::string& name, const std::string& body) {
    store::v1::HostRecord record;
    if (!record.ParseFromString(body) || !CheckNotConfigured(name).ok()) return;
    added.insert(name);
    const absl::Status known = fleet_.Put(FromRecord(name, record.host()));
    if (!known.ok()) {
      LogError("a host is left out", {{"host", name}, {"problem", std::string(known.message())}});
    }
  }));
  // Taken away meanwhile, by the controller that leads.
  for (const HostConfig& known : fleet_.Hosts()) {
    if (!known.configured && !added.contains(known.name)) fleet_.Remove(known.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> HostRegistry::Add(const HostConfig& host, const Actor& actor) {
  SLIPWAY_RETURN_IF_ERROR(CheckNotConfigured(host.name));
  const auto known = fleet_.Hosts();
  const auto before = std::find_if(known.begin(), known.end(), [&host](const HostConfig& other) {
    return other.name == host.name;
  });
  if (before != known.end() && *before == host) return false;
  store::v1::HostRecord record;
  record.mutable_host()->set_address(host.address);
  record.mutable_host()->mutable_labels()->insert(host.labels.begin(), host.labels.end());
  record.mutable_host()->set_ssh_host_key(host.ssh_host_key);
  SLIPWAY_RETURN_IF_ERROR(fleet_.Put(host));
  const absl::Status stored =
      store_.PutRecord({kKind, host.name, record.SerializeAsString(), std::nullopt},
                       HistoryDraft{"", actor, "host add", HostName(host.name), host.address});
  if (stored.ok()) return true;
  if (before == known.end()) {
    fleet_.Remove(host.name);
  } else {
    fleet_.Put(*before).IgnoreError();
  }
  return stored;
}

absl::Status HostRegistry::Remove(const std::string& host, const Actor& actor) {
  SLIPWAY_RETURN_IF_ERROR(CheckNotConfigured(host));
  std::string after;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto applications, store_.ListApplications(after, kPage));
    for (const ApplicationRecord& application : applications) {
      after = application.app;
      const auto& hosts = application.spec.hosts();
      if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) continue;
      return Error(absl::StatusCode::kFailedPrecondition, "HOST_IN_USE",
                   absl::StrCat(application.app, " is deployed to host ", host),
                   "take the host out of its slipway.yaml and apply that first", HostName(host));
    }
    if (static_cast<int>(applications.size()) < kPage) break;
  }
  SLIPWAY_RETURN_IF_ERROR(
      store_.TakeRecord(kKind, host, HistoryDraft{"", actor, "host remove", HostName(host), "ok"})
          .status());
  fleet_.Remove(host);
  return absl::OkStatus();
}

absl::Status HostRegistry::Cordon(const std::string& host, const std::string& reason,
                                  const Actor& actor) {
  if (fleet_.Client(host) == nullptr) {
    return Error(absl::StatusCode::kNotFound, "UNKNOWN_HOST",
                 absl::StrCat("the controller knows no host '", host, "'"),
                 "`slipway hosts list` shows those that it knows", HostName(host));
  }
  if (reason.size() > kLongestReason) {
    return Error(absl::StatusCode::kInvalidArgument, "REASON_TOO_LONG",
                 absl::StrCat("reason: has more than ", kLongestReason, " bytes"));
  }
  store::v1::CordonRecord record;
  pb::Cordon& cordon = *record.mutable_cordon();
  cordon.set_reason(reason);
  cordon.set_actor(actor.name);
  *cordon.mutable_time() = ToProto(std::chrono::system_clock::now());
  SLIPWAY_RETURN_IF_ERROR(
      store_.PutRecord({kCordonKind, host, record.SerializeAsString(), std::nullopt},
                       HistoryDraft{"", actor, "host cordon", HostName(host), reason}));
  MutexLock lock(mutex_);
  cordons_[host] = cordon;
  return absl::OkStatus();
}

absl::StatusOr<bool> HostRegistry::Uncordon(const std::string& host, const Actor& actor) {
  const absl::Status taken =
      store_
          .TakeRecord(kCordonKind, host,
                      HistoryDraft{"", actor, "host uncordon", HostName(host), "ok"})
          .status();
  if (!taken.ok() && !absl::IsNotFound(taken)) return taken;
  MutexLock lock(mutex_);
  cordons_.erase(host);
  return taken.ok();
}

std::optional<pb::Cordon> HostRegistry::CordonOf(const std::string& host) {
  MutexLock lock(mutex_);
  const auto found = cordons_.find(host);
  if (found == cordons_.end()) return std::nullopt;
  return found->second;
}

std::vector<Target> HostRegistry::Targets(const pb::ApplicationSpec& spec,
                                          std::chrono::nanoseconds wait) {
  const HostLabels known = fleet_.Labels();
  const std::vector<std::string> canaries = SelectHosts(spec.rollout().canary(), known);
  const std::set<std::string> canary(canaries.begin(), canaries.end());
  const auto deadline = std::chrono::steady_clock::now() + wait;
  std::vector<Target> targets;
  for (std::string& host : SelectHosts(spec.hosts(), known)) {
    const bool cordoned = CordonOf(host).has_value();
    if (wait.count() > 0 && !cordoned) {
      fleet_.AwaitConnected(host, deadline - std::chrono::steady_clock::now());
    }
    targets.push_back({host, canary.contains(host), cordoned});
  }
  return targets;
}

}  // namespace slipway::controller
