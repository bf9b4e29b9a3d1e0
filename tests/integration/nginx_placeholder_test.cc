// Sites of applications that were never deployed, on a real nginx.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/nginx.h"
#include "executor/failure.h"
#include "tests/support/nginx_host.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::NginxHost;
using ::testing::AllOf;
using ::testing::HasSubstr;

class NginxPlaceholder : public ::testing::Test {
 protected:
  NginxPlaceholder() { host_.RemoveSite("gifty"); }

  void WriteSite(const std::string& name, uint32_t port, const std::string& upstream) {
    host_.WriteSite(
        name, absl::Substitute("server { listen $0:$1; location / { proxy_pass http://$2; } }\n",
                               host_.address(), port, upstream));
  }
  NginxSite Other() {
    NginxSite site = host_.Site();
    site.app = "other";
    site.upstream = "other_backend";
    site.file = host_.folder() / "conf.d/other.conf";
    site.proof_ports = {18720, 18721};
    return site;
  }
  PlacedFile Place(const NginxSite& site) {
    const auto placed = nginx_->PlacePlaceholder(site);
    EXPECT_TRUE(placed.ok()) << placed.status();
    return placed.value_or(PlacedFile());
  }
  // The first switch, as the executor's step carries it out.
  SwitchOutcome FirstSwitch(const NginxSite& site, uint64_t highest = 0) {
    SwitchRequest request;
    request.site = site;
    request.to = pb::SLOT_BLUE;
    request.generation = NextGeneration(0, highest);
    request.front_door = front_door_;
    const auto text = ReadFile(site.file);
    if (text.ok()) request.old_text = *text;
    return nginx_->Switch(request);
  }

  NginxHost host_;
  std::unique_ptr<NginxDriver> nginx_ = host_.Driver();
  std::optional<pb::FrontDoor> front_door_;
};

TEST_F(NginxPlaceholder, AnswersWith503UntilTheFirstSwitchAndIsProvenToBeGoneThen) {
  host_.Start();
  WriteSite("gifty", 8080, "gifty_backend");
  const PlacedFile placed = Place(host_.Site());
  EXPECT_TRUE(placed.written);
  EXPECT_TRUE(placed.loaded);
  EXPECT_EQ(host_.Ask(), "status 503");
  EXPECT_TRUE(nginx_->Loaded(host_.Site())->placeholder);
  // Asked once more, nothing is written or reloaded.
  const uint64_t reloads = nginx_->ReloadCounters()["ok"];
  EXPECT_TRUE(Place(host_.Site()).loaded);
  EXPECT_EQ(nginx_->ReloadCounters()["ok"], reloads);

  const auto preflight = nginx_->Preflight(host_.Site());
  ASSERT_TRUE(preflight.ok()) << preflight.status();
  EXPECT_FALSE(preflight->latent_switch);
  EXPECT_FALSE(preflight->adoptable.has_value());
  const SwitchOutcome outcome = FirstSwitch(host_.Site());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(host_.Ask(), "blue");
  EXPECT_FALSE(nginx_->Loaded(host_.Site())->placeholder);
  EXPECT_FALSE(Place(host_.Site()).written) << "something serves";
}

TEST_F(NginxPlaceholder, LetsTwoNewApplicationsWhoseSitesAreThereBothBegin) {
  host_.Start();
  WriteSite("gifty", 8080, "gifty_backend");
  WriteSite("other", 8081, "other_backend");
  EXPECT_TRUE(nginx_->Preflight(host_.Site())->waits_for_first_file);
  EXPECT_EQ(ReasonOf(nginx_->Preflight(Other()).status()), pb::FAILURE_REASON_FOREIGN_NGINX_FILE);
  const PlacedFile first = Place(host_.Site());
  EXPECT_TRUE(first.written);
  EXPECT_FALSE(first.loaded);
  EXPECT_THAT(MessageWithCure(first.waits_for),
              AllOf(HasSubstr("sites/other:1"),
                    HasSubstr("is other_backend the upstream of another application")));
  // The other's deployment may go on, whether its own is placed first or not.
  EXPECT_TRUE(nginx_->Preflight(Other())->waits_for_first_file);
  EXPECT_TRUE(Place(Other()).loaded);
  EXPECT_TRUE(nginx_->Loaded(host_.Site())->placeholder) << "that reload loaded both";
  EXPECT_TRUE(FirstSwitch(host_.Site()).status.ok());
  EXPECT_TRUE(FirstSwitch(Other()).status.ok());
  EXPECT_EQ(host_.Ask(), "blue");
}

TEST_F(NginxPlaceholder, IsWrittenWhileNginxIsStoppedAndLoadedByItsStart) {
  WriteSite("gifty", 8080, "gifty_backend");
  const PlacedFile placed = Place(host_.Site());
  EXPECT_TRUE(placed.written);
  EXPECT_THAT(std::string(placed.waits_for.message()), HasSubstr("nginx is not running"));
  host_.Start();
  EXPECT_EQ(host_.Ask(), "status 503");
  EXPECT_TRUE(FirstSwitch(host_.Site()).status.ok());
}

TEST_F(NginxPlaceholder, ComesBackWhenTheFirstSwitchFails) {
  host_.Start();
  WriteSite("gifty", 8080, "gifty_backend");
  Place(host_.Site());
  const std::string text = host_.FileText();
  front_door_.emplace();
  front_door_->set_url(absl::StrCat("http://", host_.address(), ":8080/"));
  front_door_->set_status(204);
  const SwitchOutcome failed = FirstSwitch(host_.Site());
  EXPECT_EQ(ReasonOf(failed.status), pb::FAILURE_REASON_FRONT_DOOR) << failed.status;
  EXPECT_TRUE(failed.evidence.restored()) << failed.status;
  EXPECT_EQ(host_.FileText(), text);
  EXPECT_EQ(host_.Ask(), "status 503");
  front_door_.reset();
  const SwitchOutcome again = FirstSwitch(host_.Site(), failed.evidence.generation());
  EXPECT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(host_.Ask(), "blue");
}

TEST_F(NginxPlaceholder, ServesSitesOfBothModes) {
  host_.Start();
  NginxSite site = host_.Site();
  site.mode = pb::SWITCH_MODE_MARKER;
  host_.WriteSite("gifty", absl::Substitute("server { listen $0:8080; set $$slot blue; if (-f $1) "
                                            "{ set $$slot green; } location / { proxy_pass "
                                            "http://gifty_backend_$$slot; } }\n",
                                            host_.address(), site.marker.string()));
  EXPECT_TRUE(Place(site).loaded);
  EXPECT_EQ(host_.Ask(), "status 503");
  const SwitchOutcome outcome = FirstSwitch(site);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(host_.Ask(), "blue");
}

TEST_F(NginxPlaceholder, LeavesNothingWhereNginxWouldNotTakeIt) {
  host_.Start();
  WriteSite("gifty", 8080, "gifty_backend");
  host_.WriteSite("again", "upstream gifty_backend { server 127.0.0.1:9; }\n");
  const auto twice = nginx_->PlacePlaceholder(host_.Site());
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr("reads the upstream"));
  EXPECT_FALSE(std::filesystem::exists(host_.Site().file));
  host_.RemoveSite("again");
  NginxSite elsewhere = host_.Site();
  elsewhere.upstream = "unused";
  elsewhere.file = host_.folder() / "temp/gifty.conf";
  host_.RemoveSite("gifty");
  const auto not_included = nginx_->PlacePlaceholder(elsewhere);
  EXPECT_THAT(std::string(not_included.status().message()), HasSubstr("does not include"));
  EXPECT_FALSE(std::filesystem::exists(elsewhere.file));
}

TEST_F(NginxPlaceholder, TouchesNoFileThatIsThere) {
  host_.WriteScriptsUpstream(8001);
  WriteSite("gifty", 8080, "gifty_backend");
  host_.Start();
  EXPECT_FALSE(Place(host_.Site()).written);
  EXPECT_EQ(host_.Ask(), "green");
  EXPECT_TRUE(nginx_->RemovePlaceholder(host_.Site()).ok());
  EXPECT_EQ(host_.Ask(), "green");
  EXPECT_THAT(host_.FileText(), HasSubstr(":8001"));
}

}  // namespace
}  // namespace slipway::executor
