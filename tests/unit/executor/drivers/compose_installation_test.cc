#include "executor/drivers/compose_installation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "executor/failure.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class Installations : public ::testing::Test {
 protected:
  Installations() {
    spec_.set_app("survey");
    spec_.mutable_compose()->set_project("survey");
    spec_.mutable_compose()->add_slotted("api");
    spec_.mutable_slots()->set_blue(8000);
    spec_.mutable_slots()->set_green(8001);
    document_ = {
        {"services",
         {{"api", {{"build", {{"context", "."}}}, {"restart", "always"}}},
          {"db", {{"image", "postgres:17"}, {"restart", "always"}, {"volumes", {"pgdata:/data"}}}},
          {"migrate", {{"build", {{"context", "."}}}}}}},
        {"volumes", {{"pgdata", nullptr}}}};
  }

  DockerContainer& Container(const std::string& project, const std::string& service,
                             const std::string& image) {
    DockerContainer& container = host_.containers.emplace_back();
    container.image = image;
    container.labels = {{kLabelProject, project},
                        {kLabelService, service},
                        {kLabelWorkingDirectory, "/srv/" + project}};
    return container;
  }
  void Volume(const std::string& project, const std::string& key) {
    host_.volumes.push_back({project + "_" + key, {{kLabelProject, project}, {kLabelVolume, key}}});
  }
  // The whole of it, as a person's own compose has started it.
  void Install(const std::string& project) {
    Container(project, "api", project + "_api");
    Container(project, "db", "postgres:17");
    Volume(project, "pgdata");
  }
  std::vector<std::string> Found(std::set<std::string> named = {}) {
    std::vector<std::string> projects;
    for (const auto& other : FindOtherInstallations({document_, spec_, named}, host_))
      projects.push_back(other.project);
    return projects;
  }
  absl::Status Check(const std::vector<std::string>& allowances = {}) {
    return CheckOtherInstallations({document_, spec_}, host_, allowances);
  }

  pb::ApplicationSpec spec_;
  json document_;
  DockerResources host_;
};

TEST_F(Installations,
       TheSameFileUnderAnotherProjectIsFoundAndRefusedUntilSomebodySaysWhichIsMeant) {
  Install("survey-backend");
  const auto found = FindOtherInstallations({document_, spec_}, host_);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].directory, "/srv/survey-backend");
  EXPECT_THAT(found[0].volumes, ElementsAre(Pair("pgdata", "survey-backend_pgdata")));
  const absl::Status refused = Check();
  EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_PREFLIGHT);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("survey_pgdata would be new and empty beside survey-backend_pgdata"));
  EXPECT_THAT(DetailOf(refused).cure(), HasSubstr("write `project: survey-backend`"));
  EXPECT_THAT(DetailOf(refused).cure(),
              HasSubstr("`slipway allow survey --add '*:beside:survey-backend'`"));
  EXPECT_TRUE(Check({"*:beside:survey-backend"}).ok());
  EXPECT_FALSE(Check({"*:beside:other"}).ok());
  spec_.mutable_compose()->set_project("survey-backend");
  EXPECT_TRUE(Check().ok());
}

TEST_F(Installations, OnceItHasItsOwnVolumesNothingIsAsked) {
  Install("survey-backend");
  Volume("survey", "pgdata");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(Installations, AFixedPortInCommonTellsTheSameFileThoughImagesAndVolumesHaveChanged) {
  Container("survey-backend", "db", "postgres:16").ports = {{"5432/tcp", "127.0.0.1", 5432}};
  Volume("survey-backend", "pgdata");
  Volume("survey-backend", "media");
  EXPECT_THAT(Found(), IsEmpty());
  document_["services"]["db"]["ports"] = {"127.0.0.1:5432:5432"};
  EXPECT_THAT(Found(), ElementsAre("survey-backend"));
  document_["services"]["db"].erase("ports");
  Container("survey-backend", "api", "x").ports = {{"8000/tcp", "127.0.0.1", 8001}};
  EXPECT_THAT(Found(), ElementsAre("survey-backend")) << "by a slot's port";
}

TEST_F(Installations, OtherApplicationsWithAVolumeOfTheSameNameAreLeftInPeace) {
  Container("blog", "db", "postgres:17");
  Container("blog", "wordpress", "wordpress");
  Volume("blog", "pgdata");
  Container("wiki", "db", "postgres:15");
  Container("wiki", "api", "wiki_api");
  Volume("wiki", "pgdata");
  Install("shop");
  for (DockerContainer& container : host_.containers) {
    if (container.Label(kLabelProject) == "shop") container.networks["shop_front"] = {};
  }
  host_.networks.push_back({"1", "shop_front", {{kLabelApp, "shop"}}});
  Install("mine");
  host_.containers.back().labels[kLabelApp] = "mine";
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(Installations, TheApplicationsOwnFormerProjectIsFound) {
  Container("survey-old", "db", "postgres:16").labels[kLabelApp] = "survey";
  Volume("survey-old", "pgdata");
  EXPECT_THAT(Found(), ElementsAre("survey-old"));
}

TEST_F(Installations, VolumesThatAreLeftOfAnInstallationAreFoundByTheirNamesOrTheProjects) {
  Volume("survey-backend", "pgdata");
  EXPECT_THAT(Found(), IsEmpty()) << "many applications have one volume of such a name";
  EXPECT_THAT(Found({"survey-backend"}), ElementsAre("survey-backend"));
  document_["volumes"]["uploads"] = nullptr;
  EXPECT_THAT(Found(), IsEmpty()) << "one of two";
  Volume("survey-backend", "uploads");
  EXPECT_THAT(Found(), ElementsAre("survey-backend"));
  Volume("survey-backend", "other");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(Installations, VolumesThatDoNotHaveTheProjectInTheirNameAreTheSameForEveryProject) {
  Install("survey-backend");
  document_["volumes"]["pgdata"] = {{"name", "the_data"}};
  EXPECT_THAT(Found(), IsEmpty());
  document_["volumes"]["pgdata"] = {{"external", true}};
  EXPECT_THAT(Found(), IsEmpty());
}

TEST(ResourcesOfOthers, AreFoundThoughTheirNamesBeginWithThisProjects) {
  DockerResources host;
  host.volumes = {{"shop_db_data", {{kLabelProject, "shop_db"}}},
                  {"shop_data", {{kLabelProject, "shop"}}},
                  {"shop_by_hand", {}}};
  host.networks = {{"1", "shop_db_default", {{kLabelProject, "shop_db"}}}};
  const json document = {
      {"volumes",
       {{"db_data", nullptr},
        {"data", nullptr},
        {"hand", {{"external", true}, {"name", "shop_by_hand"}}}}},
      {"networks", {{"other", {{"external", true}, {"name", "shop_db_default"}}}}}};
  ComposeFindings findings;
  FindResourcesOfOthers(document, "shop", host, findings);
  const absl::Status refused = findings.Verdict({});
  EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_POLICY);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("volumes.db_data: shop_db_data, which is project shop_db's; "
                        "networks.other: shop_db_default, which is project shop_db's"));
  EXPECT_TRUE(findings.Verdict({"*:volume:shop_db_data", "*:network:shop_db_default"}).ok());
}

}  // namespace
}  // namespace slipway::executor
