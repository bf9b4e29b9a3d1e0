// The executor is killed at each named point of a switch; the next one asks the workers, and
// finishes or goes back.
#include <set>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/file.h"
#include "common/spec.h"
#include "executor/drivers/nginx.h"
#include "tests/support/nginx_host.h"
#include "tests/support/request_load.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::NginxHost;
using ::slipway::testing::RequestLoad;
using ::testing::IsEmpty;

// Does it in a process of its own that dies at the failpoint; true when it did.
template <typename Act>
bool DiesAt(const std::string& failpoint, Act act) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("SLIPWAY_FAILPOINT", failpoint.c_str(), 1);
    act();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

class NginxCrash : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string text =
        *RenderManagedFile(host_.Site().FileFor(1, pb::SLOT_BLUE, host_.address()));
    ASSERT_TRUE(WriteFileAtomically(host_.Site().file, text).ok());
    host_.Start();
    request_.site = host_.Site();
    request_.from = pb::SLOT_BLUE;
    request_.to = pb::SLOT_GREEN;
    request_.generation = 2;
    request_.old_text = text;
  }

  // However it ended: what is loaded is what the outcome says, the file on disk says the same, and
  // any later reload by others changes nothing.
  void ExpectSettled(const SwitchOutcome& outcome) {
    const pb::Slot serving = outcome.status.ok() ? pb::SLOT_GREEN : pb::SLOT_BLUE;
    EXPECT_TRUE(outcome.status.ok() || outcome.evidence.restored()) << outcome.status;
    const auto nginx = host_.Driver();
    const auto loaded = nginx->Loaded(host_.Site());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->slot, serving);
    const auto file = ParseManagedFile(host_.FileText());
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->generation, loaded->generation);
    host_.ReloadByOthers();
    for (int i = 0; i < 30; ++i) EXPECT_EQ(host_.Ask(), SlotWord(serving));
  }

  NginxHost host_;
  SwitchRequest request_;
};

TEST_P(NginxCrash, IsFinishedOrUndoneByRecovery) {
  const std::string failpoint = GetParam();
  RequestLoad load(host_.address(), 8080, 1);
  ASSERT_TRUE(DiesAt(failpoint, [this] {
    SwitchRequest request = request_;
    if (absl::string_view(GetParam()).substr(0, 14) == "nginx.restore.") {
      // A front door that never shows the new release makes it go back.
      request.front_door.emplace();
      request.front_door->set_url(absl::StrCat("http://", host_.address(), ":9/"));
    }
    host_.Driver()->Switch(request);
  }));
  const SwitchOutcome outcome = host_.Driver()->Recover(request_);
  ExpectSettled(outcome);
  // Recovery may be repeated.
  const SwitchOutcome again = host_.Driver()->Recover(request_);
  EXPECT_EQ(again.status.ok(), outcome.status.ok());
  ExpectSettled(again);
  if (failpoint == "nginx.switch.before_write" || failpoint == "nginx.switch.after_write") {
    EXPECT_FALSE(outcome.status.ok());
  }
  if (failpoint == "nginx.switch.after_proof") {
    EXPECT_TRUE(outcome.status.ok());
  }
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
}

TEST_P(NginxCrash, IsSettledAlsoWhenTheRecoveryIsKilledOnItsWayBack) {
  const std::string failpoint = GetParam();
  ASSERT_TRUE(DiesAt("nginx.switch.after_write", [this] { host_.Driver()->Switch(request_); }));
  if (absl::string_view(failpoint).substr(0, 14) == "nginx.restore.") {
    ASSERT_TRUE(DiesAt(failpoint, [this] { host_.Driver()->Recover(request_); }));
  }
  ExpectSettled(host_.Driver()->Recover(request_));
}

INSTANTIATE_TEST_SUITE_P(EachPoint, NginxCrash,
                         ::testing::Values("nginx.switch.before_write", "nginx.switch.after_write",
                                           "nginx.switch.after_test", "nginx.switch.after_reload",
                                           "nginx.switch.after_proof", "nginx.restore.before_write",
                                           "nginx.restore.after_write",
                                           "nginx.restore.after_reload"),
                         [](const auto& point) {
                           std::string name;
                           for (const auto part :
                                absl::StrSplit(point.param, absl::ByAnyChar("._"))) {
                             name += static_cast<char>(toupper(part[0]));
                             name += std::string(part.substr(1));
                           }
                           return name;
                         });

class NginxMarkerCrash : public ::testing::TestWithParam<std::string> {};

TEST_P(NginxMarkerCrash, IsFinishedOrUndoneByRecovery) {
  NginxHost host;
  NginxSite site = host.Site();
  site.mode = pb::SWITCH_MODE_MARKER;
  host.WriteSite("gifty",
                 absl::StrCat("server { listen ", host.address(), ":8080; set $slot blue; if (-f ",
                              site.marker.string(), ") { set $slot green; } ",
                              "location / { proxy_pass http://gifty_backend_$slot; } }\n"));
  const std::string text =
      *RenderManagedFile(site.FileFor(1, pb::SLOT_UNSPECIFIED, host.address()));
  ASSERT_TRUE(WriteFileAtomically(site.file, text).ok());
  host.Start();
  SwitchRequest request;
  request.site = site;
  request.from = pb::SLOT_BLUE;
  request.to = pb::SLOT_GREEN;
  request.generation = 2;
  request.old_text = text;
  RequestLoad load(host.address(), 8080, 1);
  ASSERT_TRUE(DiesAt(GetParam(), [&] { host.Driver()->Switch(request); }));
  const SwitchOutcome outcome = host.Driver()->Recover(request);
  EXPECT_EQ(outcome.status.ok(), GetParam() != "nginx.switch.before_flip") << outcome.status;
  EXPECT_EQ(host.Ask(), outcome.status.ok() ? "green" : "blue");
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(EachPoint, NginxMarkerCrash,
                         ::testing::Values("nginx.switch.before_flip", "nginx.switch.after_flip",
                                           "nginx.switch.after_proof"),
                         [](const auto& point) {
                           return std::string(
                               absl::StrContains(point.param, "before") ? "BeforeFlip"
                               : absl::StrContains(point.param, "flip") ? "AfterFlip"
                                                                        : "AfterProof");
                         });

}  // namespace
}  // namespace slipway::executor
