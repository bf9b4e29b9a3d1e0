// Two executors on one Docker Engine, and whose networks are left on it.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "executor/paths.h"
#include "tests/support/compose_host.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::ComposeHost;
using ::slipway::testing::ComposePrograms;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::string Compose(const std::string& more = "") {
  return absl::StrCat("services:\n  web:\n    image: ", ComposeHost::Image(),
                      "\n    ports: [\"127.0.0.1:8000:8000\"]\n", more);
}
std::string Service(const std::string& name, const std::string& lines = "") {
  return absl::StrCat("  ", name, ":\n    image: ", ComposeHost::Image(), "\n", lines);
}

class ComposeOwner : public ::testing::TestWithParam<std::string> {
 protected:
  void Deploy(ComposeHost& host, const ComposeHost::Files& files) {
    const xpb::StepResult result = host.Deploy(files);
    ASSERT_TRUE(result.succeeded()) << result.summary();
  }
  std::vector<std::string> Containers() {
    std::vector<std::string> ids;
    const auto containers = host_.engine().List({{kLabelApp, "owned"}});
    for (const DockerContainer& container : *containers)
      if (container.running()) ids.push_back(container.id);
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  std::vector<std::string> Networks() {
    std::vector<std::string> names;
    const auto networks = host_.engine().ListNetworks({});
    for (const DockerNetwork& network : *networks)
      if (absl::StartsWith(network.name, "owned")) names.push_back(network.name);
    return names;
  }

  ComposeHost host_{GetParam(), "owned"};
};
INSTANTIATE_TEST_SUITE_P(Composes, ComposeOwner, ::testing::ValuesIn(ComposePrograms()),
                         [](const auto& of) { return absl::StrCat("Compose", of.index + 1); });

TEST_P(ComposeOwner, ASecondExecutorIsRefusedAndTouchesNothing) {
  host_.spec().mutable_compose()->add_workers("worker");
  const std::string compose = Compose(Service("db") + Service("worker"));
  Deploy(host_, {{"docker-compose.yml", compose}, {"VERSION", "1"}});
  const std::vector<std::string> before = Containers();
  ASSERT_THAT(before, SizeIs(3));

  ComposeHost other(GetParam(), "owned");
  other.spec() = host_.spec();
  const absl::Status planned = other.workload().CheckProjects(other.spec());
  EXPECT_THAT(std::string(planned.message()), HasSubstr("belongs to another executor"));
  std::string release;
  ASSERT_TRUE(
      other.Stage({{"docker-compose.yml", compose}, {"VERSION", "2"}}, "", &release).succeeded());
  for (const xpb::StepResult& result : {other.Shared(release), other.Start(release, pb::SLOT_BLUE),
                                        other.Workers(release), other.Remove(pb::SLOT_BLUE)}) {
    EXPECT_FALSE(result.succeeded()) << result.summary();
    EXPECT_THAT(result.summary(), HasSubstr("belongs to another executor"));
  }
  EXPECT_THAT(other.workload().Observe("owned", pb::SLOT_BLUE, nullptr)->containers, IsEmpty());
  EXPECT_EQ(Containers(), before);
  EXPECT_TRUE(host_.workload().CheckProjects(host_.spec()).ok());
}

TEST_P(ComposeOwner, AnExecutorTakesThePlaceOfOneThatIsGoneByThePrintedCommand) {
  Deploy(host_, {{"docker-compose.yml", Compose()}});
  ComposeHost other(GetParam(), "owned");
  const std::string cure = DetailOf(other.workload().CheckProjects(host_.spec())).cure();
  const size_t from = cure.find("echo ");
  ASSERT_NE(from, std::string::npos) << cure;
  ComposeHost::Run({"sh", "-c", cure.substr(from, cure.find(',', from) - from)});
  ComposeHost started_anew(GetParam(), "owned", &other);
  EXPECT_TRUE(started_anew.workload().CheckProjects(host_.spec()).ok());
  EXPECT_THAT(started_anew.workload().Observe("owned", pb::SLOT_BLUE, nullptr)->containers,
              SizeIs(1));
}

TEST_P(ComposeOwner, AServiceAloneHasNoNetworkButTheSharedOne) {
  for (const char* version : {"1", "2", "3"})
    Deploy(host_, {{"docker-compose.yml", Compose()}, {"VERSION", version}});
  EXPECT_THAT(Networks(), ElementsAre("owned_default"));
  const DockerContainer web = host_.Container("web");
  ASSERT_THAT(web.networks, SizeIs(1));
  EXPECT_EQ(web.networks.begin()->first, "owned_default");
  ComposeHost::Run({"docker", "restart", "-t", "0", web.id});
  const DockerContainer restarted = host_.Container("web");
  EXPECT_THAT(restarted.networks, SizeIs(1));
  ASSERT_THAT(restarted.ports, SizeIs(1));
  EXPECT_EQ(restarted.ports[0].host_port, web.ports[0].host_port);
}

TEST_P(ComposeOwner, AServiceAloneOnSeveralNetworksHasNoneOfItsSlotAndKeepsItsPort) {
  const std::string compose = absl::StrCat(
      "services:\n  web:\n    image: ", ComposeHost::Image(),
      "\n    ports: [\"127.0.0.1:8000:8000\"]\n    command: [httpd, -f, -p, \"8000\"]\n"
      "    networks: [default, inner]\n",
      Service("db", "    networks: [inner]\n"), "networks:\n  inner:\n");
  for (const char* version : {"1", "2"})
    Deploy(host_, {{"docker-compose.yml", compose}, {"VERSION", version}});
  EXPECT_THAT(Networks(), UnorderedElementsAre("owned_default", "owned_inner", "owned_front"));
  const auto answer = [this] {
    return ComposeHost::Run(
        {"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:21811/"});
  };
  EXPECT_EQ(answer(), "404");
  const StagedRelease release{"owned", host_.release(), host_.spec()};
  ASSERT_TRUE(host_.workload().AnswerToNames(release, pb::SLOT_GREEN).ok());
  EXPECT_EQ(answer(), "404") << "it serves still, on the front network as well";
  EXPECT_THAT(host_.Shell("db", "nslookup web >/dev/null && echo found"), "found\n");
  EXPECT_THAT(host_.Shell("web", "nslookup db >/dev/null && echo found"), "found\n");
}

TEST_P(ComposeOwner, TheNetworkOfASlotGoesWithTheSlot) {
  host_.spec().mutable_compose()->add_slotted("cache");
  const std::string compose = Compose(Service("cache") + Service("db"));
  for (const char* version : {"1", "2"})
    Deploy(host_, {{"docker-compose.yml", compose}, {"VERSION", version}});
  EXPECT_THAT(Networks(),
              UnorderedElementsAre("owned_default", "owned_front", "owned-green_default"));
  EXPECT_THAT(
      host_.Shell("web", "nslookup cache >/dev/null && nslookup db >/dev/null && echo both"),
      "both\n");
}

TEST_P(ComposeOwner, ASlotStartsThoughSomebodyHasRemovedTheNetworks) {
  Deploy(host_, {{"docker-compose.yml", Compose()}});
  const std::string release = host_.release();
  for (const std::string& id : Containers()) ComposeHost::Run({"docker", "rm", "-f", id});
  for (const std::string& network : Networks())
    ComposeHost::Run({"docker", "network", "rm", network});
  ASSERT_THAT(Networks(), IsEmpty());
  const xpb::StepResult started = host_.Start(release, pb::SLOT_GREEN);
  EXPECT_TRUE(started.succeeded()) << started.summary();
  EXPECT_THAT(host_.Container("web").networks, SizeIs(1));
}

TEST_P(ComposeOwner, AFailedFirstDeploymentLeavesNoNetwork) {
  host_.spec().mutable_compose()->add_slotted("cache");
  std::string release;
  ASSERT_TRUE(
      host_.Stage({{"docker-compose.yml", Compose(Service("cache"))}}, "", &release).succeeded());
  ASSERT_TRUE(host_.Shared(release).succeeded());
  ASSERT_TRUE(host_.Start(release, pb::SLOT_BLUE).succeeded());
  EXPECT_THAT(Networks(), SizeIs(2));
  ASSERT_TRUE(host_.Remove(pb::SLOT_BLUE).succeeded());
  EXPECT_THAT(Networks(), IsEmpty());
}

}  // namespace
}  // namespace slipway::executor
