#include "controller/fleet/host_registry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

constexpr char kKind[] = "host";
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

absl::Status HostRegistry::Load() {
  std::string after;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListRecords(kKind, after, kPage));
    for (const auto& [name, body] : records) {
      after = name;
      store::v1::HostRecord record;
      if (!record.ParseFromString(body) || !CheckNotConfigured(name).ok()) continue;
      const absl::Status known = fleet_.Put(FromRecord(name, record.host()));
      if (!known.ok()) {
        LogError("a host is left out", {{"host", name}, {"problem", std::string(known.message())}});
      }
    }
    if (static_cast<int>(records.size()) < kPage) return absl::OkStatus();
  }
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

}  // namespace slipway::controller
