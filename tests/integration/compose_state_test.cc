// What containers write and what they bind, over deployments, on the real Docker Engine.
#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "executor/remove_release.h"
#include "tests/support/compose_host.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using ::slipway::testing::ComposeHost;
using ::slipway::testing::ComposePrograms;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// `web` on the slot's port, with these lines below it; `more` is other services and sections.
std::string Compose(const std::string& web, const std::string& more = "") {
  return absl::StrCat("services:\n  web:\n    image: ", ComposeHost::Image(),
                      "\n    ports: [\"127.0.0.1:8000:8000\"]\n", web, more);
}
std::string Service(const std::string& name, const std::string& lines) {
  return absl::StrCat("  ", name, ":\n    image: ", ComposeHost::Image(), "\n", lines);
}

class ComposeState : public ::testing::TestWithParam<std::string> {
 protected:
  void Deploy(ComposeHost::Files files, const std::string& env = "",
              const std::vector<std::string>& update = {}) {
    const xpb::StepResult result = host_.Deploy(files, env, update);
    ASSERT_TRUE(result.succeeded()) << result.summary();
  }
  void RestartAll() {
    const auto containers = host_.engine().List({{kLabelApp, "states"}});
    for (const DockerContainer& container : *containers) {
      ComposeHost::Run({"docker", "restart", "-t", "0", container.id});
    }
  }

  ComposeHost host_{GetParam(), "states"};
};
INSTANTIATE_TEST_SUITE_P(Composes, ComposeState, ::testing::ValuesIn(ComposePrograms()),
                         [](const auto& of) { return absl::StrCat("Compose", of.index + 1); });

TEST_P(ComposeState, ADatabaseBesideTheFileAndItsConfigurationOutliveTenDeploymentsAndARestart) {
  const std::string compose = Compose(
      "", Service("db", "    volumes: [\"./pgdata:/data\", \"./conf/db.conf:/etc/db.conf:ro\"]\n"));
  for (int version = 1; version <= 10; ++version) {
    Deploy({{"docker-compose.yml", compose},
            {"conf/db.conf", "settings"},
            {"VERSION", absl::StrCat(version)}});
    if (version == 1) host_.Shell("db", "echo row >/data/rows");
  }
  EXPECT_EQ(host_.releases().List("states").size(), 2u);
  RestartAll();
  EXPECT_EQ(host_.Shell("db", "cat /data/rows /etc/db.conf"), "row\nsettings");
}

TEST_P(ComposeState, UploadsAreSeenByBothSlotsAndByEveryLaterRelease) {
  host_.spec().mutable_compose()->add_workers("worker");
  const std::string compose = Compose("    volumes: [\".:/app\", \"./uploads:/uploads\"]\n",
                                      Service("worker", "    volumes: [\".:/app:ro\"]\n"));
  Deploy({{"docker-compose.yml", compose}, {"VERSION", "1"}});
  host_.Shell("web", "echo photo >/app/uploads/1");
  Deploy({{"docker-compose.yml", compose}, {"VERSION", "2"}});
  EXPECT_EQ(host_.Shell("web", "cat /uploads/1 /app/uploads/1 /app/VERSION"), "photo\nphoto\n2");
  EXPECT_EQ(host_.Shell("worker", "cat /app/uploads/1; echo x 2>&1 >/app/uploads/2"),
            "photo\nsh: can't create /app/uploads/2: Read-only file system\n");
}

TEST_P(ComposeState, AnyUserOfTheImageReadsTheReleaseAndTheEnvFileAndWritesState) {
  const std::string compose =
      Compose("    user: \"12345:54321\"\n    volumes: [\".:/app\", \"./uploads:/uploads\"]\n");
  Deploy({{"docker-compose.yml", compose}, {"src/main.py", "code"}}, "SECRET=s3cret value\n");
  EXPECT_EQ(
      host_.Shell("web", "cat /app/src/main.py /app/.env; echo x >/uploads/a && echo written"),
      "codeSECRET=s3cret value\nwritten\n");
  struct stat info {};
  ASSERT_EQ(stat(host_.paths().Apps().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u) << "nobody else on the host gets to the files";
}

TEST_P(ComposeState, AnUpdatedSharedServiceGetsTheFilesOfTheReleaseAndKeepsItsOwn) {
  const auto files = [](const std::string& settings) {
    return ComposeHost::Files{
        {"docker-compose.yml",
         Compose("",
                 Service("prometheus",
                         "    volumes: [\"./deploy/p.yml:/etc/p.yml\", \"./rules:/rules\"]\n"))},
        {"deploy/p.yml", settings},
        {"rules/a.yml", settings}};
  };
  Deploy(files("one"));
  const std::string first = host_.Container("prometheus").id;
  host_.Shell("prometheus", "echo mine >/rules/local.yml");
  Deploy(files("two"));
  EXPECT_EQ(host_.Container("prometheus").id, first);
  EXPECT_EQ(host_.Shell("prometheus", "cat /etc/p.yml /rules/a.yml"), "oneone");
  EXPECT_THAT(host_.shared().evidence().shared().changes(),
              ElementsAre("prometheus: bound file deploy/p.yml changed",
                          "prometheus: bound file rules changed"));
  const auto plan = host_.Plan(files("three"), "");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->services(0).action(), pb::SERVICE_ACTION_KEEP_CHANGED);
  Deploy(files("three"), "", {"prometheus"});
  EXPECT_THAT(host_.shared().evidence().shared().updated_services(), ElementsAre("prometheus"));
  EXPECT_NE(host_.Container("prometheus").id, first);
  EXPECT_EQ(host_.Shell("prometheus", "cat /etc/p.yml /rules/a.yml /rules/local.yml"),
            "threethreemine\n");
  const std::string second = host_.Container("prometheus").id;
  Deploy(files("three"), "A=b\n", {"prometheus"});
  EXPECT_THAT(host_.shared().evidence().shared().unchanged_services(), ElementsAre("prometheus"));
  EXPECT_EQ(host_.Container("prometheus").id, second);
}

TEST_P(ComposeState, ASharedServiceIsReplacedOnRequestWhenItsImageIsBuiltFromOtherInputs) {
  const auto files = [](const std::string& version) {
    return ComposeHost::Files{
        {"docker-compose.yml", Compose("", "  db:\n    build: ./db\n")},
        {"db/Dockerfile", absl::StrCat("FROM ", ComposeHost::Image(), "\nCOPY v /v\n")},
        {"db/v", version}};
  };
  Deploy(files("1"));
  Deploy(files("2"));
  EXPECT_EQ(host_.Shell("db", "cat /v"), "1");
  EXPECT_THAT(host_.shared().evidence().shared().changes(),
              ElementsAre("db: what its image is built from changed"));
  Deploy(files("2"), "A=b\n", {"db"});
  EXPECT_EQ(host_.Shell("db", "cat /v"), "2");
}

TEST_P(ComposeState, AnAdoptedInstallationKeepsItsDirectoriesAndItsServicesCanBeUpdated) {
  const slipway::testing::TemporaryFolder checkout;
  const std::string compose = Compose("", Service("db", "    volumes: [\"./pgdata:/data\"]\n"));
  ASSERT_TRUE(WriteFileAtomically(checkout.path() / "docker-compose.yml", compose).ok());
  ComposeHost::Run({GetParam(), "-p", "states-old", "up", "-d", "db"}, checkout.path());
  host_.Shell("db", "echo row >/data/rows");
  host_.spec().mutable_compose()->set_project("states-old");
  const ComposeHost::Files files = {{"docker-compose.yml", compose}};
  const auto plan = host_.Plan(files, "");
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->state_size(), 1);
  EXPECT_EQ(plan->state(0).path(), "./pgdata");
  EXPECT_EQ(plan->state(0).directory(), (checkout.path() / "pgdata").string());
  EXPECT_TRUE(plan->state(0).adopted());
  EXPECT_THAT(plan->services(0).changes(), ElementsAre(HasSubstr("definition unknown")));
  const std::string before = host_.Container("db").id;
  Deploy(files);
  EXPECT_EQ(host_.Container("db").id, before);
  Deploy(files, "A=b\n", {"db"});
  EXPECT_THAT(host_.shared().evidence().shared().updated_services(), ElementsAre("db"));
  EXPECT_NE(host_.Container("db").id, before);
  EXPECT_EQ(host_.Shell("db", "cat /data/rows"), "row\n");
  Deploy({{"docker-compose.yml", compose}, {"VERSION", "2"}}, "A=b\n");
  EXPECT_EQ(host_.Shell("db", "cat /data/rows"), "row\n")
      << "and is remembered without the old container";
}

TEST_P(ComposeState, PruneKeepsWhateverAContainerOfAnybodyHasMounted) {
  const auto files = [](int version) {
    return ComposeHost::Files{{"docker-compose.yml", Compose("")},
                              {"VERSION", absl::StrCat(version)}};
  };
  Deploy(files(1));
  const std::string first = host_.release();
  const fs::path folder = host_.paths().Release("states", first);
  ComposeHost::Run({"docker", "create", "--name", "states-stranger", "-v",
                    absl::StrCat((folder / "VERSION").string(), ":/v"), ComposeHost::Image()});
  // As one that watches the host does it: that keeps nothing.
  ComposeHost::Run(
      {"docker", "create", "--name", "states-monitor", "-v", "/:/host:ro", ComposeHost::Image()});
  for (int version = 2; version <= 4; ++version) Deploy(files(version));
  EXPECT_TRUE(fs::exists(folder / "VERSION"));
  EXPECT_THAT(host_.prune().evidence().prune().kept_mounted(),
              ElementsAre(absl::StrCat(first, ": states-stranger")));
  ComposeHost::Run({"docker", "rm", "states-stranger"});
  Deploy(files(5));
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_THAT(host_.prune().evidence().prune().removed_releases(), Contains(first));
}

TEST_P(ComposeState, PlanNamesWhatGoesWithTheSlot) {
  const auto plan = host_.Plan(
      {{"docker-compose.yml", Compose("    volumes: [\"/cache\", \"./up:/up\"]\n")}}, "");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->notes(), ElementsAre(HasSubstr("services.web: what it writes to /cache")));
  ASSERT_EQ(plan->state_size(), 1);
  EXPECT_FALSE(plan->state(0).exists());
  EXPECT_FALSE(fs::exists(plan->state(0).directory())) << "a plan makes nothing";
}

TEST_P(ComposeState, EqualBuildsOfTwoApplicationsAtOnceDoNotShareAContext) {
  ComposeHost other(GetParam(), "states2", &host_);
  ComposeHost::Files files = {
      {"docker-compose.yml",
       absl::StrCat("services:\n  web:\n    build: ./src\n    ports: [\"127.0.0.1:8000:8000\"]\n")},
      {"src/Dockerfile", absl::StrCat("FROM ", ComposeHost::Image(), "\nCOPY . /src\n")}};
  for (int i = 0; i < 1000; ++i) files[absl::StrCat("src/", i)] = absl::StrCat(i);
  std::string releases[2];
  ASSERT_TRUE(host_.Stage(files, "", &releases[0]).succeeded());
  ASSERT_TRUE(other.Stage(files, "", &releases[1]).succeeded());
  xpb::StepResult results[2];
  std::thread first([&] { results[0] = host_.Build(releases[0]); });
  std::thread another([&] { results[1] = other.Build(releases[1]); });
  first.join();
  another.join();
  for (const xpb::StepResult& result : results) {
    ASSERT_TRUE(result.succeeded()) << result.summary();
    const std::string image = result.evidence().build().built_images(0);
    EXPECT_EQ(ComposeHost::Run({"docker", "run", "--rm", image, "sh", "-c", "ls /src | wc -l"}),
              "1001\n");
  }
}

TEST_P(ComposeState,
       AJobRunsOncePerReleaseInItsImageBeforeTheCandidateAndItsFailureEndsTheDeployment) {
  const auto files = [](const std::string& version, int exit_code) {
    return ComposeHost::Files{
        {"docker-compose.yml",
         absl::StrCat(
             "services:\n  web:\n    build: .\n    ports: [\"127.0.0.1:8000:8000\"]\n"
             "    volumes: [\"./log:/log\"]\n"
             "    command: [sh, -c, \"echo web $$(cat /v) >>/log/all; sleep 100000\"]\n"
             "    depends_on: {migrate: {condition: service_completed_successfully}}\n"
             "  migrate:\n    build: .\n    volumes: [\"./log:/log\"]\n    restart: \"no\"\n"
             "    command: [sh, -c, \"sleep 1; echo migrate $$(cat /v) | tee -a /log/all; exit ",
             exit_code, "\"]\n")},
        {"Dockerfile", absl::StrCat("FROM ", ComposeHost::Image(), "\nCOPY v /v\n")},
        {"v", version}};
  };
  Deploy(files("1", 0));
  Deploy(files("2", 0));
  EXPECT_EQ(host_.Shell("web", "cat /log/all"), "migrate 1\nweb 1\nmigrate 2\nweb 2\n");
  const xpb::StepResult failed = host_.Deploy(files("3", 7));
  EXPECT_FALSE(failed.succeeded());
  EXPECT_EQ(failed.reason(), pb::FAILURE_REASON_HOOK);
  EXPECT_THAT(failed.summary(), HasSubstr("job migrate ended with exit code 7: migrate 3"));
  EXPECT_EQ(host_.Shell("web", "cat /log/all"), "migrate 1\nweb 1\nmigrate 2\nweb 2\nmigrate 3\n");
  // Back to a release that has run: its job does not run again.
  const xpb::StepResult again = host_.Shared(host_.release());
  EXPECT_TRUE(again.succeeded()) << again.summary();
  EXPECT_TRUE(again.evidence().shared().jobs(0).already_ran());
}

TEST_P(ComposeState, AWorkerGetsTheTimeToEndThatItsFileGivesIt) {
  host_.spec().mutable_compose()->add_workers("worker");
  const auto files = [](int version) {
    return ComposeHost::Files{
        {"docker-compose.yml",
         Compose(
             "",
             Service("worker",
                     "    stop_grace_period: 40s\n    stop_signal: SIGTERM\n"
                     "    volumes: [\"./log:/log\"]\n"
                     "    command: [sh, -c, \"trap 'sleep 12; echo finished >>/log/all; exit 0' "
                     "TERM; while true; do sleep 0.1; done\"]\n"))},
        {"VERSION", absl::StrCat(version)}};
  };
  Deploy(files(1));
  Deploy(files(2));
  EXPECT_EQ(host_.Shell("worker", "cat /log/all"), "finished\n");
}

TEST_P(ComposeState, ServicesOfInactiveProfilesAreNotThere) {
  const ComposeHost::Files files = {
      {"docker-compose.yml",
       Compose(
           "    profiles: [production]\n",
           absl::StrCat(
               Service("debug", "    profiles: [debug]\n    volumes: [\"./gone.yml:/gone.yml\"]\n"),
               Service("cache", "    profiles: [production]\n")))}};
  std::string release;
  const xpb::StepResult without = host_.Stage(files, "", &release);
  EXPECT_THAT(without.summary(),
              HasSubstr("services.web: is in profile \"production\", which is not active"));
  Deploy(files, "COMPOSE_PROFILES=production,other\n");
  host_.Container("cache");
  EXPECT_THAT(*host_.engine().List({{kLabelService, "debug"}}), IsEmpty());
}

// The executor as the package runs it: a plain user, who may run one command as root.
TEST(RemoveRelease, APlainUserRemovesWhatAContainerWroteAsRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ComposeHost host("docker-compose", "states");
  const std::string app = "states";
  const std::string release = "0123456789ab";
  const fs::path folder = host.paths().Release(app, release);
  ASSERT_TRUE(MakeFolders(folder.parent_path(), 0700).ok());
  ASSERT_TRUE(MakeFolders(folder / "app/__pycache__", 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(folder / "app/__pycache__/x.pyc", "x").ok());
  fs::create_symlink("/etc", folder / "app/__pycache__/etc");
  std::string deep = (folder / "app").string();
  for (int level = 0; level < 300; ++level) absl::StrAppend(&deep, "/d");
  fs::create_directories(deep);
  constexpr uid_t kNobody = 65534;
  for (const fs::path& path : {host.paths().State(), host.paths().Apps(), folder.parent_path(),
                               folder.parent_path().parent_path(), folder}) {
    ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
  }
  ASSERT_EQ(chmod(host.paths().State().parent_path().c_str(), 0755), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(kNobody) != 0) _exit(2);
    std::error_code error;
    fs::remove_all(folder, error);
    _exit(error ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0) << "the user could remove them without help";

  ComposeHost::Run({"docker", "create", "--name", "states-stranger", "-v",
                    absl::StrCat(folder.string(), ":/app"), ComposeHost::Image()});
  DockerEngine engine;
  EXPECT_THAT(
      std::string(RemoveReleaseBeneath(host.paths().State(), engine, app, release).message()),
      HasSubstr("container states-stranger has"));
  EXPECT_TRUE(fs::exists(deep));
  ComposeHost::Run({"docker", "rm", "states-stranger"});
  for (const auto& [bad_app, bad_release] :
       {std::pair{"..", "0123456789ab"}, std::pair{"states", ".."}, std::pair{"states", "../../x"},
        std::pair{"", ""}, std::pair{"states/releases", "0123456789ab"}}) {
    EXPECT_EQ(RemoveReleaseBeneath(host.paths().State(), engine, bad_app, bad_release).code(),
              absl::StatusCode::kInvalidArgument);
  }
  const absl::Status removed = RemoveReleaseBeneath(host.paths().State(), engine, app, release);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_TRUE(fs::exists("/etc/passwd"));

  // A link in place of a directory leads nowhere.
  fs::remove_all(folder.parent_path());
  fs::create_symlink("/tmp", folder.parent_path());
  EXPECT_FALSE(RemoveReleaseBeneath(host.paths().State(), engine, app, release).ok());
}

}  // namespace
}  // namespace slipway::executor
