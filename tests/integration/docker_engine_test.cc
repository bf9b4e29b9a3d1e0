// The Engine API on the real dockerd, with an image from scratch that holds a static busybox.
#include "executor/drivers/docker_engine.h"

#include <filesystem>
#include <thread>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/mutex.h"
#include "executor/drivers/http_client.h"
#include "executor/process/process_runner.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;

class Docker : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const slipway::testing::TemporaryFolder folder;
    std::filesystem::copy_file("/bin/busybox", folder.path() / "busybox");
    ASSERT_TRUE(
        WriteFileAtomically(folder.path() / "Dockerfile",
                            "FROM scratch\nCOPY busybox /bin/busybox\nLABEL slipway.test=1\n"
                            "ENTRYPOINT [\"/bin/busybox\"]\n")
            .ok());
    Command build;
    build.argv = {"docker", "build", "-q", "-t", image_, folder.path().string()};
    build.environment = {{"DOCKER_BUILDKIT", "0"}};
    const auto result = SystemProcessRunner().Run(build);
    ASSERT_TRUE(result.ok() && result->ok()) << result.status() << result->standard_error;
  }
  static void TearDownTestSuite() { DockerEngine().RemoveImage(image_).IgnoreError(); }

  void TearDown() override {
    const auto containers = docker_.List(labels_);
    for (const auto& container : *containers) EXPECT_TRUE(docker_.Remove(container.id).ok());
    const auto networks = docker_.ListNetworks(labels_);
    for (const auto& network : *networks) {
      EXPECT_TRUE(docker_.RemoveNetwork(network.id).ok());
    }
  }

  // Creates (and with `docker run -d` starts) a container of busybox.
  std::string Run(std::vector<std::string> options, std::vector<std::string> command,
                  bool start = true) {
    Command run;
    run.argv = {"docker", start ? "run" : "create"};
    if (start) run.argv.push_back("-d");
    run.argv.insert(run.argv.end(), {"--label", "slipway.test=1", "--label",
                                     absl::StrCat("slipway.run=", getpid())});
    run.argv.insert(run.argv.end(), options.begin(), options.end());
    run.argv.push_back(image_);
    run.argv.insert(run.argv.end(), command.begin(), command.end());
    const auto result = SystemProcessRunner().Run(run);
    EXPECT_TRUE(result.ok() && result->ok()) << result.status() << result->standard_error;
    return result->standard_output.substr(0, 64);
  }

  // Until the container has ended.
  void WaitForEnd(const std::string& id) {
    while (docker_.Inspect(id)->running()) usleep(5000);
  }

  static inline const std::string image_ = absl::StrCat("slipway-test-", getpid());
  const DockerLabels labels_ = {{"slipway.test", "1"}, {"slipway.run", absl::StrCat(getpid())}};
  DockerEngine docker_;
};

TEST_F(Docker, TellsItsVersion) {
  EXPECT_TRUE(docker_.Ping().ok());
  const auto version = docker_.Version();
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_THAT(*version, HasSubstr("."));
}

TEST_F(Docker, IsSpokenWithInTheApiThatItStillHas) {
  EXPECT_EQ(*DockerEngine::ChooseApi("1.12", "1.41"), "/v1.41");
  EXPECT_EQ(*DockerEngine::ChooseApi("1.24", "1.48"), "/v1.41");
  EXPECT_EQ(*DockerEngine::ChooseApi("1.44", "1.52"), "/v1.44");
  EXPECT_EQ(*DockerEngine::ChooseApi("", ""), "/v1.41");
  EXPECT_FALSE(DockerEngine::ChooseApi("1.12", "1.40").ok());
}

TEST_F(Docker, ThatDoesNotListenIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(DockerEngine("/nonexistent/docker.sock").Ping()));
}

TEST_F(Docker, FindsContainersByLabelAndSeesThemWhole) {
  const std::string id =
      Run({"-p", "127.0.0.1:18999:8000", "--label", "color=blue"}, {"sleep", "100"});
  Run({"--label", "color=green"}, {"sleep", "100"});
  DockerLabels blue = labels_;
  blue["color"] = "blue";
  const auto found = docker_.InspectAll(blue);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_THAT(*found, SizeIs(1));
  const DockerContainer& container = found->front();
  EXPECT_EQ(container.id, id);
  EXPECT_TRUE(container.running());
  EXPECT_EQ(container.image, image_);
  EXPECT_EQ(container.labels.at("color"), "blue");
  EXPECT_EQ(container.restart_count, 0);
  EXPECT_THAT(container.started_at, HasSubstr("T"));
  ASSERT_THAT(container.ports, SizeIs(1));
  EXPECT_EQ(container.ports[0].host_port, 18999u);
  EXPECT_EQ(container.ports[0].container_port, "8000/tcp");
  EXPECT_THAT(container.networks, ElementsAre(Pair("bridge", ::testing::_)));
  const auto owner = docker_.OwnerOfPort(18999);
  ASSERT_TRUE(owner.ok()) << owner.status();
  EXPECT_EQ(owner->id, id);
  EXPECT_TRUE(absl::IsNotFound(docker_.OwnerOfPort(18998).status()));
  EXPECT_THAT(*docker_.List(labels_), SizeIs(2));
}

TEST_F(Docker, StartsStopsAndRemovesMoreThanOnce) {
  const std::string id = Run({"--init"}, {"sleep", "100"}, false);
  EXPECT_EQ(docker_.Inspect(id)->state, "created");
  EXPECT_TRUE(docker_.Start(id).ok());
  EXPECT_TRUE(docker_.Start(id).ok());
  EXPECT_TRUE(docker_.Inspect(id)->running());
  EXPECT_TRUE(docker_.Stop(id, std::chrono::seconds(5)).ok());
  EXPECT_TRUE(docker_.Stop(id, std::chrono::seconds(5)).ok());
  EXPECT_EQ(docker_.Inspect(id)->exit_code, 143);
  EXPECT_TRUE(docker_.Remove(id).ok());
  EXPECT_TRUE(docker_.Remove(id).ok());
  const absl::Status gone = docker_.Inspect(id).status();
  EXPECT_TRUE(absl::IsNotFound(gone));
  EXPECT_THAT(std::string(gone.message()), HasSubstr("No such container"));
}

TEST_F(Docker, WaitsForAnEndAndKnowsItAfterwards) {
  const std::string id = Run({}, {"sh", "-c", "exit 5"});
  EXPECT_EQ(*docker_.Wait(id, nullptr), 5);
  EXPECT_EQ(*docker_.Wait(id, nullptr), 5);
  Cancellation stop;
  stop.Cancel();
  EXPECT_TRUE(absl::IsCancelled(docker_.Wait(Run({}, {"sleep", "100"}), &stop).status()));
}

TEST_F(Docker, ReadsTheLastLinesOfBothOutputs) {
  const std::string id = Run({}, {"sh", "-c", "echo one; echo two >&2; echo three; exit 7"});
  WaitForEnd(id);
  const auto tail = docker_.Tail(id, 10);
  ASSERT_TRUE(tail.ok()) << tail.status();
  EXPECT_THAT(*tail, ::testing::UnorderedElementsAre("one", "two", "three"));
  EXPECT_THAT(*docker_.Tail(id, 1), SizeIs(1));
  EXPECT_EQ(docker_.Inspect(id)->exit_code, 7);
}

TEST_F(Docker, ReadsATerminalsOutputRaw) {
  const std::string id = Run({"-t"}, {"sh", "-c", "echo one; echo two"});
  WaitForEnd(id);
  EXPECT_THAT(*docker_.Tail(id, 10), ElementsAre("one", "two"));
}

TEST_F(Docker, FollowsLogsUntilTheSinkHasEnoughOrTheContainerEnds) {
  const std::string id =
      Run({}, {"sh", "-c", "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done"});
  std::vector<std::string> lines;
  EXPECT_TRUE(docker_
                  .StreamLogs(id, true, -1, nullptr,
                              [&](absl::string_view line) {
                                lines.emplace_back(line);
                                return lines.size() < 5;
                              })
                  .ok());
  EXPECT_THAT(lines, ElementsAre("line 0", "line 1", "line 2", "line 3", "line 4"));
  Cancellation cancellation;
  EXPECT_TRUE(
      absl::IsCancelled(docker_.StreamLogs(id, true, 0, &cancellation, [&](absl::string_view) {
        cancellation.Cancel();
        return true;
      })));
  EXPECT_TRUE(docker_
                  .StreamLogs(id, true, 0, nullptr,
                              [&](absl::string_view) {
                                docker_.Remove(id).IgnoreError();
                                return true;
                              })
                  .ok());
}

TEST_F(Docker, RunsACommandInAContainer) {
  const std::string id = Run({}, {"sleep", "100"});
  const auto good =
      docker_.Exec(id, {"/bin/busybox", "sh", "-c", "echo seen; echo too >&2; exit 3"},
                   std::chrono::seconds(10));
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->exit_code, 3);
  EXPECT_THAT(good->output, HasSubstr("seen\n"));
  EXPECT_THAT(good->output, HasSubstr("too\n"));
  const auto missing = docker_.Exec(id, {"/no/such/program"}, std::chrono::seconds(10));
  EXPECT_TRUE(!missing.ok() || missing->exit_code == 126 || missing->exit_code == 127);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      docker_.Exec(id, {"/bin/busybox", "sleep", "5"}, std::chrono::milliseconds(200)).status()));
}

TEST_F(Docker, KnowsItsImages) {
  EXPECT_TRUE(*docker_.ImageExists(image_));
  EXPECT_FALSE(*docker_.ImageExists("no-such-image:1"));
  EXPECT_EQ(docker_.InspectImage(image_)->labels.at("slipway.test"), "1");
  EXPECT_GE(docker_.ListImages({{"slipway.test", "1"}})->size(), 1u);
  EXPECT_TRUE(docker_.RemoveImage("no-such-image:1").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(docker_.ImageExists("../containers/json?all=1").status()));
}

TEST_F(Docker, ConnectsContainersToNetworksByAlias) {
  const std::string name = absl::StrCat("slipway-test-", getpid());
  DockerNetworkSpec spec;
  spec.name = name;
  spec.labels = labels_;
  spec.internal = true;
  spec.subnets = {
      {"10.213.77.0/24", "10.213.77.128/25", "10.213.77.1", {{"router", "10.213.77.2"}}}};
  const auto network = docker_.CreateNetwork(spec);
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_EQ(*docker_.CreateNetwork(spec), *network);
  const std::string server = Run({}, {"sleep", "100"});
  const std::string client = Run({"--network", name}, {"sleep", "100"});
  EXPECT_TRUE(docker_.Connect(*network, server, {"api"}).ok());
  EXPECT_TRUE(docker_.Connect(*network, server, {"api"}).ok());
  EXPECT_THAT(docker_.Inspect(server)->networks.at(name), ::testing::Contains("api"));
  EXPECT_THAT(
      docker_.Exec(client, {"/bin/busybox", "ip", "-4", "addr"}, std::chrono::seconds(10))->output,
      ::testing::ContainsRegex("inet 10\\.213\\.77\\.1[23][0-9]/24"));
  const std::vector<std::string> lookup = {"/bin/busybox", "nslookup", "api"};
  EXPECT_EQ(docker_.Exec(client, lookup, std::chrono::seconds(10))->exit_code, 0);
  EXPECT_TRUE(docker_.Disconnect(*network, server).ok());
  EXPECT_TRUE(docker_.Disconnect(*network, server).ok());
  EXPECT_THAT(docker_.Inspect(server)->networks,
              ::testing::Not(::testing::Contains(Pair(name, ::testing::_))));
}

TEST_F(Docker, ReportsAContainersDeathAsAnEvent) {
  const std::string id = Run({"--label", "watched=1"}, {"sh", "-c", "exit 9"}, false);
  DockerLabels watched = labels_;
  watched["watched"] = "1";
  std::vector<DockerEvent> events;
  const absl::Status status = docker_.Events(
      watched, 0, nullptr, [&] { EXPECT_TRUE(docker_.Start(id).ok()); },
      [&](const DockerEvent& event) {
        events.push_back(event);
        return event.action != "die";
      });
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().id, id);
  EXPECT_EQ(events.back().attributes.at("exitCode"), "9");
}

TEST_F(Docker, SeesARestartAsAnotherStart) {
  const std::string id = Run({"--restart", "always"}, {"sh", "-c", "sleep 0.2; exit 1"});
  const DockerContainer before = *docker_.Inspect(id);
  DockerContainer after = before;
  while (after.started_at == before.started_at) {
    usleep(20'000);
    after = *docker_.Inspect(id);
  }
  EXPECT_GE(after.restart_count, 1);
}

}  // namespace
}  // namespace slipway::executor
