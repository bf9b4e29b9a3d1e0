#include "executor/drivers/compose_cut.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/spec.h"
#include "executor/drivers/compose_document.h"
#include "executor/failure.h"
#include "executor/paths.h"
#include "tests/support/file_tree.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
using ::slipway::testing::FileTree;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Keys(const json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  return keys;
}

// The file of the release that a service of the fixture binds.
const std::pair<const std::string, std::string> kPrometheus = {"deploy/monitoring/prometheus.yml",
                                                               "scrape_configs: []"};

pb::ApplicationSpec Spec() {
  pb::ApplicationSpec spec;
  spec.set_app("gifty");
  spec.mutable_compose()->add_slotted("api");
  spec.mutable_compose()->add_workers("scheduler");
  spec.mutable_compose()->add_workers("bot");
  spec.mutable_slots()->set_blue(8000);
  spec.mutable_slots()->set_green(8001);
  spec.set_port_variable("APP_PORT");
  ApplyDefaults(spec);
  return spec;
}

// Each test sees what compose 1.29 and compose 2.26 made of the same file.
class ComposeCut : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto text = ReadFile(absl::StrCat(SLIPWAY_TEST_DATA "/compose/", GetParam()));
    ASSERT_TRUE(text.ok());
    text_ = *text;
    input_.release = {"gifty", "0123456789ab", Spec()};
    input_.document = *ParseComposeDocument(text_);
    input_.release_folder = "/release";
    input_.manifest = &manifest_;
    input_.address = "127.0.0.1";
  }

  CutResult Cut() {
    auto cut = CutCompose(input_);
    EXPECT_TRUE(cut.ok()) << cut.status();
    return cut.ok() ? *cut : CutResult();
  }
  std::string Refusal() {
    const auto cut = CutCompose(input_);
    if (cut.ok()) return "ok";
    EXPECT_EQ(ReasonOf(cut.status()), pb::FAILURE_REASON_INVALID_COMPOSE_FILE);
    return std::string(cut.status().message());
  }
  json& Service(const char* name) { return input_.document["services"][name]; }

  std::string text_;
  pb::Manifest manifest_ = FileTree({{"Dockerfile", "FROM x"}, {"app.py", "1"}, kPrometheus});
  CutInput input_;
};

INSTANTIATE_TEST_SUITE_P(BothVersions, ComposeCut,
                         ::testing::Values("compose-1.29.yml", "compose-2.26.json"),
                         [](const auto& of) { return std::string(of.index == 0 ? "One" : "Two"); });

TEST_P(ComposeCut, PutsEachServiceIntoOneProject) {
  const CutResult cut = Cut();
  EXPECT_THAT(Keys(cut.shared["services"]),
              UnorderedElementsAre("postgres", "prometheus", "rabbitmq", "redis"));
  EXPECT_THAT(cut.shared_services,
              UnorderedElementsAre("postgres", "prometheus", "rabbitmq", "redis"));
  EXPECT_THAT(Keys(cut.blue["services"]), ElementsAre("api"));
  EXPECT_THAT(Keys(cut.green["services"]), ElementsAre("api"));
  EXPECT_THAT(Keys(cut.workers["services"]), UnorderedElementsAre("bot", "scheduler"));
  EXPECT_TRUE(cut.hooks["services"].empty());
}

TEST_P(ComposeCut, GivesEachSlotItsOwnPortAndNothingElseAnother) {
  const CutResult cut = Cut();
  EXPECT_EQ(cut.blue["services"]["api"]["ports"], json({"127.0.0.1:8000:8000/tcp"}));
  EXPECT_EQ(cut.green["services"]["api"]["ports"], json({"127.0.0.1:8001:8000/tcp"}));
  json blue = cut.blue;
  json green = cut.green;
  for (json* slot : {&blue, &green}) {
    (*slot)["services"]["api"].erase("ports");
    (*slot)["services"]["api"]["labels"].erase(kLabelSlot);
  }
  EXPECT_EQ(blue, green);
}

TEST_P(ComposeCut, GivesASlotThatStaysOnItsNetworkAPrivateOneOnly) {
  input_.release.spec.mutable_compose()->set_project("production");
  input_.document.erase("networks");
  const CutResult cut = Cut();
  for (const json* slot : {&cut.blue, &cut.green}) {
    EXPECT_EQ((*slot)["services"]["api"]["networks"], json({"default"}));
    // Not external: compose makes one per project.
    EXPECT_FALSE(slot->contains("networks"));
  }
  EXPECT_THAT(cut.slot_networks, ElementsAre("production_default"));
}

TEST_P(ComposeCut, CreatesAServiceThatIsAloneInItsSlotOnDockersOwnBridge) {
  const CutResult cut = Cut();
  for (const json* slot : {&cut.blue, &cut.green}) {
    EXPECT_EQ((*slot)["services"]["api"]["network_mode"], "bridge");
    EXPECT_FALSE((*slot)["services"]["api"].contains("networks"));
  }
  EXPECT_THAT(cut.slot_networks, ElementsAre("gifty_default"));
}

TEST_P(ComposeCut, TellsAServiceThatIsAloneInItsSlotItsOwnName) {
  EXPECT_EQ(Cut().blue["services"]["api"]["extra_hosts"], json({"api api.slot:127.0.0.1"}));
  input_.document["services"]["api"]["extra_hosts"] = {{"other", "10.0.0.1"}};
  EXPECT_EQ(Cut().blue["services"]["api"]["extra_hosts"],
            json({{"api api.slot", "127.0.0.1"}, {"other", "10.0.0.1"}}));
  input_.document["services"]["api"]["extra_hosts"] = json::array({"other=10.0.0.1"});
  EXPECT_EQ(Cut().blue["services"]["api"]["extra_hosts"],
            json({"other=10.0.0.1", "api api.slot:127.0.0.1"}));
}

TEST_P(ComposeCut, LeavesTheSlotsNetworkOnlyWhereNoPortWouldMove) {
  EXPECT_TRUE(Cut().leaves_slot_network);
  input_.release.spec.mutable_compose()->set_project("production");
  input_.document.erase("networks");
  EXPECT_FALSE(Cut().leaves_slot_network) << "production_default sorts after gifty_front";
  EXPECT_FALSE(Cut().blue["services"]["api"].contains("extra_hosts"));
  input_.release.spec.mutable_compose()->set_project("gifty");
  EXPECT_TRUE(Cut().leaves_slot_network);
  input_.document["networks"]["default"] = {{"name", "gifty_default"}, {"internal", true}};
  EXPECT_FALSE(Cut().leaves_slot_network) << "an internal network publishes nothing";
  input_.document["networks"]["back"] = {{"name", "gifty_back"}};
  input_.document["services"]["api"]["networks"] = {{"default", nullptr}, {"back", nullptr}};
  EXPECT_TRUE(Cut().leaves_slot_network) << "the other one does";
  EXPECT_THAT(Cut().slot_networks, ElementsAre("gifty_back", "gifty_default"));
  for (const json& other : {json{{"external", true}, {"name", "a"}}, json{{"driver", "macvlan"}}}) {
    input_.document["networks"]["back"] = other;
    EXPECT_FALSE(Cut().leaves_slot_network) << other;
  }
}

TEST_P(ComposeCut, DropsDependenciesOnSharedServicesAndAwaitsThemInstead) {
  const CutResult cut = Cut();
  EXPECT_FALSE(cut.blue["services"]["api"].contains("depends_on"));
  EXPECT_FALSE(cut.workers["services"]["bot"].contains("depends_on"));
  EXPECT_FALSE(cut.ordered_start);
  EXPECT_THAT(cut.awaited_healthy, UnorderedElementsAre("postgres", "rabbitmq", "redis"));
}

TEST_P(ComposeCut, KeepsDependenciesWithinTheSlot) {
  Service("web") = Service("api");
  Service("web").erase("ports");
  Service("api")["depends_on"]["web"] = {{"condition", "service_healthy"}};
  input_.release.spec.mutable_compose()->add_slotted("web");
  const CutResult cut = Cut();
  EXPECT_EQ(cut.blue["services"]["api"]["depends_on"],
            (json{{"web", {{"condition", "service_healthy"}}}}));
  EXPECT_FALSE(cut.blue["services"]["web"].contains("extra_hosts"));
  EXPECT_TRUE(cut.ordered_start);
}

TEST_P(ComposeCut, LabelsEverythingByWhatItIs) {
  const CutResult cut = Cut();
  const auto label = [](const json& project, const char* service, const char* name) {
    return project["services"][service]["labels"].value(name, "(absent)");
  };
  EXPECT_EQ(label(cut.blue, "api", kLabelApp), "gifty");
  EXPECT_EQ(label(cut.blue, "api", kLabelRole), "slot");
  EXPECT_EQ(label(cut.blue, "api", kLabelSlot), "blue");
  EXPECT_EQ(label(cut.green, "api", kLabelSlot), "green");
  EXPECT_EQ(label(cut.blue, "api", kLabelRelease), "0123456789ab");
  EXPECT_EQ(label(cut.workers, "bot", kLabelRole), "worker");
  EXPECT_EQ(label(cut.workers, "bot", kLabelSlot), "(absent)");
  EXPECT_EQ(label(cut.shared, "redis", kLabelRole), "shared");
  EXPECT_EQ(label(cut.shared, "redis", kLabelDefinition), cut.definitions.at("redis"));
}

TEST_P(ComposeCut, KeepsTheLabelsThatAreThere) {
  Service("api")["labels"] = {{"mine", "1"}};
  Service("bot")["labels"] = json::array({"mine=1"});
  const CutResult cut = Cut();
  EXPECT_EQ(cut.blue["services"]["api"]["labels"]["mine"], "1");
  EXPECT_THAT(cut.workers["services"]["bot"]["labels"].get<std::vector<std::string>>(),
              ::testing::IsSupersetOf({"mine=1", "slipway.app=gifty", "slipway.role=worker"}));
}

TEST_P(ComposeCut, BuildsEqualBuildsOnce) {
  const CutResult cut = Cut();
  ASSERT_EQ(cut.builds.size(), 1u);
  EXPECT_EQ(cut.builds[0].context, "");
  EXPECT_EQ(cut.builds[0].image, BuiltImage("gifty", cut.builds[0].digest));
  for (const char* service : {"api", "bot", "scheduler"}) {
    EXPECT_EQ(cut.images.at(service), cut.builds[0].image) << service;
  }
  EXPECT_EQ(cut.images.at("redis"), "redis:7-alpine");
  EXPECT_EQ(cut.blue["services"]["api"]["image"], cut.builds[0].image);
  // Nobody but Build() builds.
  for (const json* project : {&cut.shared, &cut.blue, &cut.green, &cut.workers}) {
    for (const json& service : (*project)["services"]) EXPECT_FALSE(service.contains("build"));
  }
}

TEST_P(ComposeCut, NamesABuildByWhatGoesIntoIt) {
  const std::string digest = Cut().builds[0].digest;
  const pb::Manifest changed = FileTree({{"Dockerfile", "FROM x"}, {"app.py", "2"}, kPrometheus});
  input_.manifest = &changed;
  EXPECT_NE(Cut().builds[0].digest, digest);
  const pb::Manifest renamed = FileTree({{"Dockerfile", "FROM x"}, {"app2.py", "1"}, kPrometheus});
  input_.manifest = &renamed;
  EXPECT_NE(Cut().builds[0].digest, digest);
  input_.manifest = &manifest_;
  EXPECT_EQ(Cut().builds[0].digest, digest);
  for (const char* service : {"api", "bot", "scheduler"}) Service(service)["build"]["target"] = "x";
  EXPECT_NE(Cut().builds[0].digest, digest);
}

TEST_P(ComposeCut, GivesTheSameImagesAndDefinitionsInAnotherReleaseFolder) {
  const CutResult before = Cut();
  input_.document = *ParseComposeDocument(
      absl::StrReplaceAll(text_, {{"/release", "/state/apps/gifty/releases/ba9876543210"}}));
  input_.release_folder = "/state/apps/gifty/releases/ba9876543210";
  input_.release.release = "ba9876543210";
  const CutResult after = Cut();
  EXPECT_EQ(before.images, after.images);
  EXPECT_EQ(before.definitions, after.definitions);
}

TEST_P(ComposeCut, CountsOnlyTheFilesOfTheContext) {
  Service("api")["build"]["context"] = "/release/web";
  pb::Manifest manifest =
      FileTree({{"other", "1"}, {"web-old/x", "1"}, {"web/Dockerfile", "1"}, kPrometheus});
  input_.manifest = &manifest;
  const CutResult before = Cut();
  ASSERT_EQ(before.builds.size(), 2u);
  EXPECT_EQ(before.builds[0].context, "web");
  manifest = FileTree({{"other", "2"}, {"web-old/x", "2"}, {"web/Dockerfile", "1"}, kPrometheus});
  EXPECT_EQ(Cut().images.at("api"), before.images.at("api"));
  EXPECT_NE(Cut().images.at("bot"), before.images.at("bot"));
  manifest = FileTree({{"other", "1"}, {"web-old/x", "1"}, {"web/Dockerfile", "2"}, kPrometheus});
  EXPECT_NE(Cut().images.at("api"), before.images.at("api"));
}

// It would be built from an empty folder, since only files of the release are unpacked.
TEST_P(ComposeCut, RefusesABuildContextOutsideTheRelease) {
  for (const char* context :
       {"/elsewhere", "/", "/releases/other", "/release-2", "https://github.com/x/y.git#main"}) {
    Service("bot")["build"]["context"] = context;
    EXPECT_THAT(Refusal(), HasSubstr("services.bot: the build context ")) << context;
  }
  Service("bot")["build"] = json::object();
  EXPECT_THAT(Refusal(), HasSubstr("services.bot: "));
}

TEST_P(ComposeCut, PutsWorkersOnTheSharedAndTheFrontNetwork) {
  const CutResult cut = Cut();
  EXPECT_THAT(Keys(cut.workers["services"]["bot"]["networks"]),
              UnorderedElementsAre("default", "slipway_front"));
  EXPECT_EQ(cut.workers["networks"]["default"],
            (json{{"external", true}, {"name", "gifty_default"}}));
  EXPECT_EQ(cut.workers["networks"]["slipway_front"],
            (json{{"external", true}, {"name", "gifty_front"}}));
}

TEST_P(ComposeCut, TakesNetworksAndVolumesFromTheProjectOfAnExistingInstallation) {
  if (std::string(GetParam()) == "compose-2.26.json") {
    // compose 2 was asked with -p, so the names are in its answer.
    input_.document =
        *ParseComposeDocument(absl::StrReplaceAll(text_, {{"gifty_", "production_"}}));
  }
  input_.release.spec.mutable_compose()->set_project("production");
  Service("api")["volumes"].push_back("pgdata:/data:ro");
  const CutResult cut = Cut();
  EXPECT_THAT(cut.slot_networks, ElementsAre("production_default"));
  EXPECT_EQ(cut.blue["volumes"],
            (json{{"pgdata", {{"external", true}, {"name", "production_pgdata"}}}}));
}

TEST_P(ComposeCut, KnowsThePortsOfSharedServices) {
  const CutResult cut = Cut();
  EXPECT_THAT(cut.shared_ports.at("rabbitmq"), ElementsAre(5672u, 15672u));
  EXPECT_THAT(cut.shared_ports.at("postgres"), ElementsAre(5432u));
}

TEST_P(ComposeCut, KeepsAnEscapedDollarEscaped) {
  EXPECT_EQ(Cut().blue["services"]["api"]["environment"]["PRICE"], "$$5 and $$HOME");
}

TEST_P(ComposeCut, MakesAServicePerHook) {
  pb::Hook& hook = *input_.release.spec.mutable_hooks()->add_before_switch();
  hook.set_name("migrate");
  hook.set_service("api");
  hook.add_command("alembic");
  hook.add_command("$HOME");
  const json service = Cut().hooks["services"]["hook-migrate"];
  EXPECT_EQ(service["command"], json({"alembic", "$$HOME"}));
  EXPECT_EQ(service["labels"][kLabelRole], "hook");
  for (const char* key : {"ports", "depends_on", "restart", "healthcheck", "build"}) {
    EXPECT_FALSE(service.contains(key)) << key;
  }
  EXPECT_THAT(Keys(service["networks"]), UnorderedElementsAre("default", "slipway_front"));
}

TEST_P(ComposeCut, UsesTheGreenDocumentForTheGreenSlot) {
  input_.green_document = *ParseComposeDocument(text_);
  input_.green_document["services"]["api"]["environment"]["SELF"] = "8001";
  Service("api")["environment"]["SELF"] = "8000";
  const CutResult cut = Cut();
  EXPECT_EQ(cut.blue["services"]["api"]["environment"]["SELF"], "8000");
  EXPECT_EQ(cut.green["services"]["api"]["environment"]["SELF"], "8001");
}

TEST_P(ComposeCut, UnpublishesNothingElseOfASlottedService) {
  Service("api")["ports"].push_back("9100");
  EXPECT_EQ(Cut().green["services"]["api"]["ports"], json({"127.0.0.1:8001:8000/tcp", "9100/tcp"}));
}

TEST_P(ComposeCut, NamesTheServiceThatIsWrong) {
  Service("api").erase("ports");
  EXPECT_THAT(Refusal(), HasSubstr("services.api: the slotted services publish 0 ports"));
  Service("api")["ports"] = json::array({"8000:8000", "9000:9000"});
  EXPECT_THAT(Refusal(), HasSubstr("services.api: publishes port 9000"));
  Service("api")["ports"] = json::array({"8000-8010:8000-8010"});
  EXPECT_THAT(Refusal(), HasSubstr("services.api: cannot read the port"));
  Service("api")["ports"] = json::array({"8000:8000"});
  Service("api")["network_mode"] = "host";
  EXPECT_THAT(Refusal(), HasSubstr("services.api: network_mode"));
  Service("api").erase("network_mode");
  EXPECT_EQ(Refusal(), "ok");
  pb::Hook& hook = *input_.release.spec.mutable_hooks()->add_after_switch();
  hook.set_name("warm-up");
  hook.set_service("nowhere");
  EXPECT_THAT(Refusal(), HasSubstr("services.nowhere: hook warm-up"));
  input_.release.spec.clear_hooks();
  input_.release.spec.mutable_compose()->add_workers("typo");
  EXPECT_THAT(Refusal(), HasSubstr("services.typo: slipway.yaml names this service"));
}

TEST_P(ComposeCut, RefusesNamespacesAndLinksAcrossItsPieces) {
  Service("bot")["network_mode"] = "service:redis";
  EXPECT_THAT(Refusal(), HasSubstr("services.bot: network_mode of redis, which is shared"));
  Service("bot").erase("network_mode");
  Service("bot")["pid"] = "service:api";
  EXPECT_THAT(Refusal(), HasSubstr("services.bot: pid of api, which is slotted"));
  Service("bot").erase("pid");
  Service("api")["links"] = {"redis:cache"};
  EXPECT_THAT(Refusal(), HasSubstr("services.api: the link `cache` of redis"));
  Service("api")["links"] = {"redis", "postgres:postgres"};
  EXPECT_FALSE(Cut().blue["services"]["api"].contains("links")) << "their names are known anyway";
}

TEST_P(ComposeCut, KnowsTheExternalNetworksOnWhichSlotsHaveNoNames) {
  EXPECT_THAT(Cut().external_slot_networks, IsEmpty());
  input_.document["networks"]["partner"] = {{"external", true}, {"name", "partner_net"}};
  Service("api")["networks"] = {{"default", nullptr}, {"partner", nullptr}};
  EXPECT_THAT(Cut().external_slot_networks, ElementsAre("partner_net"));
  EXPECT_THAT(CutFromJson(ToJson(Cut()))->external_slot_networks, ElementsAre("partner_net"));
}

TEST_P(ComposeCut, LetsTheServingSlotHaveTheNamesThatTheFileGivesItsService) {
  Service("api")["networks"] = {{"default", {{"aliases", {"api.internal"}}}}};
  Service("api")["container_name"] = "shop-api";
  Service("redis")["container_name"] = "shop-redis";
  Service("bot")["container_name"] = "shop-bot";
  const CutResult cut = Cut();
  EXPECT_THAT(cut.aliases.at("api"), ElementsAre("api.internal", "shop-api"));
  EXPECT_FALSE(cut.blue["services"]["api"].contains("container_name"));
  EXPECT_EQ(cut.blue["services"]["api"]["extra_hosts"],
            json({"api api.internal shop-api api.slot:127.0.0.1"}));
  EXPECT_EQ(cut.shared["services"]["redis"]["container_name"], "shop-redis");
  EXPECT_EQ(cut.workers["services"]["bot"]["container_name"], "shop-bot");
  Service("api")["networks"]["default"]["ipv4_address"] = "10.0.0.5";
  EXPECT_THAT(Refusal(), HasSubstr("networks.default.ipv4_address cannot be that of two slots"));
}

TEST_P(ComposeCut, MakesJobsOfServicesThatOthersAwaitToEnd) {
  Service("migrate") = {{"image", "x"},
                        {"depends_on", {{"postgres", {{"condition", "service_healthy"}}}}}};
  Service("seed") = {
      {"image", "x"},
      {"restart", "no"},
      {"depends_on", {{"migrate", {{"condition", "service_completed_successfully"}}}}}};
  Service("api")["depends_on"]["seed"] = {{"condition", "service_completed_successfully"}};
  Service("grafana") = {
      {"image", "x"},
      {"depends_on", {{"seed", {{"condition", "service_completed_successfully"}}}}}};
  const CutResult cut = Cut();
  EXPECT_THAT(cut.job_order, ElementsAre("migrate", "seed"));
  EXPECT_THAT(cut.after_jobs, UnorderedElementsAre("grafana"));
  EXPECT_FALSE(cut.shared_services.contains("migrate"));
  EXPECT_FALSE(cut.jobs["services"]["seed"].contains("depends_on"));
  EXPECT_EQ(cut.jobs["services"]["seed"]["labels"][kLabelRole], "job");
  input_.release.spec.mutable_compose()->add_workers("seed");
  EXPECT_THAT(Refusal(), HasSubstr("services.seed: runs to its end before others start"));
  input_.release.spec.mutable_compose()->mutable_workers()->RemoveLast();
  Service("seed")["restart"] = "always";
  EXPECT_TRUE(Cut().shared_services.contains("seed"));
}

TEST_P(ComposeCut, ComesBackFromItsFileAsItWentIn) {
  pb::Hook& hook = *input_.release.spec.mutable_hooks()->add_before_switch();
  hook.set_name("migrate");
  hook.set_service("api");
  hook.add_command("x");
  const json written = ToJson(Cut());
  const auto read = CutFromJson(json::parse(written.dump()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), written);
  // What came later is empty in the file of an older executor.
  const std::set<std::string> later = {"external_slot_networks",
                                       "jobs",
                                       "job_order",
                                       "after_jobs",
                                       "aliases",
                                       "parts",
                                       "binds",
                                       "mount_points",
                                       "shared_paths"};
  for (const auto& item : written.items()) {
    json lacking = written;
    lacking.erase(item.key());
    const auto result = CutFromJson(lacking);
    EXPECT_EQ(result.ok(), later.contains(item.key())) << item.key() << result.status();
  }
}

}  // namespace
}  // namespace slipway::executor
