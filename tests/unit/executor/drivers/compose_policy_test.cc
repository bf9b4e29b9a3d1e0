#include "executor/drivers/compose_policy.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "executor/failure.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::filesystem::path kFolder = "/state/release";

absl::Status Judge(const json& service, const std::vector<std::string>& allowances = {},
                   json more = json::object()) {
  more["services"] = {{"api", service}};
  return CheckComposePolicy(more, "gifty", kFolder, allowances);
}

TEST(ComposePolicy, TakesAMountWithoutASourceForAVolume) {
  EXPECT_TRUE(Judge({{"image", "x"}, {"volumes", {"/app/node_modules"}}}).ok());
}

TEST(ComposePolicy, LetsTheUsualFileThrough) {
  EXPECT_TRUE(Judge({{"image", "x"},
                     {"privileged", false},
                     {"network_mode", "service:proxy"},
                     {"ipc", "shareable"},
                     {"cap_add", {"NET_BIND_SERVICE", "cap_chown"}},
                     {"security_opt", {"no-new-privileges:true"}},
                     {"volumes",
                      {"data:/var/lib/data:rw",
                       "/state/release/conf:/conf:ro",
                       {{"type", "bind"}, {"source", "/state/release"}, {"target", "/app"}},
                       {{"type", "volume"}, {"source", "data"}, {"target", "/d"}},
                       {{"type", "tmpfs"}, {"target", "/tmp"}}}},
                     {"build", {{"context", "/state/release"}}}},
                    {},
                    {{"volumes",
                      {{"data", {{"name", "gifty_data"}}},
                       {"nothing", nullptr},
                       {"mine", {{"external", {{"name", "gifty_old"}}}}},
                       {"memory", {{"driver_opts", {{"type", "tmpfs"}, {"device", "tmpfs"}}}}},
                       {"remote", {{"driver_opts", {{"type", "nfs"}, {"device", ":/srv"}}}}}}},
                     {"networks", {{"default", {{"name", "gifty_default"}}}, {"back", nullptr}}},
                     {"x-note", 1}})
                  .ok());
}

struct Case {
  json service;
  std::string key;
  std::string allowance;
};

TEST(ComposePolicy, RefusesEachWayOutNamesTheKeyAndTakesTheAllowanceItNames) {
  const std::vector<Case> cases = {
      {{{"privileged", true}}, "services.api.privileged", "api:privileged"},
      {{{"network_mode", "host"}}, "services.api.network_mode: host", "api:network_mode:host"},
      {{{"network_mode", "container:db"}}, "container:db", "api:network_mode:container:db"},
      {{{"network_mode", "other_default"}}, "other_default", "api:network_mode:other_default"},
      {{{"pid", "host"}}, "services.api.pid", "api:pid:host"},
      {{{"pid", "container:db"}}, "services.api.pid", "api:pid:container:db"},
      {{{"ipc", "host"}}, "services.api.ipc", "api:ipc:host"},
      {{{"uts", "host"}}, "services.api.uts", "api:uts:host"},
      {{{"userns_mode", "host"}}, "services.api.userns_mode", "api:userns_mode:host"},
      {{{"cgroup", "host"}}, "services.api.cgroup", "api:cgroup:host"},
      {{{"cgroup_parent", "/"}}, "services.api.cgroup_parent", "api:cgroup_parent:/"},
      {{{"volumes", {"/var/run/docker.sock:/var/run/docker.sock:rw"}}},
       "/var/run/docker.sock",
       "api:bind:/var/run/docker.sock"},
      {{{"volumes", {{{"type", "bind"}, {"source", "/etc"}, {"target", "/e"}}}}},
       "/etc",
       "api:bind:/etc"},
      // Beside the release, and out of it again.
      {{{"volumes", {"/state/release-2:/x"}}}, "/state/release-2", "api:bind:/state/release-2"},
      {{{"volumes", {"/state/release/../../etc:/x"}}}, "/state/release/../../etc", "api:bind:/etc"},
      {{{"volumes", {"/:/x"}}}, "services.api.volumes: /", "api:bind:/"},
      {{{"devices", {"/dev/mem:/dev/mem"}}}, "/dev/mem", "api:devices:/dev/mem"},
      {{{"devices", {{{"source", "/dev/kvm"}, {"target", "/dev/kvm"}}}}},
       "/dev/kvm",
       "api:devices:/dev/kvm"},
      {{{"cap_add", {"SYS_ADMIN"}}}, "services.api.cap_add: SYS_ADMIN", "api:cap_add:SYS_ADMIN"},
      {{{"cap_add", {"all"}}}, "ALL", "api:cap_add:ALL"},
      {{{"security_opt", {"seccomp:unconfined"}}},
       "seccomp:unconfined",
       "api:security_opt:seccomp:unconfined"},
      {{{"volumes_from", {"container:db"}}}, "container:db", "api:volumes_from:container:db"},
      {{{"build", {{"context", "https://evil.example.org/x.git"}}}},
       "build.context",
       "api:build_context:https://evil.example.org/x.git"},
      {{{"build", {{"context", "/etc"}}}}, "build.context: /etc", "api:build_context:/etc"},
      {{{"build", {{"context", "/state/release"}, {"network", "host"}}}},
       "build.network",
       "api:build_network:host"},
      {{{"build", {{"context", "/state/release"}, {"dockerfile", "/etc/shadow"}}}},
       "build.dockerfile: /etc/shadow",
       "api:build_dockerfile:/etc/shadow"},
      {{{"build", {{"context", "/state/release/web"}, {"dockerfile", "../Dockerfile"}}}},
       "build.dockerfile: ../Dockerfile",
       "api:build_dockerfile:../Dockerfile"},
      {{{"build", {{"context", "/state/release"}, {"additional_contexts", {{"host", "/etc"}}}}}},
       "additional_contexts: /etc",
       "api:build_additional_contexts:/etc"},
      {{{"build", {{"context", "/state/release"}, {"additional_contexts", {"x=/root"}}}}},
       "additional_contexts: /root",
       "api:build_additional_contexts:/root"},
      {{{"build", {{"context", "/state/release"}, {"cache_to", {"type=local,dest=/srv"}}}}},
       "cache_to",
       "api:build_cache_to:type=local,dest=/srv"},
      {{{"build", {{"context", "/state/release"}, {"tags", {"slipway/other:b-1"}}}}},
       "build.tags",
       "api:build_tags:slipway/other:b-1"},
      {{{"build", {{"context", "/state/release"}, {"entitlements", {"security.insecure"}}}}},
       "build.entitlements",
       "api:build_entitlements"},
      {{{"use_api_socket", true}}, "services.api.use_api_socket", "api:use_api_socket"},
      {{{"provider", {{"type", "x"}}}}, "services.api.provider", "api:provider"},
      {{{"runtime", "other"}}, "services.api.runtime", "api:runtime"},
      {{{"gpus", "all"}}, "services.api.gpus", "api:gpus"},
      {json::parse(R"({"deploy":{"resources":{"reservations":{"devices":[{"count":1}]}}}})"),
       "deploy.resources.reservations.devices", "api:gpus"},
      {{{"post_start", {{{"command", "x"}, {"privileged", true}}}}},
       "post_start",
       "api:post_start:privileged"}};
  for (const Case& one : cases) {
    const absl::Status refused = Judge(one.service);
    EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_POLICY) << one.service;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(one.key));
    EXPECT_THAT(DetailOf(refused).cure(), HasSubstr("slipway allow --add " + one.allowance));
    EXPECT_TRUE(Judge(one.service, {one.allowance}).ok()) << one.allowance;
    EXPECT_FALSE(Judge(one.service, {"web" + one.allowance.substr(3)}).ok()) << one.allowance;
  }
}

TEST(ComposePolicy, RefusesBindsNetworksAndFilesInDisguise) {
  const json api = {{"image", "x"}};
  for (const json& options : std::vector<json>{
           {{"type", "none"}, {"o", "bind"}, {"device", "/etc"}},
           {{"o", "rbind"}, {"device", "/state/release/../../etc"}},
           {{"type", "ext4"}, {"device", "/dev/sda1"}},
           // The host's folder as a layer, by a device inside of the release.
           {{"type", "overlay"}, {"o", "lowerdir=/etc"}, {"device", "overlay"}},
           {{"type", "overlay"}, {"o", "lowerdir=/etc"}, {"device", "/state/release/x"}},
           {{"type", "overlay"}, {"o", "bind,lowerdir=/etc"}, {"device", "/state/release/x"}},
           {{"type", "nfs"}, {"device", "/etc"}},
           {{"type", "proc"}, {"device", "proc"}}}) {
    const absl::Status refused = Judge(api, {}, {{"volumes", {{"v", {{"driver_opts", options}}}}}});
    EXPECT_THAT(std::string(refused.message()), HasSubstr("volumes.v.driver_opts")) << options;
  }
  const json inside = {{"type", "none"}, {"o", "bind"}, {"device", "/state/release/data"}};
  EXPECT_TRUE(Judge(api, {}, {{"volumes", {{"v", {{"driver_opts", inside}}}}}}).ok());
  EXPECT_FALSE(
      Judge(api, {}, {{"networks", {{"n", {{"external", true}, {"name", "host"}}}}}}).ok());
  EXPECT_FALSE(Judge(api, {}, {{"networks", {{"n", {{"driver", "host"}}}}}}).ok());
  EXPECT_FALSE(Judge(api, {}, {{"secrets", {{"s", {{"file", "/etc/shadow"}}}}}}).ok());
  EXPECT_FALSE(Judge(api, {}, {{"configs", {{"c", {{"file", "/etc/passwd"}}}}}}).ok());
  EXPECT_TRUE(Judge(api, {}, {{"secrets", {{"s", {{"file", "/state/release/s"}}}}}}).ok());
}

TEST(ComposePolicy, RefusesVolumesAndNetworksOfOtherProjects) {
  const json api = {{"image", "x"}};
  for (const auto& [section, key] :
       {std::pair("volumes", "volume"), std::pair("networks", "network")}) {
    for (const json& entry : std::vector<json>{{{"external", true}, {"name", "other_data"}},
                                               {{"external", {{"name", "other_data"}}}},
                                               {{"name", "other_data"}}}) {
      const json more = {{section, {{"x", entry}}}};
      const absl::Status refused = Judge(api, {}, more);
      EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_POLICY) << more;
      EXPECT_THAT(std::string(refused.message()), HasSubstr("other_data, which is not gifty's"));
      EXPECT_TRUE(Judge(api, {absl::StrCat("*:", key, ":other_data")}, more).ok()) << more;
    }
    EXPECT_FALSE(Judge(api, {}, {{section, {{"plain", {{"external", true}}}}}}).ok());
  }
  EXPECT_FALSE(Judge(api, {}, {{"networks", {{"n", {{"driver", "macvlan"}}}}}}).ok());
}

TEST(ComposePolicy, SaysEverythingAtOnce) {
  const absl::Status refused = Judge({{"privileged", true}, {"pid", "host"}});
  EXPECT_THAT(std::string(refused.message()), HasSubstr("privileged"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pid"));
}

class ComposeReferencesTest : public ::testing::Test {
 protected:
  absl::Status Judge(const std::string& text, const std::vector<std::string>& allowances = {},
                     const Environment& environment = {}) {
    Write("docker-compose.yml", text);
    return CheckComposeReferences(folder_.path(), "docker-compose.yml", environment, allowances);
  }
  void Write(const std::string& name, const std::string& text) {
    MakeFolders((folder_.path() / name).parent_path()).IgnoreError();
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / name, text).ok());
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ComposeReferencesTest, LetsFilesOfTheReleaseThrough) {
  Write("more/services.yml", "services: {db: {image: x, env_file: [db.env]}}\n");
  EXPECT_TRUE(Judge("include: [more/services.yml, {path: [more/services.yml], env_file: .env}]\n"
                    "services:\n"
                    "  api: {image: x, env_file: [.env, {path: ./api.env, required: false}]}\n"
                    "  web: {extends: {file: more/services.yml, service: db}}\n"
                    "  job: {env_file: \"${FILE:-.env}\"}\n")
                  .ok());
}

TEST_F(ComposeReferencesTest, RefusesIncludesOfOtherMachines) {
  for (const char* target :
       {"https://example.org/x.yml", "git@example.org:x.git", "oci://example.org/x",
        "oci:example.org/x", "github.com/acme/x", "https://example.org/x.git#main:sub"}) {
    for (const std::string& text :
         {absl::StrCat("include: ['", target, "']\nservices: {}\n"),
          absl::StrCat("include: [{path: '", target, "'}]\nservices: {}\n"),
          absl::StrCat("include: [{path: [a.yml, '", target, "']}]\nservices: {}\n")}) {
      const absl::Status refused = Judge(text);
      EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_POLICY) << text;
      EXPECT_THAT(std::string(refused.message()), HasSubstr(target));
    }
    EXPECT_TRUE(Judge(absl::StrCat("include: ['", target, "']\nservices: {}\n"),
                      {absl::StrCat("*:include:", target)})
                    .ok());
  }
}

TEST_F(ComposeReferencesTest, RefusesFilesOfTheHostAlsoThroughIncludesAndVariables) {
  EXPECT_FALSE(Judge("services: {api: {env_file: /etc/shadow}}\n").ok());
  EXPECT_FALSE(Judge("services: {api: {env_file: [../../other/.env]}}\n").ok());
  EXPECT_FALSE(Judge("services: {api: {extends: {file: ../x.yml, service: y}}}\n").ok());
  EXPECT_FALSE(Judge("x-a: &a {env_file: /etc/shadow}\nservices: {api: {<<: *a}}\n").ok());
  EXPECT_FALSE(Judge("include: [{path: a.yml, project_directory: /etc}]\nservices: {}\n").ok());
  Write("more/services.yml", "services: {db: {env_file: ../../secret}}\n");
  EXPECT_FALSE(Judge("include: [more/services.yml]\nservices: {}\n").ok());
  const std::string by_variable = "services: {api: {env_file: \"$FILE\"}}\n";
  EXPECT_TRUE(Judge(by_variable, {}, {{"FILE", "a.env"}}).ok());
  const absl::Status refused = Judge(by_variable, {}, {{"FILE", "/etc/CANARY"}});
  EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_POLICY);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("$FILE"));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("CANARY")));
  // What cannot be judged is refused.
  EXPECT_FALSE(Judge("services: {api: {env_file: \"${A:?x}\"}}\n").ok());
  EXPECT_FALSE(Judge("services: {api: {env_file: \"${A:-$B}\"}}\n").ok());
}

// Compose's own readers take some texts for more than ours does; what we cannot read whole may hide an include.
TEST_F(ComposeReferencesTest, RefusesWhatItCannotReadWhole) {
  for (const char* text : {"services: {}\n---\ninclude: [https://example.org/x.yml]\n",
                           "services: {}\n,include: [/etc/x.yml]\n", "x: &x [*x]\n"}) {
    const absl::Status refused = Judge(text);
    EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_INVALID_COMPOSE_FILE) << text << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("docker-compose.yml:")) << text;
  }
}

TEST_F(ComposeReferencesTest, CirclesEnd) {
  Write("a.yml", "include: [docker-compose.yml]\nservices: {}\n");
  EXPECT_TRUE(Judge("include: [a.yml]\nservices: {}\n").ok());
}

}  // namespace
}  // namespace slipway::executor
