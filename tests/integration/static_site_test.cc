// Static sites behind a real nginx.
#include "executor/drivers/static_site.h"

#include <algorithm>
#include <atomic>
#include <sys/stat.h>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/digest.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/spec.h"
#include "executor/drivers/http_client.h"
#include "executor/failure.h"
#include "tests/support/file_tree.h"
#include "tests/support/nginx_host.h"
#include "tests/support/request_load.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using ::slipway::testing::FileTree;
using ::slipway::testing::NginxHost;
using ::slipway::testing::RequestLoad;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kPort = 8082;
constexpr char kApp[] = "docs";

using Files = std::map<std::string, std::string>;

class StaticSiteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // As /var/lib/slipway/executor is: nginx's workers may pass, and see only what is published.
    chmod(host_.folder().c_str(), 0711);
    store_ = *ReleaseStore::Open(paths_);
    site_ = std::make_unique<StaticSite>(*store_, SystemClock(), paths_, std::chrono::seconds(1));
    spec_.set_app(kApp);
    spec_.mutable_site()->mutable_front_door()->set_url(
        absl::StrCat("http://", host_.address(), ":", kPort, "/"));
    ApplyDefaults(spec_);
    host_.WriteScriptsUpstream(8000);
  }

  // The server block as docs/sites.md has it.
  void StartNginx(const std::string& root = kSiteCurrent) {
    host_.WriteSite("docs",
                    absl::Substitute(R"(server {
  listen $0:$1;
  root $2/$3;
  recursive_error_pages on;
  location / { error_page 404 = @previous; }
  location @previous { root $2/previous; error_page 404 = @current; }
  location @current { root $2/$3; }
}
)",
                                     host_.address(), kPort, paths_.Site(kApp).string(), root));
    host_.Start();
  }

  std::string Put(const std::string& content) {
    auto writer = store_->Blobs().Create(Sha256Of(content));
    EXPECT_TRUE((*writer)->Append(content).ok());
    EXPECT_TRUE((*writer)->Commit().ok());
    return Sha256Of(content);
  }

  // What the steps stage and start do.
  StagedRelease Publish(const std::string& release, const Files& files, pb::Slot slot) {
    for (const auto& [path, content] : files) Put(content);
    const std::string digest = Put(SerializeManifest(FileTree(files)));
    EXPECT_TRUE(MakeFolders(paths_.Generated(kApp, release)).ok());
    EXPECT_TRUE(
        WriteFileAtomically(paths_.Generated(kApp, release) / "manifest", digest, 0600).ok());
    StagedRelease staged{kApp, release, spec_};
    const auto started = site_->StartSlot(staged, slot, {});
    EXPECT_TRUE(started.ok()) << started.status();
    return staged;
  }

  SiteSwitch To(pb::Slot slot) {
    return {kApp, site_->Serving(kApp), slot, ++generation_, spec_.site().front_door()};
  }

  HttpResponse Get(const std::string& path) {
    HttpRequest request;
    request.endpoint.address = host_.address();
    request.endpoint.port = kPort;
    request.path = path;
    const auto response = SendHttp(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.value_or(HttpResponse());
  }

  NginxHost host_;
  const Paths paths_{host_.folder() / "state", host_.folder() / "sites-served"};
  std::unique_ptr<ReleaseStore> store_;
  std::unique_ptr<StaticSite> site_;
  pb::ApplicationSpec spec_;
  uint64_t generation_ = 0;
};

TEST_F(StaticSiteTest, ServesTheFirstReleaseAndProvesIt) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}, {"guide/index.html", "guide"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Preflight(spec_).ok());
  const SwitchOutcome outcome = site_->Switch(To(pb::SLOT_BLUE));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.evidence.front_door_status(), 200u);
  EXPECT_EQ(site_->Serving(kApp), pb::SLOT_BLUE);
  EXPECT_EQ(Get("/").body, "one");
  EXPECT_EQ(Get("/guide/").body, "guide");
  EXPECT_EQ(Get("/slipway-release.txt").body, "docs aaaaaaaaaaaa blue\n");
  EXPECT_TRUE(site_->Prove(kApp, spec_.site().front_door(), pb::SLOT_BLUE).ok());
}

TEST_F(StaticSiteTest, FailsNoRequestInFiveHundredSwitchesUnderLoadAndProvesEach) {
  Publish("aaaaaaaaaaaa", {{"index.html", "blue"}, {"a/page.html", "blue"}}, pb::SLOT_BLUE);
  Publish("bbbbbbbbbbbb", {{"index.html", "green"}, {"a/page.html", "green"}}, pb::SLOT_GREEN);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  RequestLoad pages(host_.address(), kPort, 1, "/a/page.html");
  RequestLoad index(host_.address(), kPort, 1);
  std::vector<int64_t> proven;
  for (int i = 0; i < 500; ++i) {
    const pb::Slot slot = OtherSlot(site_->Serving(kApp));
    const SwitchOutcome outcome = site_->Switch(To(slot));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    ASSERT_EQ(Get("/").body, SlotWord(slot));
    proven.push_back(FromProto(outcome.evidence.total()).count() / 1000);
  }
  pages.Stop();
  index.Stop();
  EXPECT_THAT(pages.failures(), IsEmpty());
  EXPECT_THAT(index.failures(), IsEmpty());
  EXPECT_GT(pages.sent() + index.sent(), 1000);
  std::sort(proven.begin(), proven.end());
  std::printf("500 switches: %d requests, switched and proven after %ld us (p50), %ld us (p99)\n",
              pages.sent() + index.sent(), proven[250], proven[495]);
}

TEST_F(StaticSiteTest, AnswersThePreviousReleasesAssetsUntilItsCopyGoes) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}, {"app.1.css", "old style"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  EXPECT_EQ(Get("/app.2.css").status, 404);
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}, {"app.2.css", "new style"}}, pb::SLOT_GREEN);
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_GREEN)).status.ok());
  EXPECT_EQ(Get("/").body, "two");
  EXPECT_EQ(Get("/app.2.css").body, "new style");
  EXPECT_EQ(Get("/app.1.css").body, "old style");
  EXPECT_EQ(Get("/nowhere").status, 404);
  ASSERT_TRUE(site_->RemoveSlot(kApp, pb::SLOT_BLUE, {}).ok());
  EXPECT_EQ(Get("/app.1.css").status, 404);
  EXPECT_EQ(Get("/").body, "two");
  EXPECT_FALSE(fs::exists(fs::symlink_status(paths_.Site(kApp) / kSitePrevious)));
}

// As nginx looks: in what serves, in the other one, and once more in what serves by then.
TEST_F(StaticSiteTest, HasBothCopiesBehindItsLinksInEveryMomentOfGoingBackAndForth) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}, {"one.css", "1"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}, {"two.css", "2"}}, pb::SLOT_GREEN);
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_GREEN)).status.ok());
  std::atomic<int> switches = 0;
  std::atomic<bool> stop = false;
  int looks = 0;
  int missed = 0;
  std::thread visitor([&] {
    const fs::path folder = paths_.Site(kApp);
    while (!stop) {
      for (const char* asset : {"one.css", "two.css"}) {
        const int before = switches;
        const bool found = fs::exists(folder / kSiteCurrent / asset) ||
                           fs::exists(folder / kSitePrevious / asset) ||
                           fs::exists(folder / kSiteCurrent / asset);
        ++looks;
        // One that was held up for so long that there were two switches meanwhile proves nothing.
        if (!found && switches == before) ++missed;
      }
    }
  });
  for (int i = 0; i < 100; ++i) {
    const SwitchOutcome outcome = site_->Switch(To(i % 2 == 0 ? pb::SLOT_BLUE : pb::SLOT_GREEN));
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    ++switches;
  }
  stop = true;
  visitor.join();
  EXPECT_EQ(missed, 0) << "of " << looks;
  EXPECT_GT(looks, 1000);
}

TEST_F(StaticSiteTest, PutsTheLinkBackWhenTheServerBlockDoesNotFollowIt) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx("blue");
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}}, pb::SLOT_GREEN);
  const SwitchOutcome outcome = site_->Switch(To(pb::SLOT_GREEN));
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_FRONT_DOOR);
  EXPECT_THAT(std::string(outcome.status.message()),
              HasSubstr("answered 200 with 'docs aaaaaaaaaaaa blue"));
  EXPECT_TRUE(outcome.evidence.restored());
  EXPECT_EQ(site_->Serving(kApp), pb::SLOT_BLUE);
}

TEST_F(StaticSiteTest, PutsTheLinkBackWhenThePageIsNotAnsweredAsAsked) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  Publish("bbbbbbbbbbbb", {{"other.html", "two"}}, pb::SLOT_GREEN);
  const SwitchOutcome outcome = site_->Switch(To(pb::SLOT_GREEN));
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_FRONT_DOOR);
  EXPECT_EQ(outcome.evidence.front_door_status(), 403u);
  EXPECT_TRUE(outcome.evidence.restored());
  EXPECT_EQ(Get("/").body, "one");
}

TEST_F(StaticSiteTest, AnswersTheWarmCopysAssetsAlsoAfterGoingBackToItFailed) {
  Publish("aaaaaaaaaaaa", {{"other.html", "one"}, {"app.1.css", "old style"}}, pb::SLOT_BLUE);
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}}, pb::SLOT_GREEN);
  StartNginx();
  SiteSwitch first = To(pb::SLOT_BLUE);
  first.front_door.set_status(403);
  ASSERT_TRUE(site_->Switch(first).status.ok());
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_GREEN)).status.ok());
  // Blue has no page that its front door would take now.
  const SwitchOutcome back = site_->Switch(To(pb::SLOT_BLUE));
  EXPECT_EQ(ReasonOf(back.status), pb::FAILURE_REASON_FRONT_DOOR);
  EXPECT_TRUE(back.evidence.restored());
  EXPECT_EQ(Get("/").body, "two");
  EXPECT_EQ(Get("/app.1.css").body, "old style");
}

TEST_F(StaticSiteTest, TakesBackAnInterruptedSwitchToAPageThatIsNotAnsweredAsAsked) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  Publish("bbbbbbbbbbbb", {{"other.html", "two"}}, pb::SLOT_GREEN);
  const SiteSwitch interrupted = To(pb::SLOT_GREEN);
  const fs::path folder = paths_.Site(kApp);
  fs::create_symlink("green", folder / "current.new");
  fs::rename(folder / "current.new", folder / kSiteCurrent);
  const SwitchOutcome recovered = site_->Recover(interrupted);
  EXPECT_EQ(ReasonOf(recovered.status), pb::FAILURE_REASON_FRONT_DOOR);
  EXPECT_TRUE(recovered.evidence.restored());
  EXPECT_EQ(Get("/").body, "one");
}

TEST_F(StaticSiteTest, LeavesNoLinkWhenTheFirstReleaseIsNotServed) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx("elsewhere");
  const SwitchOutcome outcome = site_->Switch(To(pb::SLOT_BLUE));
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_FRONT_DOOR);
  EXPECT_TRUE(outcome.evidence.restored());
  EXPECT_EQ(site_->Serving(kApp), pb::SLOT_UNSPECIFIED);
}

TEST_F(StaticSiteTest, RefusesToBeginWhereNobodyAnswersOrSomethingElseIsServed) {
  EXPECT_EQ(ReasonOf(site_->Preflight(spec_)), pb::FAILURE_REASON_PREFLIGHT);
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  EXPECT_TRUE(site_->Preflight(spec_).ok());
  host_.Stop();
  StartNginx("elsewhere");
  EXPECT_EQ(ReasonOf(site_->Preflight(spec_)), pb::FAILURE_REASON_FRONT_DOOR);
}

TEST_F(StaticSiteTest, FinishesOrTakesBackASwitchThatACrashInterrupted) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}}, pb::SLOT_GREEN);
  SiteSwitch interrupted = To(pb::SLOT_GREEN);

  // Before the link was changed.
  SwitchOutcome recovered = site_->Recover(interrupted);
  EXPECT_FALSE(recovered.status.ok());
  EXPECT_TRUE(recovered.evidence.restored());
  EXPECT_EQ(Get("/").body, "one");

  // After it was, and a link that was being made still lies there.
  const fs::path folder = paths_.Site(kApp);
  fs::create_symlink("green", folder / "current.new");
  fs::rename(folder / "current.new", folder / kSiteCurrent);
  fs::create_symlink("blue", folder / "current.new");
  recovered = site_->Recover(interrupted);
  EXPECT_TRUE(recovered.status.ok()) << recovered.status;
  EXPECT_EQ(Get("/").body, "two");
  interrupted.from = pb::SLOT_GREEN;
  interrupted.to = pb::SLOT_BLUE;
  EXPECT_TRUE(site_->Switch(interrupted).status.ok());

  // After it was, and nginx cannot be asked.
  host_.Stop();
  interrupted = To(pb::SLOT_BLUE);
  interrupted.from = pb::SLOT_GREEN;
  recovered = site_->Recover(interrupted);
  EXPECT_FALSE(recovered.status.ok());
  EXPECT_FALSE(recovered.evidence.restored());
}

TEST_F(StaticSiteTest, ReplacesACopyThatACrashLeftHalfMade) {
  fs::create_directories(paths_.SiteCopy(kApp, pb::SLOT_BLUE));
  ASSERT_TRUE(WriteFileAtomically(paths_.SiteCopy(kApp, pb::SLOT_BLUE) / "left", "over").ok());
  EXPECT_TRUE(site_->Observe(kApp, pb::SLOT_BLUE, nullptr)->containers.empty());
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}}, pb::SLOT_BLUE);
  EXPECT_FALSE(fs::exists(paths_.SiteCopy(kApp, pb::SLOT_BLUE) / "left"));
  const auto observed = site_->Observe(kApp, pb::SLOT_BLUE, nullptr);
  ASSERT_EQ(observed->containers.size(), 1u);
  EXPECT_EQ(observed->containers[0].release, "aaaaaaaaaaaa");
}

TEST_F(StaticSiteTest, NamesTheFileThatIsNotWhatTheReleaseSays) {
  const StagedRelease staged =
      Publish("aaaaaaaaaaaa", {{"index.html", "one"}, {"page.html", "page"}}, pb::SLOT_BLUE);
  EXPECT_EQ(*site_->Verify(staged, pb::SLOT_BLUE, nullptr), 2u);
  ASSERT_TRUE(WriteFileAtomically(paths_.SiteCopy(kApp, pb::SLOT_BLUE) / "page.html", "pagE").ok());
  const auto verified = site_->Verify(staged, pb::SLOT_BLUE, nullptr);
  EXPECT_EQ(ReasonOf(verified.status()), pb::FAILURE_REASON_RELEASE_CONTENT);
  EXPECT_THAT(std::string(verified.status().message()), HasSubstr("blue/page.html"));
}

TEST_F(StaticSiteTest, KeepsTheTagOfWhatDidNotChangeAndGivesWhatDidAnother) {
  Publish("aaaaaaaaaaaa", {{"index.html", "one"}, {"same.css", "style"}}, pb::SLOT_BLUE);
  StartNginx();
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_BLUE)).status.ok());
  const std::string index = Get("/index.html").headers["etag"];
  const std::string style = Get("/same.css").headers["etag"];
  ASSERT_FALSE(index.empty());
  // Within the same second, and of the same size.
  Publish("bbbbbbbbbbbb", {{"index.html", "two"}, {"same.css", "style"}}, pb::SLOT_GREEN);
  ASSERT_TRUE(site_->Switch(To(pb::SLOT_GREEN)).status.ok());
  EXPECT_NE(Get("/index.html").headers["etag"], index);
  EXPECT_EQ(Get("/same.css").headers["etag"], style);
}

TEST_F(StaticSiteTest, RefusesAReleaseWithoutAnIndexOrWithAMarkOfItsOwn) {
  const StagedRelease release{kApp, "aaaaaaaaaaaa", spec_};
  EXPECT_TRUE(site_->Prepare(release, FileTree({{"index.html", "one"}}), "", {}).ok());
  EXPECT_THAT(site_->Prepare(release, FileTree({{"page.html", "one"}}), "", {}).ToString(),
              HasSubstr("site has no index.html"));
  EXPECT_THAT(site_
                  ->Prepare(release,
                            FileTree({{"index.html", "one"}, {"slipway-release.txt", "x"}}), "", {})
                  .ToString(),
              HasSubstr("slipway-release.txt"));
}

}  // namespace
}  // namespace slipway::executor
