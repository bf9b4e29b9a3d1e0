#include "executor/drivers/compose_binds.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/failure.h"
#include "tests/support/file_tree.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
using ::slipway::testing::FileTree;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRelease[] = "/s/apps/shop/releases/r1";

class Binds : public ::testing::Test {
 protected:
  Binds() {
    input_.app = "shop";
    input_.release = "r1";
    input_.release_folder = kRelease;
    input_.content = &content_;
    input_.paths = Paths("/s");
    input_.document = &document_;
    document_["services"] = json::object();
  }

  // `mounts` as in a compose file, sources relative to it.
  void Service(const std::string& name, const std::vector<std::string>& mounts,
               bool shared = false) {
    json volumes = json::array();
    for (const std::string& mount : mounts) {
      volumes.push_back(mount.starts_with(".") ? absl::StrCat(kRelease, mount.substr(1)) : mount);
    }
    document_["services"][name]["volumes"] = std::move(volumes);
    if (shared) input_.shared_services.insert(name);
  }

  std::vector<std::string> Mounts(const std::string& service) {
    const auto plan = BindPlan::Make(input_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return {};
    json definition = document_["services"][service];
    plan->Rewrite(service, definition);
    return definition["volumes"].get<std::vector<std::string>>();
  }
  absl::Status Refusal() { return BindPlan::Make(input_).status(); }

  const pb::Manifest manifest_ = FileTree({{"app.py", "1"},
                                           {"conf/site.conf", "1"},
                                           {"conf/more/x.conf", "1"},
                                           {"prometheus.yml", "1"},
                                           {"uploads/.gitkeep", ""},
                                           {"media/logo.png", "1"}});
  const ReleaseContent content_{manifest_, ".env", "digest"};
  json document_;
  BindInput input_;
};

TEST_F(Binds, MountsTheReleasesContentFromTheRelease) {
  Service("web", {".:/app", "data:/data", "/var/run/x:/x:ro"});
  EXPECT_THAT(Mounts("web"),
              ElementsAre("/s/apps/shop/releases/r1:/app", "data:/data", "/var/run/x:/x:ro"));
}

TEST_F(Binds, KeepsWhatTheApplicationWritesOutsideOfReleases) {
  Service("web", {"./pgdata:/var/lib/db", "./uploads:/uploads"});
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/data/pgdata:/var/lib/db",
                                         "/s/apps/shop/data/uploads:/uploads"));
  Service("web", {"./media:/media"});
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1/media:/media"));
  input_.state = {"media"};
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/data/media:/media"));
}

TEST_F(Binds, GivesStateTheSamePlaceForEveryService) {
  Service("web", {"./pgdata:/a"});
  Service("db", {"./pgdata:/b:ro"}, /*shared=*/true);
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/data/pgdata:/a"));
  EXPECT_THAT(Mounts("db"), ElementsAre("/s/apps/shop/data/pgdata:/b:ro"));
}

TEST_F(Binds, ShowsStateWhereTheReleaseIsMountedAroundIt) {
  Service("web", {".:/app"});
  Service("worker", {"./data/pg:/pg", "./uploads:/app/uploads"});
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1:/app",
                                         "/s/apps/shop/data/data%2Fpg:/app/data/pg:rw",
                                         "/s/apps/shop/data/uploads:/app/uploads:rw"));
  Service("web", {".:/app:ro", "cache:/app/uploads"});
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1:/app:ro", "cache:/app/uploads",
                                         "/s/apps/shop/data/data%2Fpg:/app/data/pg:ro"));
  const auto plan = BindPlan::Make(input_);
  ASSERT_TRUE(plan.ok());
  std::vector<std::string> points;
  for (const MountPoint& point : plan->MountPoints())
    points.push_back(absl::StrCat(point.base, " ", point.path));
  EXPECT_THAT(points, ElementsAre("/s/apps/shop/releases/r1 data/pg"));
}

TEST_F(Binds, DetachesWhatLiesInASourceThatAContainerMayWrite) {
  Service("web", {".:/app"});
  Service("proxy", {"./conf:/etc/nginx:ro", "./prometheus.yml:/p.yml:ro"});
  EXPECT_THAT(Mounts("proxy"), ElementsAre("/s/apps/shop/detached/r1/conf:/etc/nginx:ro",
                                           "/s/apps/shop/detached/r1/prometheus.yml:/p.yml:ro"));
  EXPECT_THAT(
      Mounts("web"),
      ElementsAre("/s/apps/shop/releases/r1:/app", "/s/apps/shop/detached/r1/conf:/app/conf:rw",
                  "/s/apps/shop/detached/r1/prometheus.yml:/app/prometheus.yml:rw"));
  // Read-only all around, nobody can change it.
  Service("web", {".:/app:ro"});
  EXPECT_THAT(Mounts("proxy"), ElementsAre("/s/apps/shop/releases/r1/conf:/etc/nginx:ro",
                                           "/s/apps/shop/releases/r1/prometheus.yml:/p.yml:ro"));
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1:/app:ro"));
}

TEST_F(Binds, KeepsWhatSharedServicesMountBesideTheReleases) {
  Service("web", {".:/app"});
  Service("prometheus", {"./prometheus.yml:/etc/p.yml", "./conf:/conf:ro"}, /*shared=*/true);
  EXPECT_THAT(Mounts("prometheus"),
              ElementsAre("/s/apps/shop/shared-files/prometheus.yml:/etc/p.yml",
                          "/s/apps/shop/shared-files/conf:/conf:ro"));
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1:/app"));
  const auto plan = BindPlan::Make(input_);
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->SharedPathsOf("prometheus"), ElementsAre("conf", "prometheus.yml"));
  EXPECT_THAT(plan->SharedPathsOf("web"), IsEmpty());
}

TEST_F(Binds, FollowsTheReleasesOwnLinks) {
  pb::Manifest manifest = manifest_;
  pb::ManifestEntry& link = *manifest.add_entries();
  link.set_path("link");
  link.set_type(pb::FILE_TYPE_SYMLINK);
  link.set_link_target("conf");
  const ReleaseContent content(manifest, ".env", "");
  input_.content = &content;
  Service("web", {"./conf:/c"});
  Service("worker", {"./link/more:/more:ro"});
  EXPECT_THAT(Mounts("worker"), ElementsAre("/s/apps/shop/detached/r1/conf%2Fmore:/more:ro"));
  link.set_link_target("link");
  const ReleaseContent circle(manifest, ".env", "");
  input_.content = &circle;
  EXPECT_THAT(std::string(Refusal().message()), HasSubstr("circles"));
}

TEST_F(Binds, NamesEveryBoundFileThatTheReleaseDoesNotHave) {
  Service("web",
          {"./app.ini:/etc/app.ini:ro", "./Caddyfile:/etc/caddy/Caddyfile", "./var:/var/lib/x"});
  document_["services"]["web"]["secrets"] = {"db"};
  document_["secrets"]["db"] = {{"file", absl::StrCat(kRelease, "/secrets/db.txt")}};
  const absl::Status refused = Refusal();
  EXPECT_EQ(ReasonOf(refused), pb::FAILURE_REASON_INVALID_COMPOSE_FILE);
  EXPECT_EQ(
      refused.message(),
      "services.web.volumes: ./app.ini is not in the release; services.web.volumes: ./Caddyfile is "
      "not in the release; secrets.db.file: ./secrets/db.txt is not in the release");
  input_.state = {"app.ini", "Caddyfile", "secrets/db.txt"};
  EXPECT_TRUE(Refusal().ok());
}

TEST_F(Binds, DetachesTheFilesOfSecretsAndConfigsToo) {
  Service("web", {".:/app"});
  Service("worker", {});
  Service("db", {}, /*shared=*/true);
  for (const char* service : {"worker", "db"}) {
    document_["services"][service]["secrets"] = {json{{"source", "key"}, {"target", "key"}}};
  }
  document_["secrets"]["key"] = {{"file", absl::StrCat(kRelease, "/conf/site.conf")}};
  const auto plan = BindPlan::Make(input_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  json section = document_["secrets"];
  plan->RewriteFiles(section, /*shared=*/false);
  EXPECT_EQ(section["key"]["file"], "/s/apps/shop/detached/r1/conf%2Fsite.conf");
  section = document_["secrets"];
  plan->RewriteFiles(section, /*shared=*/true);
  EXPECT_EQ(section["key"]["file"], "/s/apps/shop/shared-files/conf%2Fsite.conf");
}

TEST_F(Binds, TakesOverTheDirectoriesOfAnAdoptedInstallation) {
  input_.adopted = {{"pgdata", "/opt/shop/pgdata"}, {"conf", "/opt/shop/conf"}};
  Service("db", {"./pgdata:/var/lib/db"}, /*shared=*/true);
  Service("web", {"./conf:/conf:ro"});
  EXPECT_THAT(Mounts("db"), ElementsAre("/opt/shop/pgdata:/var/lib/db"));
  EXPECT_THAT(Mounts("web"), ElementsAre("/s/apps/shop/releases/r1/conf:/conf:ro"));
}

TEST_F(Binds, RefusesAdoptedDirectoriesThatLieInOneAnother) {
  input_.adopted = {{"data", "/opt/shop/data"}, {"data/pg", "/opt/shop/data/pg"}};
  Service("db", {"./data/pg:/pg"}, /*shared=*/true);
  Service("web", {"./data:/data"});
  EXPECT_EQ(ReasonOf(Refusal()), pb::FAILURE_REASON_POLICY);
  EXPECT_THAT(std::string(Refusal().message()), HasSubstr("./data/pg lies in ./data"));
  Service("web", {"./data:/data:ro"});
  EXPECT_TRUE(Refusal().ok()) << Refusal();
}

TEST_F(Binds, KeepsVolumesThatAreBindsOfTheReleaseOutsideOfIt) {
  document_["volumes"]["files"]["driver_opts"] = {
      {"type", "none"}, {"o", "bind"}, {"device", absl::StrCat(kRelease, "/var")}};
  const auto plan = BindPlan::Make(input_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  json volumes = document_["volumes"];
  plan->RewriteVolumes(volumes);
  EXPECT_EQ(volumes["files"]["driver_opts"]["device"], "/s/apps/shop/data/var");
  document_["volumes"]["files"]["driver_opts"]["device"] = absl::StrCat(kRelease, "/conf");
  EXPECT_THAT(std::string(Refusal().message()), HasSubstr("volumes.files.driver_opts: ./conf"));
}

TEST_F(Binds, ReadsBothSpellingsOfAMount) {
  document_["services"]["web"]["volumes"] = {
      json{{"type", "bind"}, {"source", absl::StrCat(kRelease, "/uploads")}, {"target", "/u"}},
      json{{"type", "bind"}, {"source", kRelease}, {"target", "/app"}, {"read_only", true}}};
  const auto plan = BindPlan::Make(input_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  json definition = document_["services"]["web"];
  plan->Rewrite("web", definition);
  EXPECT_EQ(definition["volumes"][0]["source"], "/s/apps/shop/data/uploads");
  EXPECT_EQ(definition["volumes"][2], (json{{"type", "bind"},
                                            {"source", "/s/apps/shop/data/uploads"},
                                            {"target", "/app/uploads"},
                                            {"read_only", true}}));
}

// Whatever a file binds: no directory above a source can be written by any container.
TEST_F(Binds, NoContainerMayWriteAboveASource) {
  const std::vector<std::string> paths = {
      "",         "/conf",  "/conf/more", "/conf/site.conf", "/uploads",         "/var",
      "/var/log", "/media", "/.env",      "/app.py",         "/conf/more/x.conf"};
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    document_["services"] = json::object();
    input_.shared_services.clear();
    input_.state.clear();
    if (random() % 2 == 0) input_.state.insert("conf/more");
    const std::vector<std::string> services = {"web", "worker", "db"};
    for (const std::string& service : services) {
      std::vector<std::string> mounts;
      for (size_t count = random() % 4, i = 0; i < count; ++i) {
        mounts.push_back(absl::StrCat(".", paths[random() % paths.size()], ":/m", i,
                                      random() % 2 == 0 ? ":ro" : ":rw"));
      }
      Service(service, mounts, /*shared=*/service == "db");
    }
    std::set<std::string> writable;
    std::set<std::string> all;
    for (const std::string& service : services) {
      for (const std::string& mount : Mounts(service)) {
        const std::string source = mount.substr(0, mount.find(':'));
        all.insert(source);
        if (mount.ends_with(":rw")) writable.insert(source);
      }
    }
    for (const std::string& source : all) {
      for (const std::string& above : writable) {
        ASSERT_FALSE(IsBelow(source, above)) << document_.dump(1);
      }
    }
  }
}

TEST(EncodedPath, IsOneNameAndTellsPathsApart) {
  EXPECT_EQ(EncodedPath(""), "%2E");
  EXPECT_EQ(EncodedPath("data/pg-1.d"), "data%2Fpg-1.d");
  EXPECT_EQ(EncodedPath(".env"), "%2Eenv");
  EXPECT_EQ(EncodedPath(".."), "%2E.");
  EXPECT_EQ(EncodedPath("a:$b"), "a%3A%24b");
  EXPECT_LE(EncodedPath(std::string(4000, 'x')).size(), 255u);
  EXPECT_NE(EncodedPath(std::string(4000, 'x')), EncodedPath(std::string(4001, 'x')));
}

}  // namespace
}  // namespace slipway::executor
