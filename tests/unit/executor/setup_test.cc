#include "executor/setup.h"

#include <algorithm>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIx slipway-controller";

// A host whose programs do what they are asked, and remember it.
class RecordingHost final : public ProcessRunner {
 public:
  absl::StatusOr<ProcessResult> Run(const Command& command) override {
    const std::string line = absl::StrJoin(command.argv, " ");
    lines.push_back(line);
    ProcessResult result;
    if (command.argv[0] == "dpkg-query") result.exit_code = has_package ? 0 : 1;
    if (line == "getent passwd slipway") result.exit_code = has_user ? 0 : 2;
    if (line == "getent group docker") result.exit_code = has_docker ? 0 : 2;
    if (command.argv[0] == "useradd") has_user = true;
    if (line.starts_with("usermod --append")) in_groups = true;
    if (line == "id -nG slipway")
      result.standard_output = in_groups ? "slipway docker adm\n" : "slipway\n";
    if (line.starts_with("stat -c %G")) result.standard_output = group_set ? "slipway\n" : "root\n";
    if (command.argv[0] == "chgrp") group_set = true;
    if (command.argv[0] == "chmod") chmod(command.argv[2].c_str(), 02775);
    if (command.argv[0] == "visudo") result.exit_code = sudoers_good ? 0 : 1;
    if (line.find("is-active") != std::string::npos) result.exit_code = active ? 0 : 3;
    if (line.find("systemctl restart") != std::string::npos) active = true;
    return result;
  }
  size_t Count(const std::string& what) const {
    return static_cast<size_t>(std::count_if(lines.begin(), lines.end(), [&](const auto& line) {
      return line.find(what) != std::string::npos;
    }));
  }

  bool has_user = false;
  bool has_package = false;
  bool has_docker = true;
  bool in_groups = false;
  bool group_set = false;
  bool sudoers_good = true;
  bool active = false;
  std::vector<std::string> lines;
};

class SetupTest : public ::testing::Test {
 protected:
  SetupTest() {
    for (const char* path : {"run/systemd/system", "etc/nginx/conf.d", "usr/sbin"}) {
      fs::create_directories(root() / path);
    }
    WriteFileAtomically(root() / "usr/sbin/visudo", "").IgnoreError();
    WriteFileAtomically(root() / "upload", "the program").IgnoreError();
    options_.root = root();
    options_.binary = root() / "upload";
    options_.controller_key = kKey;
    options_.start = true;
  }
  const fs::path& root() const { return folder_.path(); }
  absl::StatusOr<xpb::SetupReport> Run() { return executor::Setup(host_, options_).Run(); }
  static std::vector<std::string> Changed(const xpb::SetupReport& report) {
    std::vector<std::string> changed;
    for (const xpb::SetupStep& step : report.steps()) {
      if (step.changed()) changed.push_back(step.subject());
    }
    return changed;
  }
  std::string Text(const char* path) { return ReadFile(root() / path).value(); }

  testing::TemporaryFolder folder_;
  RecordingHost host_;
  SetupOptions options_;
};

TEST_F(SetupTest, MakesABareHostReady) {
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Text("usr/lib/slipway/slipway-executor"), "the program");
  EXPECT_EQ(Text("etc/sudoers.d/slipway-executor"),
            "# Written by slipway-executor setup.\n"
            "slipway ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -T, "
            "/usr/sbin/nginx -s reload, /usr/lib/slipway/slipway-executor remove-release "
            "--config /etc/slipway/executor.yaml\n");
  EXPECT_THAT(Text("etc/slipway/executor.yaml"), HasSubstr("[sudo, -n, /usr/sbin/nginx, -t]"));
  EXPECT_THAT(
      Text("var/lib/slipway/.ssh/authorized_keys"),
      AllOf(HasSubstr("restrict,port-forwarding,permitopen=\"[/run/slipway/executor.sock]:*\""),
            HasSubstr("command=\"/bin/false\""), HasSubstr(kKey)));
  EXPECT_THAT(Text("etc/systemd/system/slipway-executor.service"),
              AllOf(HasSubstr("User=slipway"), HasSubstr("ProtectSystem=strict")));
  EXPECT_THAT(host_.lines, Contains("systemctl restart slipway-executor"));
  EXPECT_TRUE(report->running());
  EXPECT_FALSE(report->enrolled());
  EXPECT_EQ(report->socket(), "/run/slipway/executor.sock");
}

TEST_F(SetupTest, TwiceChangesNothing) {
  ASSERT_TRUE(Run().ok());
  host_.lines.clear();
  const auto again = Run();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(Changed(*again), ::testing::IsEmpty());
  for (const char* verb :
       {"useradd", "usermod", "chgrp", "chmod", "visudo", "restart", "daemon-reload"}) {
    EXPECT_EQ(host_.Count(verb), 0u) << verb;
  }
}

TEST_F(SetupTest, NewProgramReplacesTheOldOneAndNothingElse) {
  ASSERT_TRUE(Run().ok());
  ASSERT_TRUE(WriteFileAtomically(options_.binary, "a newer program").ok());
  const auto upgraded = Run();
  ASSERT_TRUE(upgraded.ok());
  EXPECT_EQ(Changed(*upgraded), std::vector<std::string>{"binary"});
  EXPECT_EQ(Text("usr/lib/slipway/slipway-executor"), "a newer program");
}

TEST_F(SetupTest, PersonsConfigurationStays) {
  fs::create_directories(root() / "etc/slipway");
  ASSERT_TRUE(
      WriteFileAtomically(root() / "etc/slipway/executor.yaml", "address: 127.0.0.5\n").ok());
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(Text("etc/slipway/executor.yaml"), "address: 127.0.0.5\n");
}

TEST_F(SetupTest, AddsTheTlsPortToAConfigurationThatNamesNone) {
  ASSERT_TRUE(Run().ok());
  options_.tls_listen = "0.0.0.0:9782";
  const auto added = Run();
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(Changed(*added), std::vector<std::string>{"config"});
  EXPECT_THAT(Text("etc/slipway/executor.yaml"), HasSubstr("tls_listen: \"0.0.0.0:9782\"\n"));
  EXPECT_THAT(Changed(*Run()), ::testing::IsEmpty());
  options_.tls_listen = "0.0.0.0:1";
  EXPECT_FALSE(Run().ok());
  options_.tls_listen = "0.0.0.0:1\nstate: /";
  EXPECT_FALSE(Run().ok());
}

TEST_F(SetupTest, BrokenSudoersFileNeverCounts) {
  host_.sudoers_good = false;
  EXPECT_FALSE(Run().ok());
  EXPECT_FALSE(fs::exists(root() / "etc/sudoers.d/slipway-executor"));
  EXPECT_FALSE(fs::exists(root() / "etc/sudoers.d/slipway-executor.new"));
}

TEST_F(SetupTest, SaysWhatTheHostLacks) {
  host_.has_docker = false;
  EXPECT_THAT(DetailOf(Run().status()).cure(), HasSubstr("apt-get install docker.io"));
  host_.has_docker = true;
  fs::remove_all(root() / "etc/nginx");
  EXPECT_THAT(DetailOf(Run().status()).cure(), HasSubstr("apt-get install nginx"));
}

TEST_F(SetupTest, WithoutSystemdItSaysHowToStart) {
  fs::remove_all(root() / "run/systemd");
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->running());
  EXPECT_THAT(report->start_hint(), AllOf(HasSubstr("as user slipway"),
                                          HasSubstr("/usr/lib/slipway/slipway-executor serve")));
  EXPECT_EQ(host_.Count("systemctl"), 0u);
}

TEST_F(SetupTest, RemoveTakesItAwayAndLeavesTheState) {
  ASSERT_TRUE(Run().ok());
  options_.remove = true;
  const auto removed = Run();
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_FALSE(fs::exists(root() / "usr/lib/slipway/slipway-executor"));
  EXPECT_FALSE(fs::exists(root() / "etc/sudoers.d/slipway-executor"));
  EXPECT_TRUE(fs::exists(root() / "var/lib/slipway/executor"));
  EXPECT_THAT(Text("var/lib/slipway/.ssh/authorized_keys"), Not(HasSubstr(kKey)));
  EXPECT_THAT(host_.lines, Contains("systemctl disable --now slipway-executor"));
}

TEST_F(SetupTest, ProgramOfAPackageIsLeftToThePackage) {
  const fs::path packaged = root() / "usr/lib/slipway/slipway-executor";
  fs::create_directories(packaged.parent_path());
  ASSERT_TRUE(WriteFileAtomically(packaged, "another program", 0755).ok());
  host_.has_package = true;
  EXPECT_THAT(DetailOf(Run().status()).cure(), HasSubstr("apt-get install slipway-executor"));
  EXPECT_EQ(Text("usr/lib/slipway/slipway-executor"), "another program");
  options_.binary = packaged;
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(Changed(*report), Not(Contains("binary")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(root() / "usr/bin/slipway-executor")));
  options_.remove = true;
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(fs::exists(packaged));
  EXPECT_FALSE(fs::exists(root() / "etc/sudoers.d/slipway-executor"));
}

TEST_F(SetupTest, SaysWhetherNginxIncludesTheFolder) {
  const auto said = [this] {
    const auto report = Run();
    for (const xpb::SetupStep& step : report->steps()) {
      if (step.subject() == "include") return step.text();
    }
    return std::string("nothing");
  };
  EXPECT_THAT(said(), HasSubstr("has no `include /etc/nginx/conf.d/*.conf;`: add it"));
  WriteFileAtomically(root() / "etc/nginx/nginx.conf",
                      "http {\n\t# include /etc/nginx/conf.d/*.conf;\n}\n")
      .IgnoreError();
  EXPECT_THAT(said(), HasSubstr("has no"));
  WriteFileAtomically(root() / "etc/nginx/nginx.conf",
                      "http {\n\tinclude /etc/nginx/conf.d/*.conf;\n}\n")
      .IgnoreError();
  EXPECT_EQ(said(), "nginx.conf has `include /etc/nginx/conf.d/*.conf;`");
}

TEST_F(SetupTest, PlainUserGetsItInItsHome) {
  options_.as_root = false;
  options_.user = "deploy";
  options_.home = "/home/deploy";
  options_.controller_key = kKey;
  fs::remove_all(root() / "run/systemd");
  const auto report = Run();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->user(), "deploy");
  EXPECT_EQ(report->socket(), "/home/deploy/.local/share/slipway/executor.sock");
  EXPECT_EQ(Text("home/deploy/.local/share/slipway/slipway-executor"), "the program");
  EXPECT_EQ(host_.Count("useradd") + host_.Count("visudo") + host_.Count("chgrp"), 0u);
}

TEST(SetupKey, IsOneLineOfAStrictGrammar) {
  EXPECT_TRUE(AuthorizedLine(kKey, "/run/x.sock").ok());
  for (const char* key :
       {"", "ssh-ed25519", "ssh-ed25519 AAAA x\nssh-ed25519 BBBB y",
        "command=\"sh\" ssh-ed25519 AAAA", "ssh-ed25519 AAAA $(id)", "ssh-ed25519 AAAA a b"}) {
    EXPECT_FALSE(AuthorizedLine(key, "/run/x.sock").ok()) << key;
  }
}

}  // namespace
}  // namespace slipway::executor
