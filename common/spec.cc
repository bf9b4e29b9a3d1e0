#include "common/spec.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/host_selector.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

absl::Status Wrong(absl::string_view key, absl::string_view what, absl::string_view cure = "") {
  return Error(absl::StatusCode::kInvalidArgument, "INVALID_SPEC", absl::StrCat(key, ": ", what),
               cure, key);
}

bool IsRelativePath(absl::string_view path) {
  return !path.empty() && path.front() != '/' && !absl::StrContains(path, "..") &&
         path.find('\0') == absl::string_view::npos && path.size() <= 512;
}

// A path that may stand in an nginx file as it is.
bool IsPlainAbsolutePath(absl::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > 512 || absl::StrContains(path, "..")) {
    return false;
  }
  for (const char c : path) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        !absl::StrContains("/._-", absl::string_view(&c, 1))) {
      return false;
    }
  }
  return true;
}

bool IsPort(uint32_t port) { return port >= 1 && port <= 65535; }

absl::Status CheckCompose(const pb::ComposeSpec& compose) {
  if (!IsRelativePath(compose.file()))
    return Wrong("compose.file", "must be a path in the release");
  if (!IsRelativePath(compose.env_file())) {
    return Wrong("compose.env_file", "must be a path in the release");
  }
  if (compose.slotted().empty()) {
    return Wrong("compose.slotted", "name the services that get one copy per slot",
                 "for example `slotted: [api]`");
  }
  std::set<std::string> seen;
  for (const auto* list : {&compose.slotted(), &compose.workers()}) {
    for (const std::string& service : *list) {
      const std::string key = list == &compose.slotted() ? "compose.slotted" : "compose.workers";
      if (!IsServiceName(service))
        return Wrong(key, absl::StrCat("'", service, "' is no service name"));
      if (!seen.insert(service).second) {
        return Wrong(key, absl::StrCat("'", service, "' is named twice"));
      }
    }
  }
  for (const std::string& path : compose.state()) {
    if (!IsRelativePath(path) || path == ".")
      return Wrong("compose.state", absl::StrCat("'", path, "' must be a path in the release"));
  }
  for (const std::string& service : compose.jobs()) {
    if (!IsServiceName(service) || seen.contains(service)) {
      return Wrong("compose.jobs", absl::StrCat("'", service,
                                                "' must be a service that is neither "
                                                "slotted nor a worker"));
    }
  }
  if (!IsServiceName(compose.project())) return Wrong("compose.project", "is no project name");
  return absl::OkStatus();
}

absl::Status CheckHealth(const pb::HealthSpec& health) {
  switch (health.probe_case()) {
    case pb::HealthSpec::kHttp:
      if (!absl::StartsWith(health.http().path(), "/")) {
        return Wrong("health.http.path", "must start with /");
      }
      if (health.http().status() < 100 || health.http().status() > 599) {
        return Wrong("health.http.status", "must be an HTTP status, 100 to 599");
      }
      break;
    case pb::HealthSpec::kCommand:
      if (health.command().command().empty() || !IsServiceName(health.command().service())) {
        return Wrong("health.command", "needs `service` and `command`");
      }
      break;
    case pb::HealthSpec::kTcp:
    case pb::HealthSpec::kDocker:
      break;
    case pb::HealthSpec::PROBE_NOT_SET:
      return Wrong("health", "name one probe: http, tcp, command or docker",
                   "for example `health: {http: {path: /health}}`");
  }
  if (FromProto(health.timeout()) < seconds(1))
    return Wrong("health.timeout", "must be at least 1s");
  if (FromProto(health.interval()) < milliseconds(10)) {
    return Wrong("health.interval", "must be at least 10ms");
  }
  if (FromProto(health.probe_timeout()) < milliseconds(10)) {
    return Wrong("health.probe_timeout", "must be at least 10ms");
  }
  if (FromProto(health.stable()) < seconds(0))
    return Wrong("health.stable", "must not be negative");
  if (health.successes() > 1000) return Wrong("health.successes", "must be at most 1000");
  return absl::OkStatus();
}

absl::Status CheckFrontDoor(absl::string_view key, const pb::FrontDoor& door) {
  if (absl::StartsWith(door.url(), "http://") || absl::StartsWith(door.url(), "https://")) {
    return absl::OkStatus();
  }
  return Wrong(absl::StrCat(key, ".url"), "must start with http:// or https://");
}

absl::Status CheckNginx(const pb::NginxSpec& nginx) {
  if (nginx.upstream().empty()) {
    return Wrong("nginx.upstream", "name the upstream that the site's proxy_pass uses");
  }
  for (const char c : nginx.upstream()) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && c != '.') {
      return Wrong("nginx.upstream", "may have letters, digits, `_`, `-` and `.`");
    }
  }
  if (!IsPlainAbsolutePath(nginx.file()) || !absl::EndsWith(nginx.file(), ".conf")) {
    return Wrong("nginx.file",
                 "must be an absolute path of letters, digits and ._-/ ending in .conf");
  }
  if (!nginx.marker().empty() && !IsPlainAbsolutePath(nginx.marker())) {
    return Wrong("nginx.marker", "must be an absolute path of letters, digits and ._-/");
  }
  if (nginx.keepalive() > 10'000) return Wrong("nginx.keepalive", "must be at most 10000");
  if (nginx.proof_ports_size() != 0 &&
      (nginx.proof_ports_size() != 2 || !IsPort(nginx.proof_ports(0)) ||
       !IsPort(nginx.proof_ports(1)) || nginx.proof_ports(0) == nginx.proof_ports(1))) {
    return Wrong("nginx.proof_ports", "must be two different ports, or none");
  }
  if (nginx.has_front_door()) return CheckFrontDoor("nginx.front_door", nginx.front_door());
  return absl::OkStatus();
}

absl::Status CheckSite(const pb::ApplicationSpec& spec) {
  const std::pair<const char*, bool> others[] = {
      {"compose", spec.has_compose()}, {"slots", spec.has_slots()},
      {"health", spec.has_health()},   {"nginx", spec.has_nginx()},
      {"hooks", spec.has_hooks()},     {"port_variable", !spec.port_variable().empty()}};
  for (const auto& [key, given] : others) {
    if (given) return Wrong(key, "says nothing of a site", "leave it out, or leave `site` out");
  }
  if (spec.rollout().has_bake() || spec.rollout().has_drain()) {
    return Wrong("rollout", "a site has no bake and no drain", "leave them out");
  }
  if (!IsRelativePath(spec.site().root())) {
    return Wrong("site.root", "must be a folder beside slipway.yaml");
  }
  if (!absl::EndsWith(spec.site().front_door().url(), "/")) {
    return Wrong("site.front_door.url", "must be the address of the published root, ending in /",
                 "for example `front_door: {url: \"http://127.0.0.1/\", host: docs.example.org}`");
  }
  return CheckFrontDoor("site.front_door", spec.site().front_door());
}

absl::Status CheckHooks(const pb::HooksSpec& hooks) {
  std::set<std::string> seen;
  for (const auto* list : {&hooks.before_switch(), &hooks.after_switch()}) {
    for (const pb::Hook& hook : *list) {
      if (!IsServiceName(hook.name()) || !seen.insert(hook.name()).second) {
        return Wrong("hooks", absl::StrCat("each needs a name of its own: '", hook.name(), "'"));
      }
      if (!IsServiceName(hook.service()) || hook.command().empty()) {
        return Wrong("hooks", absl::StrCat(hook.name(), " needs `service` and `command`"));
      }
      if (FromProto(hook.timeout()) <= seconds(0)) {
        return Wrong("hooks", absl::StrCat(hook.name(), " needs a timeout above 0s"));
      }
    }
  }
  return absl::OkStatus();
}

// A number, or a percentage: `10`, `25%`.
struct Batch {
  uint32_t number = 0;
  bool percent = false;
};

absl::StatusOr<Batch> ParseBatch(absl::string_view text) {
  Batch batch;
  batch.percent = absl::ConsumeSuffix(&text, "%");
  const uint32_t most = batch.percent ? 100 : 100'000;
  if (!absl::SimpleAtoi(text, &batch.number) || batch.number < 1 || batch.number > most) {
    return Wrong("rollout.batch", "must be a number of hosts, or a percentage from 1% to 100%",
                 "for example `batch: 25%`");
  }
  return batch;
}

absl::Status CheckRollout(const pb::ApplicationSpec& spec) {
  const pb::RolloutSpec& rollout = spec.rollout();
  SLIPWAY_RETURN_IF_ERROR(ParseBatch(rollout.batch()).status());
  const std::set<std::string> hosts(spec.hosts().begin(), spec.hosts().end());
  // What a selector means is known to the controller alone.
  const bool named = std::none_of(hosts.begin(), hosts.end(), IsHostSelector);
  std::set<std::string> seen;
  for (const std::string& host : rollout.canary()) {
    const bool good =
        IsHostSelector(host) || (IsHostName(host) && (!named || hosts.contains(host)));
    if (!good || !seen.insert(host).second) {
      return Wrong("rollout.canary",
                   absl::StrCat("'", host, "' is not among `hosts`, or stands twice"));
    }
  }
  return absl::OkStatus();
}

void ApplyComposeDefaults(pb::ApplicationSpec& spec) {
  pb::ComposeSpec& compose = *spec.mutable_compose();
  if (compose.file().empty()) compose.set_file("docker-compose.yml");
  if (compose.env_file().empty()) compose.set_env_file(".env");
  if (compose.project().empty()) compose.set_project(spec.app());

  pb::HealthSpec& health = *spec.mutable_health();
  if (!health.has_timeout()) *health.mutable_timeout() = ToProto(seconds(120));
  if (!health.has_interval()) *health.mutable_interval() = ToProto(seconds(1));
  if (!health.has_probe_timeout()) *health.mutable_probe_timeout() = ToProto(seconds(5));
  if (!health.has_stable()) *health.mutable_stable() = ToProto(seconds(0));
  if (health.successes() == 0) health.set_successes(3);
  if (health.has_http()) {
    if (health.http().path().empty()) health.mutable_http()->set_path("/health");
    if (health.http().status() == 0) health.mutable_http()->set_status(200);
  }

  pb::NginxSpec& nginx = *spec.mutable_nginx();
  if (nginx.file().empty() && !nginx.upstream().empty()) {
    nginx.set_file(absl::StrCat("/etc/nginx/conf.d/", nginx.upstream(), ".conf"));
  }
  if (nginx.keepalive() == 0) nginx.set_keepalive(32);
  if (nginx.mode() == pb::SWITCH_MODE_UNSPECIFIED) nginx.set_mode(pb::SWITCH_MODE_RELOAD);
  if (nginx.has_front_door() && nginx.front_door().status() == 0) {
    nginx.mutable_front_door()->set_status(200);
  }

  for (auto* list : {spec.mutable_hooks()->mutable_before_switch(),
                     spec.mutable_hooks()->mutable_after_switch()}) {
    for (pb::Hook& hook : *list) {
      if (!hook.has_timeout()) *hook.mutable_timeout() = ToProto(minutes(5));
    }
  }
  pb::RolloutSpec& rollout = *spec.mutable_rollout();
  if (!rollout.has_bake()) *rollout.mutable_bake() = ToProto(seconds(5));
  if (!rollout.has_drain()) *rollout.mutable_drain() = ToProto(seconds(30));
}

void ApplyRolloutDefaults(pb::RolloutSpec& rollout) {
  if (rollout.batch().empty()) rollout.set_batch("25%");
  if (rollout.on_failure() == pb::FAILURE_POLICY_UNSPECIFIED) {
    rollout.set_on_failure(pb::FAILURE_POLICY_ALL_OR_NOTHING);
  }
  if (rollout.catch_up() == pb::INITIATIVE_UNSPECIFIED) {
    rollout.set_catch_up(pb::INITIATIVE_AUTOMATIC);
  }
  if (rollout.repair() == pb::INITIATIVE_UNSPECIFIED) rollout.set_repair(pb::INITIATIVE_MANUAL);
  if (rollout.abandoned() == pb::ABANDON_POLICY_UNSPECIFIED) {
    rollout.set_abandoned(pb::ABANDON_POLICY_CONTINUE);
  }
}

absl::Status CheckComposeApplication(const pb::ApplicationSpec& spec) {
  SLIPWAY_RETURN_IF_ERROR(CheckCompose(spec.compose()));
  if (!IsPort(spec.slots().blue()) || !IsPort(spec.slots().green()) ||
      spec.slots().blue() == spec.slots().green()) {
    return Wrong("slots", "needs two different ports",
                 "for example `slots: {blue: 8000, green: 8001}`");
  }
  if (!spec.port_variable().empty() && !IsVariableName(spec.port_variable())) {
    return Wrong("port_variable", "must be the name of a variable");
  }
  SLIPWAY_RETURN_IF_ERROR(CheckHealth(spec.health()));
  SLIPWAY_RETURN_IF_ERROR(CheckNginx(spec.nginx()));
  return CheckHooks(spec.hooks());
}

}  // namespace

void ApplyDefaults(pb::ApplicationSpec& spec) {
  if (!spec.has_site()) {
    ApplyComposeDefaults(spec);
  } else {
    if (spec.site().root().empty()) spec.mutable_site()->set_root("site");
    if (spec.site().front_door().status() == 0) {
      spec.mutable_site()->mutable_front_door()->set_status(200);
    }
  }
  ApplyRolloutDefaults(*spec.mutable_rollout());
  pb::KeepSpec& keep = *spec.mutable_keep();
  if (!keep.has_warm()) *keep.mutable_warm() = ToProto(minutes(10));
  if (keep.releases() == 0) keep.set_releases(5);
}

absl::Status ValidateSpec(const pb::ApplicationSpec& spec) {
  if (!IsApplicationName(spec.app())) return Wrong("app", "must be [a-z][a-z0-9-]{0,39}");
  if (spec.hosts().empty()) return Wrong("hosts", "name at least one host");
  std::set<std::string> hosts;
  for (const std::string& host : spec.hosts()) {
    if ((!IsHostName(host) && !IsHostSelector(host)) || !hosts.insert(host).second) {
      return Wrong("hosts",
                   absl::StrCat("'", host,
                                "' is neither the name of a host nor a selector, or stands twice"),
                   "for example `hosts: [web-1, role=web]`");
    }
  }
  SLIPWAY_RETURN_IF_ERROR(spec.has_site() ? CheckSite(spec) : CheckComposeApplication(spec));
  SLIPWAY_RETURN_IF_ERROR(CheckRollout(spec));
  const std::pair<const char*, const google::protobuf::Duration&> windows[] = {
      {"rollout.bake", spec.rollout().bake()},
      {"rollout.drain", spec.rollout().drain()},
      {"keep.warm", spec.keep().warm()}};
  for (const auto& [key, window] : windows) {
    // A warm slot may be kept for days; a deployment does not go on that long.
    const bool too_long = key != windows[2].first && FromProto(window) > hours(24);
    if (FromProto(window) < seconds(0) || too_long) {
      return Wrong(key, too_long ? "must be at most 24h" : "must not be negative");
    }
  }
  if (spec.keep().releases() < 2) return Wrong("keep.releases", "must be at least 2");
  return absl::OkStatus();
}

size_t BatchSize(const pb::RolloutSpec& rollout, size_t hosts) {
  const auto batch = ParseBatch(rollout.batch().empty() ? "25%" : rollout.batch());
  if (!batch.ok()) return 1;
  return batch->percent ? std::max<size_t>(1, (hosts * batch->number + 99) / 100) : batch->number;
}

uint32_t PortOf(const pb::ApplicationSpec& spec, pb::Slot slot) {
  return slot == pb::SLOT_GREEN ? spec.slots().green() : spec.slots().blue();
}

pb::Slot SlotOfPort(const pb::ApplicationSpec& spec, uint32_t port) {
  if (port == spec.slots().blue()) return pb::SLOT_BLUE;
  if (port == spec.slots().green()) return pb::SLOT_GREEN;
  return pb::SLOT_UNSPECIFIED;
}

pb::Slot OtherSlot(pb::Slot slot) { return slot == pb::SLOT_BLUE ? pb::SLOT_GREEN : pb::SLOT_BLUE; }

std::string SlotWord(pb::Slot slot) {
  switch (slot) {
    case pb::SLOT_BLUE:
      return "blue";
    case pb::SLOT_GREEN:
      return "green";
    default:
      return "none";
  }
}

}  // namespace slipway
