// An installation that a person's own compose has made, on the real Docker Engine: found beside a project
// of another name, and known by the services' names only as long as it serves.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/compose_host.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::ComposeHost;
using ::slipway::testing::ComposePrograms;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kProject[] = "states-old";

class Installation : public ::testing::TestWithParam<std::string> {
 protected:
  // `web` is slotted, `db` shared and with a volume.
  Installation() {
    compose_ = absl::StrCat(
        "services:\n  web:\n    image: ", ComposeHost::Image(),
        "\n    ports: [\"127.0.0.1:21812:8000\"]\n  db:\n    image: ", ComposeHost::Image(),
        "\n    restart: always\n    volumes: [\"pgdata:/data\"]\n"
        "volumes: {pgdata: }\n");
  }
  // As a person does it beside the file.
  void Up() {
    ASSERT_TRUE(WriteFileAtomically(checkout_.path() / "docker-compose.yml", compose_).ok());
    ComposeHost::Run({GetParam(), "-p", kProject, "up", "-d"}, checkout_.path());
  }
  ComposeHost::Files Files() { return {{"docker-compose.yml", compose_}}; }
  std::string ContainerOf(const std::string& project, const std::string& service) {
    const auto found = host_.engine().List({{kLabelProject, project}, {kLabelService, service}});
    EXPECT_TRUE(found.ok() && found->size() == 1) << project << " " << service;
    return found.ok() && found->size() == 1 ? found->front().id : "";
  }
  std::string AddressIn(const std::string& container, const std::string& network) {
    return ComposeHost::Run(
        {"docker", "inspect", "-f",
         absl::StrCat("{{(index .NetworkSettings.Networks \"", network, "\").IPAddress}}"),
         container});
  }
  // Where the name leads, as the database's container resolves it.
  std::string Lookup(const std::string& name) {
    return host_.Shell("db", absl::StrCat("nslookup ", name, " | sed -n '/^Name/,$p'"));
  }

  ComposeHost host_{GetParam(), "states"};
  const slipway::testing::TemporaryFolder checkout_;
  std::string compose_;
};
INSTANTIATE_TEST_SUITE_P(Composes, Installation, ::testing::ValuesIn(ComposePrograms()),
                         [](const auto& of) { return absl::StrCat("Compose", of.index + 1); });

TEST_P(Installation, AnEmptyVolumeBesideAFullOneIsRefusedUntilSomebodySaysWhichIsMeant) {
  Up();
  const auto plan = host_.Plan(Files(), "");
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("states_pgdata would be new and empty beside states-old_pgdata"));
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr(checkout_.path().string()));
  const xpb::StepResult refused = host_.Deploy(Files());
  EXPECT_FALSE(refused.succeeded());
  EXPECT_EQ(refused.reason(), pb::FAILURE_REASON_PREFLIGHT);
  const auto volumes = [] { return ComposeHost::Run({"docker", "volume", "ls", "-q"}); };
  EXPECT_THAT(volumes(), Not(HasSubstr("states_pgdata")));
  host_.allowances() = {absl::StrCat("*:beside:", kProject)};
  const xpb::StepResult anew = host_.Deploy(Files());
  EXPECT_TRUE(anew.succeeded()) << anew.summary();
  EXPECT_THAT(volumes(), HasSubstr("states_pgdata"));
  // It has its own now, and nobody is asked again.
  host_.allowances().clear();
  const auto again = host_.Plan(Files(), "");
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_P(Installation, VolumesThatAreLeftOfItAreFoundByTheProjectsNameInTheFile) {
  Up();
  ComposeHost::Run({GetParam(), "-p", kProject, "down"}, checkout_.path());
  const auto plan = host_.Plan(Files(), absl::StrCat("COMPOSE_PROJECT_NAME=", kProject, "\n"));
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("of which only volumes are left"));
}

TEST_P(Installation, AVolumeOfAnotherProjectWithALongerNameIsNotTaken) {
  ComposeHost::Run({"docker", "volume", "create", "--label",
                    absl::StrCat(kLabelProject, "=states_db"), "states_db_data"});
  compose_ = absl::StrCat("services:\n  web:\n    image: ", ComposeHost::Image(),
                          "\n    ports: [\"127.0.0.1:8000:8000\"]\n"
                          "    volumes: [\"db_data:/data\"]\nvolumes: {db_data: }\n");
  const auto plan = host_.Plan(Files(), "");
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("volumes.db_data: states_db_data, which is project states_db's"));
}

TEST_P(Installation, NamesLeadToTheSlotAloneOnceItIsWarmAndBackToItWhenItServesAgain) {
  Up();
  host_.spec().mutable_compose()->set_project(kProject);
  const xpb::StepResult deployed = host_.Deploy(Files());
  ASSERT_TRUE(deployed.succeeded()) << deployed.summary();
  const StagedRelease release{"states", host_.release(), host_.spec()};
  const std::string old = ContainerOf(kProject, "web");
  const std::string slot = ContainerOf("states-blue", "web");
  const std::string network = absl::StrCat(kProject, "_default");
  ASSERT_TRUE(host_.workload().AnswerToNames(release, pb::SLOT_BLUE).ok());
  const absl::Status left = host_.workload().AdoptedLeavesNames(release, old);
  ASSERT_TRUE(left.ok()) << left;
  const std::string of_slot = AddressIn(slot, "states_front");
  std::string of_old = AddressIn(old, network);
  EXPECT_THAT(Lookup("web"), HasSubstr(of_slot));
  EXPECT_THAT(Lookup("web"), Not(HasSubstr(of_old)));
  const auto still = host_.engine().Inspect(old);
  ASSERT_TRUE(still.ok() && still->networks.contains(network)) << "it can reach its database";
  EXPECT_THAT(ComposeHost::Run({"docker", "port", old}), HasSubstr("127.0.0.1:21812"));

  const absl::Status back = host_.workload().AdoptedAnswers(release, old, pb::SLOT_GREEN);
  ASSERT_TRUE(back.ok()) << back;
  of_old = AddressIn(old, "states_front");
  EXPECT_THAT(Lookup("web"), HasSubstr(of_old));
  EXPECT_THAT(Lookup("web"), Not(HasSubstr(of_slot)));
  ASSERT_TRUE(host_.workload().AnswerToNames(release, pb::SLOT_BLUE).ok());
  EXPECT_THAT(Lookup("web"), Not(HasSubstr(of_old)));
}

TEST_P(Installation, TheFrontNetworkTakesNoPublishedPortFromTheNetworkThatHasIt) {
  // Docker publishes a container's ports through the network whose name comes first, unless it is
  // internal: `states_front` would come before this one.
  compose_ = absl::StrCat(compose_, "networks:\n  default: {name: states_zone}\n");
  const xpb::StepResult deployed = host_.Deploy(Files());
  ASSERT_TRUE(deployed.succeeded()) << deployed.summary();
  ASSERT_TRUE(host_.Container("db").networks.contains("states_front"));
  const std::string gateway = ComposeHost::Run(
      {"docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "states_zone"});
  EXPECT_EQ(host_.Shell("db", "ip route | sed -n 's/^default via \\([^ ]*\\) .*/\\1/p'"), gateway);
}

}  // namespace
}  // namespace slipway::executor
