// A deployer's token may send any compose file. Each case tries to reach the host's root by one key of
// it, with the default policy, on the real compose and Engine; none may get there.
#include <cstdio>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/compose_host.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using ::slipway::testing::ComposeHost;
using ::slipway::testing::ComposePrograms;
using ::testing::HasSubstr;
using ::testing::Not;

// What stands below `web`, and at the top of the file.
struct Attack {
  std::string name;
  std::string web;
  std::string top = {};
  ComposeHost::Files files = {};
  std::string env = {};
};

std::vector<Attack> Attacks() {
  return {
      {"bind of the root", "volumes: [\"/:/host\"]"},
      {"bind of the root, long", "volumes: [{type: bind, source: /, target: /host}]"},
      {"bind by climbing", "volumes: [\"../../../../..:/host\"]"},
      {"bind by a variable", "volumes: [\"${D}:/host\"]", "", {}, "D=/\n"},
      {"bind by a quoted variable", "volumes: [\"${D}:/host\"]", "", {}, "D=\"/etc /x\"\n"},
      {"bind by a variable with a relative start",
       "volumes: [\"./${D}:/host\"]",
       "",
       {},
       "D=\"../../../../etc x\"\n"},
      {"Docker's socket", "volumes: [\"/var/run/docker.sock:/s\"]"},
      {"Docker's socket by use_api_socket", "use_api_socket: true"},
      {"bind of the executor's state", "volumes: [\"../:/releases\"]"},
      {"shared propagation",
       "volumes: [{type: bind, source: ., target: /x, bind: {propagation: rshared}}]"},
      {"shared propagation, short", "volumes: [\".:/x:rshared\"]"},
      {"a mount type of Windows", "volumes: [{type: npipe, source: a, target: /x}]"},
      {"a volume that binds", "volumes: [\"vol:/host\"]",
       "volumes: {vol: {driver_opts: {type: none, o: bind, device: /}}}"},
      {"a volume that binds recursively", "volumes: [\"vol:/host\"]",
       "volumes: {vol: {driver_opts: {type: none, o: \"rbind,rw\", device: /etc}}}"},
      {"a volume of the host's disk", "volumes: [\"vol:/host\"]",
       "volumes: {vol: {driver_opts: {type: ext4, device: /dev/sda1}}}"},
      {"a volume by overlay", "volumes: [\"vol:/host\"]",
       "volumes: {vol: {driver_opts: {type: overlay, device: overlay, o: \"lowerdir=/etc\"}}}"},
      {"a volume by another driver", "volumes: [\"vol:/host\"]",
       "volumes: {vol: {driver: local-persist, driver_opts: {mountpoint: /etc}}}"},
      {"another project's volume", "volumes: [\"vol:/v\"]",
       "volumes: {vol: {external: true, name: bank_data}}"},
      {"another project's volume by name", "volumes: [\"vol:/v\"]",
       "volumes: {vol: {name: bank_data}}"},
      {"extends of a host's file", "extends: {file: EVIL, service: x}"},
      {"extends by climbing", "extends: {file: ../../../../x.yml, service: x}"},
      {"extends by two keys",
       "extends: {file: safe.yml, service: x, file: EVIL}",
       "",
       {{"safe.yml", "services: {x: {image: a}}"}}},
      {"extends by a merge key", "extends: {<<: *e}", "x-e: &e {file: EVIL, service: x}"},
      {"extends by a merged list", "extends: {<<: [*a, *e]}",
       "x-a: &a {service: x}\nx-e: &e {file: EVIL}"},
      {"extends below a second key", "image: a",
       "services: {web: {extends: {file: EVIL, service: x}}}"},
      {"include of a host's file", "", "include: [EVIL]"},
      {"include of another machine", "", "include: [\"https://example.org/x.yml\"]"},
      {"include with a project directory",
       "",
       "include: [{path: x.yml, project_directory: /etc}]",
       {{"x.yml", "services: {}"}}},
      {"include by a merge key", "", "x-e: &e {path: EVIL}\ninclude: [{<<: *e}]"},
      {"env_file of the host", "env_file: /etc/environment"},
      {"env_file by climbing", "env_file: [../../../../../../etc/environment]"},
      {"env_file by an operator", "env_file: ${D:+/etc/environment}", "", {}, "D=1\n"},
      {"label_file of the host", "label_file: /etc/environment"},
      {"secret file of the host", "secrets: [s]", "secrets: {s: {file: /etc/shadow}}"},
      {"secret file by climbing", "secrets: [s]",
       "secrets: {s: {file: ../../../../../../etc/shadow}}"},
      {"config file of the host", "configs: [s]", "configs: {s: {file: /etc/shadow}}"},
      {"build context of the host", "build: /etc"},
      {"build context of another machine", "build: \"https://example.org/x.git\""},
      {"Dockerfile of the host", "build: {context: ., dockerfile: /etc/passwd}"},
      {"additional context of the host", "build: {context: ., additional_contexts: {x: /etc}}"},
      {"cache from the host", "build: {context: ., cache_from: [\"type=local,src=/etc\"]}"},
      {"cache onto the host", "build: {context: ., cache_to: [\"type=local,dest=/etc\"]}"},
      {"another image's tag", "build: {context: ., tags: [\"bank/web:1\"]}"},
      {"build on the host's network", "build: {context: ., network: host}"},
      {"build on a container's network", "build: {context: ., network: \"container:bank\"}"},
      {"privileged build", "build: {context: ., privileged: true}"},
      {"build entitlements", "build: {context: ., entitlements: [security.insecure]}"},
      {"SSH agent in a build", "build: {context: ., ssh: [default]}"},
      {"privileged", "privileged: true"},
      {"devices", "devices: [\"/dev/kmsg:/dev/kmsg\"]"},
      {"all devices", "device_cgroup_rules: [\"a *:* rwm\"]"},
      {"a block device", "device_cgroup_rules: [\"b 8:* rwm\"]"},
      {"reserved devices",
       "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}"},
      {"gpus", "gpus: all"},
      {"all capabilities", "cap_add: [ALL]"},
      {"SYS_ADMIN", "cap_add: [SYS_ADMIN]"},
      {"sys_ptrace in small letters", "cap_add: [cap_sys_ptrace]"},
      {"DAC_READ_SEARCH", "cap_add: [DAC_READ_SEARCH]"},
      {"no seccomp", "security_opt: [\"seccomp:unconfined\"]"},
      {"no AppArmor", "security_opt: [\"apparmor=unconfined\"]"},
      {"unmasked paths", "security_opt: [\"systempaths=unconfined\"]"},
      {"another SELinux label", "security_opt: [\"label=disable\"]"},
      {"the host's processes", "pid: host"},
      {"a container's processes", "pid: \"container:bank\""},
      {"the host's memory", "ipc: host"},
      {"a container's memory", "ipc: \"container:bank\""},
      {"the host's network", "network_mode: host"},
      {"a container's network", "network_mode: \"container:bank\""},
      {"another project's network", "networks: [n]",
       "networks: {n: {external: true, name: bank_default}}"},
      {"a bridge of the host", "networks: [n]",
       "networks: {n: {driver_opts: {com.docker.network.bridge.name: lxcbr0}}}"},
      {"the host's wire", "networks: [n]",
       "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}"},
      {"the host's names", "uts: host"},
      {"the host's users", "userns_mode: host"},
      {"the host's control groups", "cgroup: host"},
      {"a control group of its choice", "cgroup_parent: /system.slice"},
      {"a container's volumes", "volumes_from: [\"container:bank\"]"},
      {"the kernel's settings", "sysctls: {kernel.core_pattern: \"|/tmp/x\"}"},
      {"the kernel's settings, as a list", "sysctls: [\"vm.panic_on_oom=1\"]"},
      {"another runtime", "runtime: evil"},
      {"a credential", "credential_spec: {file: /etc/shadow}"},
      {"annotations for the runtime", "annotations: {run.oci.handler: krun}"},
      {"a provider's program", "provider: {type: evil}"},
      {"a privileged hook", "post_start: [{command: id, privileged: true}]"},
      {"a privileged hook at the end", "pre_stop: [{command: id, privileged: true}]"},
      {"log to a socket of the host",
       "logging: {driver: syslog, options: {syslog-address: \"unixgram:///dev/log\"}}"},
      {"log with a file of the host",
       "logging: {driver: syslog, options: {syslog-address: \"tcp+tls://x:1\", syslog-tls-ca-cert: "
       "/etc/shadow}}"},
      {"a model runner", "models: [x]", "models: {x: {model: y}}"},
      {"a key that nobody knows", "x_evil: true"},
  };
}

class ComposeEscalation : public ::testing::TestWithParam<std::string> {
 protected:
  ComposeHost host_{GetParam(), "attacks"};
};
INSTANTIATE_TEST_SUITE_P(Composes, ComposeEscalation, ::testing::ValuesIn(ComposePrograms()),
                         [](const auto& of) { return absl::StrCat("Compose", of.index + 1); });

TEST_P(ComposeEscalation, EveryKeyThatReachesOutIsRefusedBeforeAnythingStarts) {
  // A compose file of the host that brings a secret of the host along.
  const slipway::testing::TemporaryFolder outside;
  const std::string evil = (outside.path() / "evil.yml").string();
  ASSERT_TRUE(WriteFileAtomically(outside.path() / "host.env", "HOST=secret\n").ok());
  ASSERT_TRUE(
      WriteFileAtomically(evil, absl::StrCat("services: {x: {image: a, env_file: ",
                                             (outside.path() / "host.env").string(), "}}\n"))
          .ok());
  size_t refused = 0;
  const std::vector<Attack> attacks = Attacks();
  for (const Attack& attack : attacks) {
    const bool builds = absl::StrContains(attack.web, "build:");
    const bool images = builds || absl::StrContains(attack.web, "image:");
    ComposeHost::Files files = attack.files;
    files["Dockerfile"] = "FROM scratch\n";
    files["docker-compose.yml"] = absl::StrCat(
        absl::StartsWith(attack.top, "x-") ? absl::StrCat(attack.top, "\n") : "",
        "services:\n  web:\n    ports: [\"127.0.0.1:8000:8000\"]\n",
        images ? "" : absl::StrCat("    image: ", ComposeHost::Image(), "\n"), "    ", attack.web,
        "\n", absl::StartsWith(attack.top, "x-") ? "" : absl::StrCat(attack.top, "\n"));
    for (auto& [path, text] : files) text = absl::StrReplaceAll(text, {{"EVIL", evil}});
    std::string release;
    const xpb::StepResult staged = host_.Stage(files, attack.env, &release);
    const bool by_us = staged.reason() == pb::FAILURE_REASON_POLICY ||
                       staged.reason() == pb::FAILURE_REASON_INVALID_COMPOSE_FILE;
    EXPECT_TRUE(!staged.succeeded() && by_us) << attack.name << ": " << staged.summary();
    if (!staged.succeeded() && by_us) ++refused;
  }
  std::printf("%zu of %zu refused\n", refused, attacks.size());
}

// Who may only plan may choose the compose file, and so where a value of the env file turns up.
TEST_P(ComposeEscalation, NoTextOfAPlanOrARefusalHasAValueOfTheEnvFileInIt) {
  const std::vector<std::string> places = {
      "image: \"x${S}\"",
      "image: \"${S}\"",
      "image: \"x:${S}\"",
      "volumes: [\"/${S}:/x\"]",
      "volumes: [\"./${S}:/x\"]",
      "volumes: [\"/x/../${S}/./y:/x\"]",
      "volumes: [\"${S}:/x\"]",
      "volumes: [\"/x:/${S}\"]",
      "ports: [\"${S}:80\"]",
      "ports: [\"80:${S}\"]",
      "cap_add: [\"${S}\"]",
      "devices: [\"/dev/${S}:/x\"]",
      "device_cgroup_rules: [\"${S}\"]",
      "security_opt: [\"${S}\"]",
      "network_mode: \"${S}\"",
      "pid: \"${S}\"",
      "ipc: \"container:${S}\"",
      "cgroup_parent: \"/${S}\"",
      "volumes_from: [\"container:${S}\"]",
      "restart: \"${S}\"",
      "mem_limit: \"${S}\"",
      "cpus: \"${S}\"",
      "stop_grace_period: \"${S}\"",
      "healthcheck: {test: [CMD, x], interval: \"${S}\"}",
      "sysctls: [\"${S}=1\"]",
      "logging: {driver: x, options: {a: \"/${S}\"}}",
      "networks: [\"${S}\"]",
      "depends_on: [\"${S}\"]",
      "build: \"/${S}\"",
      "build: {context: ., dockerfile: \"../${S}\"}",
      "build: {context: ., cache_from: [\"type=local,src=${S}\"]}",
      "build: {context: ., additional_contexts: {x: \"/${S}\"}}",
      "build: {context: ., tags: [\"${S}\"]}",
      "build: {context: ., network: \"${S}\"}",
      "env_file: \"${S}\"",
      "env_file: \"/${S}\"",
      "extends: {file: \"/${S}.yml\", service: x}",
      "extends: {service: \"${S}\"}",
      "secrets: [\"${S}\"]",
      "labels: {x: \"${S:?no}\"}",
      "profiles: [\"${S}\"]",
      "platform: \"${S}\"",
      "ulimits: {nofile: \"${S}\"}",
      "environment: [\"${S}\"]",
      "x${S}: 1",
      "deploy: {replicas: \"${S}\"}",
  };
  const std::vector<std::string> tops = {
      "volumes: {vol: {name: \"${S}\"}}",
      "volumes: {vol: {driver: \"${S}\"}}",
      "volumes: {vol: {driver_opts: {type: none, o: bind, device: \"/${S}\"}}}",
      "networks: {n: {name: \"${S}\"}}",
      "networks: {n: {driver: \"${S}\"}}",
      "secrets: {s: {file: \"/${S}\"}}",
      "configs: {s: {file: \"${S}\"}}",
      "include: [\"/${S}\"]",
  };
  const std::string plain = "skLiveQ7/wEr.ty//uiop+asdf:ghjk=zxcv@bnm99";
  const auto check = [&](const std::string& text, const std::string& place) {
    const std::string lower = absl::AsciiStrToLower(text);
    for (const char* canary : {"sklive", "sk live", "werty", "wer.ty", "asdf", "ghjk", "zxcv",
                               "bnm99", "with spaces", "slipwayvalue"}) {
      EXPECT_EQ(lower.find(canary), std::string::npos) << place << "\n" << text;
    }
  };
  for (const std::string& env : {absl::StrCat("S=", plain, "\n"),
                                 std::string("S='sk live Q7 $$ \"wErty\" with spaces'\n")}) {
    const auto look = [&](const std::string& web, const std::string& top) {
      const ComposeHost::Files files = {
          {"docker-compose.yml",
           absl::StrCat(
               "services:\n  web:\n", absl::StartsWith(web, "image") ? "" : "    image: a\n",
               absl::StartsWith(web, "ports") ? "" : "    ports: [\"127.0.0.1:8000:8000\"]\n",
               "    ", web, "\n", top, "\n")},
          {"Dockerfile", "FROM scratch\n"}};
      const auto plan = host_.Plan(files, env);
      check(plan.ok() ? plan->DebugString() : MessageWithCure(plan.status()), web + top);
      std::string release;
      check(host_.Stage(files, env, &release).DebugString(), web + top);
    };
    for (const std::string& place : places) look(place, "");
    for (const std::string& top : tops) look("command: x", top);
  }
}

TEST_P(ComposeEscalation, AnAllowanceThatWasTakenBackCountsForAStagedReleaseToo) {
  const ComposeHost::Files files = {
      {"docker-compose.yml",
       absl::StrCat("services:\n  web:\n    image: ", ComposeHost::Image(),
                    "\n    ports: [\"127.0.0.1:8000:8000\"]\n    volumes: [\"/srv:/srv\"]\n")}};
  host_.allowances() = {"web:bind:/srv"};
  std::string release;
  ASSERT_TRUE(host_.Stage(files, "", &release).succeeded());
  EXPECT_TRUE(host_.StageAgain(release).succeeded());
  host_.allowances().clear();
  const xpb::StepResult again = host_.StageAgain(release);
  EXPECT_FALSE(again.succeeded());
  EXPECT_EQ(again.reason(), pb::FAILURE_REASON_POLICY);
  EXPECT_THAT(again.summary(), HasSubstr("slipway allow --add web:bind:/srv"));
}

// A directory that any container can write may turn into a link between two starts.
class LinkSwap : public ComposeEscalation {
 protected:
  LinkSwap() {
    EXPECT_TRUE(WriteFileAtomically(secret() / "file", "the host's secret").ok());
    EXPECT_TRUE(WriteFileAtomically(secret() / "own.txt", "the host's secret").ok());
  }
  const fs::path& secret() const { return outside_.path(); }
  static std::string Web(const std::string& volumes, const std::string& more = "") {
    return absl::StrCat("services:\n  web:\n    image: ", ComposeHost::Image(),
                        "\n    ports: [\"127.0.0.1:8000:8000\"]\n    volumes: ", volumes, "\n",
                        more);
  }
  static std::string Other(const std::string& name, const std::string& lines) {
    return absl::StrCat("  ", name, ":\n    image: ", ComposeHost::Image(), "\n", lines);
  }
  // Puts a link to the host in place of each path, in every way that a shell has.
  void Swap(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      const std::string link = absl::StrCat("ln -s ", secret().string(), " ", path);
      host_.Shell("web", absl::StrCat("rm -rf ", path, "; ", link, "; mv ", path, " ", path,
                                      ".old; ", link, "; mv $(dirname ", path, ") $(dirname ", path,
                                      ").old; mkdir -p $(dirname ", path, "); ", link, "; true"));
    }
  }
  std::string Seen(const std::string& service, const std::string& where) {
    return host_.Shell(service,
                       absl::StrCat("cat ", where, "/file ", where, "/own.txt ", where, " 2>&1"));
  }

  const slipway::testing::TemporaryFolder outside_;
};
INSTANTIATE_TEST_SUITE_P(Composes, LinkSwap, ::testing::ValuesIn(ComposePrograms()),
                         [](const auto& of) { return absl::StrCat("Compose", of.index + 1); });

TEST_P(LinkSwap, OfABindBelowAWritableOneReachesNoWorkerNorTheSameOneAfterARestart) {
  host_.spec().mutable_compose()->add_workers("worker");
  const ComposeHost::Files files = {
      {"docker-compose.yml",
       Web("[\".:/app\"]",
           Other("worker",
                 "    volumes: [\"./data:/host\", \"./conf/x:/conf\", \"./f.txt:/f.txt\"]\n"))},
      {"conf/x/own.txt", "ours"},
      {"f.txt", "ours"}};
  std::string release;
  ASSERT_TRUE(host_.Stage(files, "", &release).succeeded());
  ASSERT_TRUE(host_.Build(release).succeeded() && host_.Shared(release).succeeded());
  ASSERT_TRUE(host_.Start(release, pb::SLOT_BLUE).succeeded());
  Swap({"/app/data", "/app/conf/x", "/app/f.txt"});
  const xpb::StepResult workers = host_.Workers(release);
  EXPECT_TRUE(workers.succeeded()) << workers.summary();
  for (const char* where : {"/host", "/conf", "/f.txt"}) {
    EXPECT_THAT(Seen("worker", where), Not(HasSubstr("secret"))) << where;
  }
  Swap({"/app/data", "/app/conf/x", "/app/f.txt"});
  for (const char* service : {"worker", "web"}) {
    ComposeHost::Run({"docker", "restart", "-t", "0", host_.Container(service).id});
  }
  for (const char* where : {"/host", "/conf", "/f.txt"}) {
    EXPECT_THAT(Seen("worker", where), Not(HasSubstr("secret"))) << where;
  }
  EXPECT_THAT(Seen("web", "/app/data"), Not(HasSubstr("secret")));
}

TEST_P(LinkSwap, InStateReachesNoServiceThatMountsADirectoryOfIt) {
  host_.spec().mutable_compose()->add_workers("worker");
  const ComposeHost::Files files = {
      {"docker-compose.yml",
       Web("[\"./data:/data\"]",
           absl::StrCat(Other("worker", "    volumes: [\"./data/inner:/host\"]\n"),
                        Other("db", "    volumes: [\"./data/inner/deep:/host\"]\n")))}};
  const xpb::StepResult first = host_.Deploy(files);
  ASSERT_TRUE(first.succeeded()) << first.summary();
  Swap({"/data/inner", "/data/inner/deep"});
  for (const char* service : {"worker", "db", "web"}) {
    ComposeHost::Run({"docker", "restart", "-t", "0", host_.Container(service).id});
  }
  EXPECT_THAT(Seen("worker", "/host"), Not(HasSubstr("secret")));
  EXPECT_THAT(Seen("db", "/host"), Not(HasSubstr("secret")));
}

TEST_P(LinkSwap, InFilesOfASharedServiceReachesNeitherItsNextUpdateNorSecrets) {
  const auto files = [](const std::string& version) {
    return ComposeHost::Files{
        {"docker-compose.yml",
         Web("[\".:/app\"]",
             absl::StrCat(
                 Other("db", "    volumes: [\".:/all\", \"./conf:/conf\"]\n    secrets: [key]\n"),
                 "secrets: {key: {file: ./conf/own.txt}}\n"))},
        {"conf/own.txt", version},
        {"conf/sub/file", version}};
  };
  const xpb::StepResult first = host_.Deploy(files("one"));
  ASSERT_TRUE(first.succeeded()) << first.summary();
  for (const char* place : {"/all/conf/sub", "/conf/sub", "/conf/own.txt", "/all/conf"}) {
    host_.Shell(
        "db", absl::StrCat("rm -rf ", place, "; ln -s ", secret().string(), " ", place, "; true"));
  }
  const xpb::StepResult second = host_.Deploy(files("two"), "", {"db"});
  EXPECT_EQ(*ReadFile(secret() / "file"), "the host's secret")
      << "nothing is written through a link";
  EXPECT_EQ(*ReadFile(secret() / "own.txt"), "the host's secret");
  const std::string seen =
      host_.Shell("db", "cat /run/secrets/key /conf/own.txt /conf/sub/file /all/conf/file 2>&1");
  EXPECT_THAT(seen, Not(HasSubstr("the host's"))) << second.summary();
}

}  // namespace
}  // namespace slipway::executor
