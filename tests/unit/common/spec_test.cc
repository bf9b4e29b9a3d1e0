#include "common/spec.h"

#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/durations.h"
#include "common/status.h"
#include "common/yaml_proto.h"

namespace slipway {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

pb::ApplicationSpec SmallestSpec() {
  pb::ApplicationSpec spec;
  const absl::Status status = ParseYaml(R"(
app: gifty
hosts: [web-1]
compose: {slotted: [api]}
slots: {blue: 8000, green: 8001}
health: {http: {}}
nginx: {upstream: gifty_backend}
)",
                                        "slipway.yaml", spec);
  EXPECT_TRUE(status.ok()) << status;
  ApplyDefaults(spec);
  return spec;
}

TEST(Spec, IsFilledWithTheDefaultsItsProtoNames) {
  const pb::ApplicationSpec spec = SmallestSpec();
  EXPECT_EQ(spec.compose().file(), "docker-compose.yml");
  EXPECT_EQ(spec.compose().env_file(), ".env");
  EXPECT_EQ(spec.compose().project(), "gifty");
  EXPECT_EQ(spec.health().http().path(), "/health");
  EXPECT_EQ(spec.health().http().status(), 200u);
  EXPECT_EQ(FromProto(spec.health().timeout()), seconds(120));
  EXPECT_EQ(spec.health().successes(), 3u);
  EXPECT_EQ(FromProto(spec.health().interval()), seconds(1));
  EXPECT_EQ(FromProto(spec.health().probe_timeout()), seconds(5));
  EXPECT_EQ(FromProto(spec.health().stable()), seconds(0));
  EXPECT_EQ(spec.nginx().file(), "/etc/nginx/conf.d/gifty_backend.conf");
  EXPECT_EQ(spec.nginx().keepalive(), 32u);
  EXPECT_EQ(spec.nginx().mode(), pb::SWITCH_MODE_RELOAD);
  EXPECT_EQ(FromProto(spec.rollout().bake()), seconds(5));
  EXPECT_EQ(FromProto(spec.rollout().drain()), seconds(30));
  EXPECT_EQ(spec.rollout().batch(), "25%");
  EXPECT_EQ(spec.rollout().max_failures(), 0u);
  EXPECT_EQ(spec.rollout().on_failure(), pb::FAILURE_POLICY_ALL_OR_NOTHING);
  EXPECT_EQ(FromProto(spec.keep().warm()), minutes(10));
  EXPECT_EQ(spec.keep().releases(), 5u);
  EXPECT_TRUE(ValidateSpec(spec).ok()) << ValidateSpec(spec);
}

pb::ApplicationSpec SmallestSite() {
  pb::ApplicationSpec spec;
  const absl::Status status = ParseYaml(R"(
app: docs
hosts: [web-1]
site: {front_door: {url: "http://127.0.0.1/", host: docs.example.org}}
)",
                                        "slipway.yaml", spec);
  EXPECT_TRUE(status.ok()) << status;
  ApplyDefaults(spec);
  return spec;
}

TEST(Spec, SaysHowAFleetGoes) {
  pb::ApplicationSpec spec;
  ASSERT_TRUE(ParseYaml("rollout: {canary: [web-1], batch: 10, max_failures: 2, on_failure: pause}",
                        "slipway.yaml", spec)
                  .ok());
  EXPECT_EQ(BatchSize(spec.rollout(), 1000), 10u);
  EXPECT_EQ(spec.rollout().on_failure(), pb::FAILURE_POLICY_PAUSE);
  const std::pair<const char*, size_t> batches[] = {{"1", 1},  {"100%", 7}, {"25%", 2},
                                                    {"1%", 1}, {"50%", 4},  {"9", 9}};
  for (const auto& [text, size] : batches) {
    spec.mutable_rollout()->set_batch(text);
    EXPECT_EQ(BatchSize(spec.rollout(), 7), size) << text;
  }
  for (const char* text : {"0", "0%", "101%", "-1", "a few", "%", "1.5", "25 %x"}) {
    spec = SmallestSpec();
    spec.mutable_rollout()->set_batch(text);
    EXPECT_EQ(DetailOf(ValidateSpec(spec)).subject(), "rollout.batch") << text;
  }
  spec = SmallestSpec();
  spec.mutable_rollout()->add_canary("web-2");
  EXPECT_EQ(DetailOf(ValidateSpec(spec)).subject(), "rollout.canary");
  spec.mutable_rollout()->set_canary(0, "web-1");
  EXPECT_TRUE(ValidateSpec(spec).ok());
}

TEST(Spec, OfASiteSaysNothingOfContainers) {
  const pb::ApplicationSpec spec = SmallestSite();
  EXPECT_TRUE(ValidateSpec(spec).ok()) << ValidateSpec(spec);
  EXPECT_EQ(spec.site().root(), "site");
  EXPECT_EQ(spec.site().front_door().status(), 200u);
  EXPECT_EQ(FromProto(spec.keep().warm()), minutes(10));
  EXPECT_FALSE(spec.has_compose() || spec.has_health() || spec.has_nginx());
  EXPECT_EQ(spec.rollout().batch(), "25%");
  pb::ApplicationSpec again = spec;
  ApplyDefaults(again);
  EXPECT_EQ(again.SerializeAsString(), spec.SerializeAsString());
}

TEST(Spec, OfASiteRefusesWhatItCannotHave) {
  using Change = std::function<void(pb::ApplicationSpec&)>;
  const std::pair<const char*, Change> table[] = {
      {"compose", [](auto& spec) { spec.mutable_compose()->add_slotted("api"); }},
      {"slots", [](auto& spec) { spec.mutable_slots()->set_blue(8000); }},
      {"health", [](auto& spec) { spec.mutable_health()->mutable_http(); }},
      {"nginx", [](auto& spec) { spec.mutable_nginx()->set_upstream("x"); }},
      {"hooks", [](auto& spec) { spec.mutable_hooks()->add_before_switch(); }},
      {"rollout",
       [](auto& spec) { *spec.mutable_rollout()->mutable_bake() = ToProto(seconds(1)); }},
      {"port_variable", [](auto& spec) { spec.set_port_variable("PORT"); }},
      {"site.root", [](auto& spec) { spec.mutable_site()->set_root("../x"); }},
      {"site.root", [](auto& spec) { spec.mutable_site()->set_root("/srv"); }},
      {"site.front_door.url", [](auto& spec) { spec.mutable_site()->clear_front_door(); }},
      {"site.front_door.url",
       [](auto& spec) {
         spec.mutable_site()->mutable_front_door()->set_url("http://127.0.0.1/docs");
       }},
      {"site.front_door.url",
       [](auto& spec) { spec.mutable_site()->mutable_front_door()->set_url("docs/"); }},
      {"keep.releases", [](auto& spec) { spec.mutable_keep()->set_releases(1); }},
  };
  for (const auto& [key, change] : table) {
    pb::ApplicationSpec spec = SmallestSite();
    change(spec);
    const absl::Status status = ValidateSpec(spec);
    EXPECT_EQ(DetailOf(status).reason(), "INVALID_SPEC") << key;
    EXPECT_EQ(DetailOf(status).subject(), key) << status;
  }
}

TEST(Spec, KeepsWhatWasSaidOverTheDefaults) {
  pb::ApplicationSpec spec;
  ASSERT_TRUE(ParseYaml(R"(
app: gifty
compose: {file: compose.yaml, env_file: prod.env, project: old}
health: {http: {path: /up, status: 204}, timeout: 7s, successes: 1}
nginx: {upstream: u, file: /x/y.conf, keepalive: 1, mode: marker, front_door: {url: "http://h/"}}
hooks: {after_switch: [{name: a, timeout: 9s}, {name: b}]}
rollout: {bake: 0s, drain: 0s}
keep: {warm: 0s, releases: 2}
)",
                        "slipway.yaml", spec)
                  .ok());
  ApplyDefaults(spec);
  EXPECT_EQ(spec.compose().file(), "compose.yaml");
  EXPECT_EQ(spec.compose().project(), "old");
  EXPECT_EQ(spec.health().http().status(), 204u);
  EXPECT_EQ(FromProto(spec.health().timeout()), seconds(7));
  EXPECT_EQ(spec.nginx().mode(), pb::SWITCH_MODE_MARKER);
  EXPECT_EQ(spec.nginx().front_door().status(), 200u);
  EXPECT_EQ(FromProto(spec.hooks().after_switch(0).timeout()), seconds(9));
  EXPECT_EQ(FromProto(spec.hooks().after_switch(1).timeout()), minutes(5));
  EXPECT_EQ(FromProto(spec.rollout().bake()), seconds(0));
  EXPECT_EQ(FromProto(spec.keep().warm()), seconds(0));
  EXPECT_EQ(spec.keep().releases(), 2u);
}

TEST(Spec, WithItsDefaultsStaysAsItIsWhenTheyAreAppliedAgain) {
  const pb::ApplicationSpec once = SmallestSpec();
  pb::ApplicationSpec twice = once;
  ApplyDefaults(twice);
  EXPECT_EQ(once.SerializeAsString(), twice.SerializeAsString());
}

google::protobuf::Duration Of(int64_t length) {
  google::protobuf::Duration duration;
  duration.set_seconds(length);
  return duration;
}

TEST(Spec, NamesTheKeyThatIsWrong) {
  using Change = std::function<void(pb::ApplicationSpec&)>;
  const auto hook = [](pb::ApplicationSpec& spec) -> pb::Hook& {
    pb::Hook& added = *spec.mutable_hooks()->add_before_switch();
    added.set_name("migrate");
    added.set_service("api");
    added.add_command("true");
    *added.mutable_timeout() = Of(1);
    return added;
  };
  const std::pair<const char*, Change> table[] = {
      {"app", [](auto& spec) { spec.set_app("Gifty"); }},
      {"app", [](auto& spec) { spec.set_app(""); }},
      {"hosts", [](auto& spec) { spec.clear_hosts(); }},
      {"hosts", [](auto& spec) { spec.add_hosts("web-1"); }},
      {"hosts", [](auto& spec) { spec.add_hosts("a/b"); }},
      {"compose.file", [](auto& spec) { spec.mutable_compose()->set_file("/etc/passwd"); }},
      {"compose.file", [](auto& spec) { spec.mutable_compose()->set_file("../x"); }},
      {"compose.env_file", [](auto& spec) { spec.mutable_compose()->set_env_file("a/../../x"); }},
      {"compose.env_file",
       [](auto& spec) { spec.mutable_compose()->set_env_file(std::string("a\0b", 3)); }},
      {"compose.slotted", [](auto& spec) { spec.mutable_compose()->clear_slotted(); }},
      {"compose.slotted", [](auto& spec) { spec.mutable_compose()->add_slotted("a b"); }},
      {"compose.slotted", [](auto& spec) { spec.mutable_compose()->add_slotted("api"); }},
      {"compose.workers", [](auto& spec) { spec.mutable_compose()->add_workers("api"); }},
      {"compose.workers", [](auto& spec) { spec.mutable_compose()->add_workers("--x"); }},
      {"compose.project", [](auto& spec) { spec.mutable_compose()->set_project("a b"); }},
      {"slots", [](auto& spec) { spec.mutable_slots()->set_blue(0); }},
      {"slots", [](auto& spec) { spec.mutable_slots()->set_green(65536); }},
      {"slots", [](auto& spec) { spec.mutable_slots()->set_green(8000); }},
      {"port_variable", [](auto& spec) { spec.set_port_variable("APP PORT"); }},
      {"health", [](auto& spec) { spec.mutable_health()->clear_probe(); }},
      {"health.http.path",
       [](auto& spec) { spec.mutable_health()->mutable_http()->set_path("x"); }},
      {"health.http.status",
       [](auto& spec) { spec.mutable_health()->mutable_http()->set_status(99); }},
      {"health.http.status",
       [](auto& spec) { spec.mutable_health()->mutable_http()->set_status(600); }},
      {"health.command",
       [](auto& spec) { spec.mutable_health()->mutable_command()->add_command("true"); }},
      {"health.command",
       [](auto& spec) { spec.mutable_health()->mutable_command()->set_service("api"); }},
      {"health.timeout", [](auto& spec) { *spec.mutable_health()->mutable_timeout() = Of(0); }},
      {"health.interval", [](auto& spec) { *spec.mutable_health()->mutable_interval() = Of(0); }},
      {"health.probe_timeout",
       [](auto& spec) { *spec.mutable_health()->mutable_probe_timeout() = Of(-1); }},
      {"health.stable", [](auto& spec) { *spec.mutable_health()->mutable_stable() = Of(-1); }},
      {"health.successes", [](auto& spec) { spec.mutable_health()->set_successes(1001); }},
      {"nginx.upstream", [](auto& spec) { spec.mutable_nginx()->clear_upstream(); }},
      {"nginx.upstream", [](auto& spec) { spec.mutable_nginx()->set_upstream("x; }"); }},
      {"nginx.upstream", [](auto& spec) { spec.mutable_nginx()->set_upstream("x\ny"); }},
      {"nginx.file", [](auto& spec) { spec.mutable_nginx()->set_file("conf.d/x.conf"); }},
      {"nginx.file", [](auto& spec) { spec.mutable_nginx()->set_file("/etc/nginx/x.txt"); }},
      {"nginx.file", [](auto& spec) { spec.mutable_nginx()->set_file("/etc/../x.conf"); }},
      {"nginx.file", [](auto& spec) { spec.mutable_nginx()->set_file("/etc/a b.conf"); }},
      {"nginx.marker", [](auto& spec) { spec.mutable_nginx()->set_marker("x"); }},
      {"nginx.marker", [](auto& spec) { spec.mutable_nginx()->set_marker("/a;b"); }},
      {"nginx.keepalive", [](auto& spec) { spec.mutable_nginx()->set_keepalive(10'001); }},
      {"nginx.proof_ports", [](auto& spec) { spec.mutable_nginx()->add_proof_ports(1); }},
      {"nginx.proof_ports",
       [](auto& spec) {
         spec.mutable_nginx()->add_proof_ports(7);
         spec.mutable_nginx()->add_proof_ports(7);
       }},
      {"nginx.proof_ports",
       [](auto& spec) {
         spec.mutable_nginx()->add_proof_ports(7);
         spec.mutable_nginx()->add_proof_ports(70'000);
       }},
      {"nginx.front_door.url",
       [](auto& spec) { spec.mutable_nginx()->mutable_front_door()->set_url("ftp://x"); }},
      {"hooks", [&](auto& spec) { hook(spec).set_name(""); }},
      {"hooks", [&](auto& spec) { hook(spec), hook(spec); }},
      {"hooks", [&](auto& spec) { hook(spec).clear_command(); }},
      {"hooks", [&](auto& spec) { hook(spec).set_service("a b"); }},
      {"hooks", [&](auto& spec) { *hook(spec).mutable_timeout() = Of(-1); }},
      {"rollout.bake", [](auto& spec) { *spec.mutable_rollout()->mutable_bake() = Of(86'401); }},
      {"rollout.bake", [](auto& spec) { *spec.mutable_rollout()->mutable_bake() = Of(-1); }},
      {"rollout.drain",
       [](auto& spec) { *spec.mutable_rollout()->mutable_drain() = Of(18'446'744'074); }},
      {"rollout.drain", [](auto& spec) { *spec.mutable_rollout()->mutable_drain() = Of(-1); }},
      {"keep.warm", [](auto& spec) { *spec.mutable_keep()->mutable_warm() = Of(-1); }},
      {"keep.releases", [](auto& spec) { spec.mutable_keep()->set_releases(1); }},
  };
  int row = 0;
  for (const auto& [key, change] : table) {
    pb::ApplicationSpec spec = SmallestSpec();
    change(spec);
    const absl::Status status = ValidateSpec(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << "row " << row << ", " << key;
    EXPECT_EQ(DetailOf(status).reason(), "INVALID_SPEC") << "row " << row;
    EXPECT_EQ(DetailOf(status).subject(), key) << "row " << row << ": " << status;
    EXPECT_EQ(status.message().substr(0, std::string(key).size() + 2), std::string(key) + ": ");
    ++row;
  }
}

TEST(Spec, HostsMayBeNamedByTheirLabels) {
  for (const char* text : {"hosts: {role: web, zone: eu}", "hosts: [{role: web, zone: eu}]",
                           "hosts: ['role=web,zone=eu']"}) {
    pb::ApplicationSpec spec;
    ASSERT_TRUE(ParseYaml(text, "slipway.yaml", spec).ok()) << text;
    EXPECT_THAT(spec.hosts(), testing::ElementsAre("role=web,zone=eu")) << text;
  }
  pb::ApplicationSpec spec = SmallestSpec();
  spec.set_hosts(0, "role=web");
  spec.mutable_rollout()->add_canary("role=canary");
  EXPECT_TRUE(ValidateSpec(spec).ok()) << ValidateSpec(spec);
  // What the selector means is not known here.
  spec.mutable_rollout()->add_canary("web-7");
  EXPECT_TRUE(ValidateSpec(spec).ok()) << ValidateSpec(spec);
  spec.add_hosts("role=we b");
  EXPECT_EQ(DetailOf(ValidateSpec(spec)).subject(), "hosts");
}

// product.md's file, without what this version does not know yet.
TEST(Spec, OfTheProductsOwnExampleIsRight) {
  pb::ApplicationSpec spec;
  const absl::Status parsed = ParseYaml(R"(
app: gifty
hosts: [web-1, {role: web}]           # names, or a label selector
compose:
  file: docker-compose.yml            # unmodified
  slotted: [api]
  workers: [scheduler, telegram-bot]  # everything else is shared
slots: {blue: 8000, green: 8001}
port_variable: APP_PORT               # or the compose file's published port is rewritten per slot
health:
  http: {path: /health, status: 200, json: {status: ok}}   # also body, header, tcp, command, docker
  timeout: 120s
  successes: 3                        # in a row; interval from 50 ms with back-off
nginx: {upstream: gifty_backend, file: /etc/nginx/conf.d/gifty_upstream.conf, keepalive: 32}
hooks:
  before_switch: [{name: migrate, service: api, command: [alembic, upgrade, head], once: true, timeout: 5m}]
keep: {warm: 10m, releases: 5}
)",
                                        "slipway.yaml", spec);
  ASSERT_TRUE(parsed.ok()) << parsed;
  ApplyDefaults(spec);
  EXPECT_TRUE(ValidateSpec(spec).ok()) << ValidateSpec(spec);
  EXPECT_EQ(spec.health().http().json().fields().at("status").string_value(), "ok");
  EXPECT_EQ(FromProto(spec.hooks().before_switch(0).timeout()), minutes(5));
}

TEST(Spec, KnowsTheSlots) {
  const pb::ApplicationSpec spec = SmallestSpec();
  EXPECT_EQ(PortOf(spec, pb::SLOT_BLUE), 8000u);
  EXPECT_EQ(PortOf(spec, pb::SLOT_GREEN), 8001u);
  EXPECT_EQ(OtherSlot(pb::SLOT_BLUE), pb::SLOT_GREEN);
  EXPECT_EQ(OtherSlot(pb::SLOT_GREEN), pb::SLOT_BLUE);
  EXPECT_EQ(SlotWord(pb::SLOT_BLUE), "blue");
  EXPECT_EQ(SlotWord(pb::SLOT_GREEN), "green");
  EXPECT_EQ(SlotWord(pb::SLOT_UNSPECIFIED), "none");
}

}  // namespace
}  // namespace slipway
