// Switches of a real nginx.
#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/drain.h"
#include "executor/drivers/nginx.h"
#include "executor/failure.h"
#include "tests/support/nginx_host.h"
#include "tests/support/request_load.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::NginxHost;
using ::slipway::testing::RequestLoad;
using ::slipway::testing::TinyServer;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What the executor's switch step does: ask what serves, journal, switch.
SwitchRequest RequestFor(NginxHost& host, NginxDriver& nginx, pb::Slot to, uint64_t highest = 0) {
  SwitchRequest request;
  request.site = host.Site();
  const auto loaded = nginx.Loaded(request.site);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  request.from = loaded->slot;
  request.to = to;
  request.generation = NextGeneration(loaded->generation, highest);
  request.old_text = host.FileText();
  return request;
}

class NginxSwitch : public ::testing::Test {
 protected:
  // A host that serves blue by generation 1 of ours.
  void StartOnBlue() {
    ASSERT_TRUE(WriteFileAtomically(host_.Site().file, *RenderManagedFile(host_.Site().FileFor(
                                                           1, pb::SLOT_BLUE, host_.address())))
                    .ok());
    host_.Start();
    ASSERT_EQ(host_.Ask(), "blue");
  }

  NginxHost host_;
  std::unique_ptr<NginxDriver> nginx_ = host_.Driver();
};

TEST_F(NginxSwitch, FailsNoRequestInTenSwitchesUnderLoadAndProvesEach) {
  StartOnBlue();
  RequestLoad load(host_.address(), 8080, 2);
  std::vector<int64_t> proven;
  std::vector<int64_t> first;
  pb::Slot slot = pb::SLOT_BLUE;
  for (int i = 0; i < 10; ++i) {
    slot = OtherSlot(slot);
    const SwitchOutcome outcome = nginx_->Switch(RequestFor(host_, *nginx_, slot));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    // Proven means: from now on no fresh connection sees the old slot.
    for (int j = 0; j < 20; ++j) ASSERT_EQ(host_.Ask(), SlotWord(slot));
    proven.push_back(FromProto(outcome.evidence.proven()).count() / 1'000'000);
    first.push_back(FromProto(outcome.evidence.first_answer()).count() / 1'000'000);
    EXPECT_EQ(outcome.loaded.slot, slot);
  }
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
  EXPECT_GT(load.sent(), 100);
  EXPECT_EQ(nginx_->ReloadCounters()["ok"], 10u);
  std::sort(proven.begin(), proven.end());
  std::sort(first.begin(), first.end());
  RecordProperty("proven_p50_ms", static_cast<int>(proven[5]));
  std::printf(
      "[ MEASURED ] reload return to first answer p50 %ld ms, to proven p50 %ld ms, max %ld ms; %d "
      "requests\n",
      first[5], proven[5], proven[9], load.sent());
}

TEST_F(NginxSwitch, DrainsWhenTheOldWorkersAreGoneAndTheOldPortIsIdle) {
  StartOnBlue();
  const SwitchOutcome outcome = nginx_->Switch(RequestFor(host_, *nginx_, pb::SLOT_GREEN));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  DrainRequest drain;
  drain.old_workers = outcome.old_workers;
  drain.address = host_.address();
  drain.port = 8000;
  const auto evidence = Drain(ProcReader(), drain);
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_EQ(evidence->old_workers_left(), 0u);
  EXPECT_EQ(evidence->connections_left(), 0u);
  EXPECT_EQ(nginx_->OldWorkers(), 0u);
}

TEST_F(NginxSwitch, RestoresAndKeepsServingWhenAStolenPortMakesNginxIgnoreTheReload) {
  StartOnBlue();
  RequestLoad load(host_.address(), 8080, 2);
  SwitchRequest request = RequestFor(host_, *nginx_, pb::SLOT_GREEN);
  // The thief comes between our check and the reload: as the test command runs.
  const auto thief_folder = host_.folder() / "thief";
  std::unique_ptr<TinyServer> thief;
  class StealingRunner final : public ProcessRunner {
   public:
    StealingRunner(std::function<void()> steal) : steal_(std::move(steal)) {}
    absl::StatusOr<ProcessResult> Run(const Command& command) override {
      auto result = real_.Run(command);
      if (command.argv.back() == "-t" && steal_) std::exchange(steal_, nullptr)();
      return result;
    }

   private:
    std::function<void()> steal_;
    SystemProcessRunner real_;
  } runner(
      [this, &thief, port = static_cast<uint16_t>(request.site.ProofPort(request.generation))] {
        thief = std::make_unique<TinyServer>(host_.address(), port, [](const std::string&) {
          return TinyServer::Answer{200, "I was here first\n", "", ""};
        });
      });
  NginxOptions options = host_.Options();
  options.proof_deadline = std::chrono::seconds(3);
  NginxDriver nginx(runner, SystemClock(), options);
  const SwitchOutcome outcome = nginx.Switch(request);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE) << outcome.status;
  EXPECT_TRUE(outcome.evidence.restored()) << outcome.status;
  EXPECT_THAT(outcome.evidence.nginx_errors(), Contains(HasSubstr("Address already in use")));
  EXPECT_EQ(host_.FileText(), *request.old_text);
  EXPECT_EQ(nginx.ReloadCounters()["not_effective"], 1u);
  // Any later reload of others finds the old text.
  host_.ReloadByOthers();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(host_.Ask(), "blue");
  thief.reset();
  const SwitchOutcome again =
      nginx.Switch(RequestFor(host_, nginx, pb::SLOT_GREEN, request.generation));
  EXPECT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(again.evidence.generation(), 4u);
  EXPECT_EQ(host_.Ask(), "green");
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
}

TEST_F(NginxSwitch, TouchesNothingWhenTheNextProofPortIsTakenBefore) {
  StartOnBlue();
  const SwitchRequest request = RequestFor(host_, *nginx_, pb::SLOT_GREEN);
  const TinyServer thief(host_.address(), 18710,
                         [](const std::string&) { return TinyServer::Answer{}; });
  const SwitchOutcome outcome = nginx_->Switch(request);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_PORT_TAKEN) << outcome.status;
  EXPECT_EQ(host_.FileText(), *request.old_text);
  const auto preflight = nginx_->Preflight(host_.Site());
  EXPECT_EQ(ReasonOf(preflight.status()), pb::FAILURE_REASON_PORT_TAKEN) << preflight.status();
}

TEST_F(NginxSwitch, NamesAnotherSitesBrokenFileAndTouchesNothing) {
  StartOnBlue();
  host_.WriteSite("other", "server {\n  listen 127.0.0.1:1;\n  no_such_directive on;\n}\n");
  const auto preflight = nginx_->Preflight(host_.Site());
  EXPECT_EQ(ReasonOf(preflight.status()), pb::FAILURE_REASON_FOREIGN_NGINX_FILE);
  EXPECT_THAT(std::string(preflight.status().message()), HasSubstr("no_such_directive"));
  EXPECT_EQ(DetailOf(preflight.status()).subject(),
            absl::StrCat((host_.folder() / "sites/other").string(), ":3"));
  EXPECT_THAT(DetailOf(preflight.status()).cure(), HasSubstr("nginx -t passes"));
  // It may also break between the preflight and the switch.
  const SwitchRequest request = RequestFor(host_, *nginx_, pb::SLOT_GREEN);
  const SwitchOutcome outcome = nginx_->Switch(request);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_FOREIGN_NGINX_FILE) << outcome.status;
  EXPECT_TRUE(outcome.evidence.restored());
  EXPECT_EQ(host_.FileText(), *request.old_text);
  EXPECT_EQ(host_.Ask(), "blue");
  EXPECT_EQ(nginx_->ReloadCounters()["test_failed"], 1u);
}

TEST_F(NginxSwitch, HoldsWhileOthersReloadNginxAllTheTime) {
  StartOnBlue();
  RequestLoad load(host_.address(), 8080, 1);
  std::atomic<bool> stop{false};
  int foreign = 0;
  std::thread others([&] {
    while (!stop.load()) {
      host_.ReloadByOthers();
      ++foreign;
      std::this_thread::sleep_for(std::chrono::milliseconds(70));
    }
  });
  pb::Slot slot = pb::SLOT_BLUE;
  std::vector<int64_t> proven;
  for (int i = 0; i < 10; ++i) {
    slot = OtherSlot(slot);
    const SwitchOutcome outcome = nginx_->Switch(RequestFor(host_, *nginx_, slot));
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    for (int j = 0; j < 20; ++j) EXPECT_EQ(host_.Ask(), SlotWord(slot));
    proven.push_back(FromProto(outcome.evidence.proven()).count() / 1'000'000);
  }
  stop.store(true);
  others.join();
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
  std::sort(proven.begin(), proven.end());
  std::printf(
      "[ MEASURED ] with %d foreign reloads: reload return to proven p50 %ld ms, max %ld ms; %d "
      "requests\n",
      foreign, proven[5], proven[9], load.sent());
}

TEST_F(NginxSwitch, WaitsForASlowReloadOnAHostOfTwoHundredSites) {
  for (int i = 0; i < 200; ++i) {
    std::string text =
        absl::Substitute("server { listen $0:$1; server_name s$1;\n", host_.address(), 20000 + i);
    for (int j = 0; j < 20; ++j)
      absl::StrAppend(&text, "location ~ ^/p", j, "/(.*)$ { return 204; }\n");
    host_.WriteSite(absl::StrCat("site", i), text + "}\n");
  }
  StartOnBlue();
  RequestLoad load(host_.address(), 8080, 1);
  const SwitchOutcome outcome = nginx_->Switch(RequestFor(host_, *nginx_, pb::SLOT_GREEN));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  for (int j = 0; j < 20; ++j) EXPECT_EQ(host_.Ask(), "green");
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
  std::printf("[ MEASURED ] 200 sites: nginx -t %s, proven %s after the reload returned\n",
              FormatDuration(FromProto(outcome.evidence.nginx_test())).c_str(),
              FormatDuration(FromProto(outcome.evidence.proven())).c_str());
}

TEST_F(NginxSwitch, TakesOverAScriptsUpstreamWithoutAFailedRequest) {
  host_.WriteScriptsUpstream(8000);
  host_.Start();
  RequestLoad load(host_.address(), 8080, 2);
  const auto preflight = nginx_->Preflight(host_.Site());
  ASSERT_TRUE(preflight.ok()) << preflight.status();
  ASSERT_TRUE(preflight->adoptable.has_value());
  EXPECT_EQ(preflight->adoptable->port, 8000u);
  EXPECT_EQ(preflight->nginx_version, "1.22.1");
  SwitchRequest request;
  request.site = host_.Site();
  request.to = pb::SLOT_GREEN;
  request.adopt = preflight->adoptable;
  request.old_text = preflight->file_text;
  request.generation = NextGeneration(0, 0, true);
  EXPECT_EQ(request.generation, 2u);
  const SwitchOutcome outcome = nginx_->Switch(request);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  for (int j = 0; j < 20; ++j) EXPECT_EQ(host_.Ask(), "green");
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
  EXPECT_EQ(nginx_->ReloadCounters()["ok"], 2u);
}

TEST_F(NginxSwitch, OverwritesNobodyElsesFile) {
  StartOnBlue();
  NginxSite thief = host_.Site();
  thief.app = "thief";
  const auto managed = nginx_->Preflight(thief);
  EXPECT_EQ(ReasonOf(managed.status()), pb::FAILURE_REASON_PREFLIGHT) << managed.status();
  EXPECT_THAT(std::string(managed.status().message()),
              HasSubstr("belongs to the application gifty"));
  // A site's own file, named by mistake.
  thief.upstream = "thief_backend";
  thief.proof_ports = {18799, 18798};
  thief.file = host_.Site().file.parent_path() / "other.conf";
  const std::string vhost = absl::Substitute(
      "upstream thief_backend { server $0:8000; }\nserver { listen $0:8099; location / { "
      "proxy_pass http://thief_backend; } }\n",
      host_.address());
  ASSERT_TRUE(WriteFileAtomically(thief.file, vhost).ok());
  const auto whole = nginx_->Preflight(thief);
  EXPECT_EQ(ReasonOf(whole.status()), pb::FAILURE_REASON_PREFLIGHT) << whole.status();
  EXPECT_THAT(std::string(whole.status().message()), HasSubstr("would be lost"));
  EXPECT_EQ(*ReadFile(thief.file), vhost);
}

TEST_F(NginxSwitch, WritesTheFirstFileOfASiteThatWaitsForIt) {
  host_.RemoveSite("gifty");
  host_.Start();
  host_.WriteSite(
      "gifty", absl::Substitute(
                   "server { listen $0:8080; location / { proxy_pass http://gifty_backend; } }\n",
                   host_.address()));
  const auto preflight = nginx_->Preflight(host_.Site());
  ASSERT_TRUE(preflight.ok()) << preflight.status();
  EXPECT_TRUE(preflight->waits_for_first_file);
  SwitchRequest request;
  request.site = host_.Site();
  request.to = pb::SLOT_BLUE;
  request.generation = 1;
  const SwitchOutcome outcome = nginx_->Switch(request);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(host_.Ask(), "blue");
}

TEST_F(NginxSwitch, GoesBackProvenWhenTheFrontDoorDoesNotShowTheNewRelease) {
  StartOnBlue();
  RequestLoad load(host_.address(), 8080, 1);
  SwitchRequest request = RequestFor(host_, *nginx_, pb::SLOT_GREEN);
  request.front_door.emplace();
  request.front_door->set_url(absl::StrCat("http://", host_.address(), ":8080/"));
  request.front_door->set_host("gifty.example");
  request.front_door->set_status(204);
  const SwitchOutcome outcome = nginx_->Switch(request);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_FRONT_DOOR) << outcome.status;
  EXPECT_EQ(outcome.evidence.front_door_status(), 200u);
  EXPECT_TRUE(outcome.evidence.restored());
  for (int j = 0; j < 20; ++j) EXPECT_EQ(host_.Ask(), "blue");
  request = RequestFor(host_, *nginx_, pb::SLOT_GREEN, request.generation);
  request.front_door.emplace();
  request.front_door->set_url(absl::StrCat("http://", host_.address(), ":8080/"));
  const SwitchOutcome again = nginx_->Switch(request);
  EXPECT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(again.evidence.front_door_status(), 200u);
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
}

TEST_F(NginxSwitch, RefusesAGenerationThatCannotBeProven) {
  StartOnBlue();
  SwitchRequest request = RequestFor(host_, *nginx_, pb::SLOT_GREEN);
  request.generation = 3;
  EXPECT_TRUE(absl::IsInvalidArgument(nginx_->Switch(request).status));
  EXPECT_EQ(host_.FileText(), *request.old_text);
}

TEST_F(NginxSwitch, PutsBackALatentSwitchBeforeAForeignReloadCarriesItOut) {
  StartOnBlue();
  ASSERT_TRUE(WriteFileAtomically(host_.Site().file, *RenderManagedFile(host_.Site().FileFor(
                                                         2, pb::SLOT_GREEN, host_.address())))
                  .ok());
  const auto preflight = nginx_->Preflight(host_.Site());
  ASSERT_TRUE(preflight.ok()) << preflight.status();
  EXPECT_TRUE(preflight->latent_switch);
  const auto repaired = nginx_->RepairLatentSwitch(host_.Site());
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_TRUE(*repaired);
  EXPECT_EQ(ParseManagedFile(host_.FileText())->generation, 1u);
  host_.ReloadByOthers();
  for (int j = 0; j < 50; ++j) EXPECT_EQ(host_.Ask(), "blue");
  EXPECT_FALSE(*nginx_->RepairLatentSwitch(host_.Site()));
}

TEST_F(NginxSwitch, TellsWhatIsWrongWithTheIncludeLines) {
  StartOnBlue();
  NginxSite site = host_.Site();
  site.upstream = "other_backend";
  const auto not_used = nginx_->Preflight(site);
  EXPECT_EQ(ReasonOf(not_used.status()), pb::FAILURE_REASON_PREFLIGHT);
  EXPECT_THAT(DetailOf(not_used.status()).cure(), HasSubstr("proxy_pass http://other_backend"));
  // The guide's explicit include line beside the one of nginx.conf.
  host_.WriteSite("gifty2", absl::StrCat("include ", host_.Site().file.string(), ";\n"));
  const auto twice = nginx_->Preflight(host_.Site());
  EXPECT_EQ(ReasonOf(twice.status()), pb::FAILURE_REASON_PREFLIGHT) << twice.status();
  EXPECT_THAT(DetailOf(twice.status()).cure(), HasSubstr("remove one of the two"));
}

TEST_F(NginxSwitch, ByMarkerIsOneRenameWithoutAReload) {
  NginxSite site = host_.Site();
  site.mode = pb::SWITCH_MODE_MARKER;
  host_.WriteSite("gifty", absl::Substitute(R"(server {
  listen $0:8080;
  set $$slot blue;
  if (-f $1) { set $$slot green; }
  location / { proxy_pass http://gifty_backend_$$slot; proxy_http_version 1.1; proxy_set_header Connection ""; }
}
)",
                                            host_.address(), site.marker.string()));
  ASSERT_TRUE(WriteFileAtomically(site.file, *RenderManagedFile(site.FileFor(
                                                 1, pb::SLOT_UNSPECIFIED, host_.address())))
                  .ok());
  host_.Start();
  const auto preflight = nginx_->Preflight(site);
  ASSERT_TRUE(preflight.ok()) << preflight.status();
  EXPECT_EQ(preflight->loaded.slot, pb::SLOT_BLUE);
  RequestLoad load(host_.address(), 8080, 2);
  std::vector<int64_t> proven;
  pb::Slot slot = pb::SLOT_BLUE;
  for (uint64_t i = 0; i < 10; ++i) {
    SwitchRequest request;
    request.site = site;
    request.from = slot;
    request.to = slot = OtherSlot(slot);
    request.generation = 2 + 2 * i;
    request.old_text = host_.FileText();
    const SwitchOutcome outcome = nginx_->Switch(request);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (int j = 0; j < 20; ++j) ASSERT_EQ(host_.Ask(), SlotWord(slot));
    proven.push_back(FromProto(outcome.evidence.proven()).count() / 1000);
  }
  load.Stop();
  EXPECT_THAT(load.failures(), IsEmpty());
  EXPECT_EQ(nginx_->ReloadCounters()["ok"], 0u);
  std::sort(proven.begin(), proven.end());
  std::printf("[ MEASURED ] marker: proven p50 %ld us, max %ld us after the rename\n", proven[5],
              proven[9]);
  // A changed file, say another port: written once, with a reload and its proof.
  site.keepalive = 8;
  SwitchRequest request;
  request.site = site;
  request.from = pb::SLOT_BLUE;
  request.to = pb::SLOT_GREEN;
  request.generation = 22;
  request.old_text = host_.FileText();
  const SwitchOutcome outcome = nginx_->Switch(request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(nginx_->ReloadCounters()["ok"], 1u);
  EXPECT_EQ(outcome.loaded.generation, 22u);
  EXPECT_EQ(host_.Ask(), "green");
}

}  // namespace
}  // namespace slipway::executor
