// Histories in which production was once lost, told step by step.
#include <barrier>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "tests/walk/walk.h"

namespace slipway::testing {
namespace {

using std::chrono::minutes;

class History : public ::testing::Test {
 protected:
  void TearDown() override {
    walk_.CheckQuiet();
    EXPECT_TRUE(walk_.InOrder()) << walk_.Report();
  }

  std::string Deploy(const Program& program = {}, const WalkFaults& faults = {}) {
    return walk_.Deploy(app_, program, faults);
  }
  std::string Serving() const {
    const SimulatedContainer* container = walk_.Serving(app_);
    return container == nullptr ? "nobody" : container->release;
  }
  // Whatever these faults, at each effect in turn, do to a deployment: a good release is deployed after it.
  void DeployAfterEach(const std::function<WalkFaults(int at)>& faults) {
    Deploy();
    for (int at = 1; at < 40; ++at) {
      Deploy({}, faults(at));
      const std::string good = Deploy();
      ASSERT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << at << walk_.Report();
      ASSERT_EQ(Serving(), good) << at;
      walk_.CheckQuiet();
      ASSERT_TRUE(walk_.InOrder()) << at << walk_.Report();
    }
  }
  void MoveSlots(uint32_t blue) {
    app_.spec.mutable_slots()->set_blue(blue);
    app_.spec.mutable_slots()->set_green(blue + 1);
  }

  Walk walk_{1};
  Walk::Application& app_ = walk_.App(0);
};

TEST_F(History, ARestartLongAfterARollbackOnTheHostLeavesProductionAlone) {
  Deploy();
  Deploy();
  ASSERT_TRUE(walk_.RollBackOnHost(app_));
  app_.spec.mutable_keep()->mutable_warm()->set_seconds(0);
  Deploy();
  const std::string last = Deploy();
  walk_.RestartExecutor();
  EXPECT_EQ(Serving(), last);
}

TEST_F(History, ARestartWithNothingSinceTheRollbackOnTheHostLeavesItAloneToo) {
  const std::string first = Deploy();
  Deploy();
  ASSERT_TRUE(walk_.RollBackOnHost(app_));
  walk_.RestartExecutor();
  walk_.RestartExecutor();
  EXPECT_EQ(Serving(), first);
}

TEST_F(History, AfterAChangeOfSlotsAFailedBakeLeadsBackToThePortThatListens) {
  const std::string good = Deploy();
  MoveSlots(20040);
  Program dies;
  dies.dies_when_it_serves = true;
  Deploy(dies);
  EXPECT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_EQ(Serving(), good);
}

TEST_F(History, AfterAChangeOfSlotsARollbackOnTheHostLeadsToThePortThatListens) {
  const std::string good = Deploy();
  MoveSlots(20040);
  Deploy();
  ASSERT_TRUE(walk_.RollBackOnHost(app_));
  EXPECT_EQ(Serving(), good);
  // And forth again, to the slot with the other ports.
  ASSERT_TRUE(walk_.RollBackOnHost(app_));
  EXPECT_NE(Serving(), "nobody");
}

TEST_F(History, AFailedDeploymentWithAnotherModeLeavesTheWayBackAsItWas) {
  const std::string good = Deploy();
  Deploy();
  app_.spec.mutable_nginx()->set_mode(pb::SWITCH_MODE_MARKER);
  Program unhealthy;
  unhealthy.healthy = false;
  Deploy(unhealthy);
  ASSERT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_FAILED);
  ASSERT_TRUE(walk_.RollBackOnHost(app_));
  EXPECT_EQ(Serving(), good);
}

TEST_F(History, ARollbackOnTheHostLeadsToNoReleaseThatFailedItsBake) {
  const std::string first = Deploy();
  Deploy();
  Program dies;
  dies.dies_when_it_serves = true;
  Deploy(dies);
  ASSERT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  ASSERT_TRUE(walk_.RollBackOnHost(app_)) << walk_.Report();
  EXPECT_EQ(Serving(), first);
}

TEST_F(History, ARollbackOnTheHostInTheMiddleOfADeploymentLeavesNoCandidateBehind) {
  Deploy();
  WalkFaults faults;
  faults.host_rollback_at = 6;
  Deploy({}, faults);
  EXPECT_NE(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
}

// The candidate's container ends between the health gate and the switch.
TEST_F(History, ADeadCandidateIsRefusedBeforeNginxIsTouchedAndIsRemoved) {
  const std::string good = Deploy();
  for (int at = 1; at < 40; ++at) {
    WalkFaults faults;
    faults.candidate_dies_at = at;
    Deploy({}, faults);
    EXPECT_NE(walk_.Last().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION) << at << walk_.Report();
    if (walk_.Last().state == pb::DEPLOYMENT_STATE_SUCCEEDED) break;
    EXPECT_EQ(Serving(), good) << at;
    walk_.CheckQuiet();
    ASSERT_TRUE(walk_.InOrder()) << walk_.Report();
  }
}

TEST_F(History, ACancelledRollbackToAWarmSlotLeavesItWarm) {
  Deploy();
  const std::string second = Deploy();
  for (int turn = 1; turn < 8; ++turn) {
    WalkFaults faults;
    faults.cancel_at = turn;
    walk_.RollBack(app_, faults);
    if (walk_.Last().state != pb::DEPLOYMENT_STATE_CANCELLED) break;
    EXPECT_EQ(Serving(), second);
    walk_.CheckQuiet();
    ASSERT_TRUE(walk_.InOrder()) << walk_.Report();
  }
}

// Before the switch a deployment may fail for it; after the switch it is no reason to go back.
TEST_F(History, ARestartOfDockerDuringTheBakeTakesNoReleaseBack) {
  Deploy();
  for (int at = 1; at < 40; ++at) {
    WalkFaults faults;
    faults.docker_away_at = at;
    faults.docker_back_at = at + 3;
    const std::string before = Serving();
    const std::string release = Deploy({}, faults);
    // Or it serves, and its workers could not be replaced.
    const bool serves = walk_.Last().state != pb::DEPLOYMENT_STATE_FAILED;
    EXPECT_NE(walk_.Last().state, pb::DEPLOYMENT_STATE_ROLLED_BACK)
        << at << ": " << walk_.Last().message;
    EXPECT_EQ(Serving(), serves ? release : before);
    if (walk_.Last().state == pb::DEPLOYMENT_STATE_SUCCEEDED) {
      EXPECT_EQ(walk_.docker().named[app_.name], walk_.Serving(app_)->slot) << at;
    }
  }
}

TEST_F(History, ASlotInModeMarkerIsNotStoppedBeforeTheDrainTimeIsOver) {
  app_.spec.mutable_nginx()->set_mode(pb::SWITCH_MODE_MARKER);
  app_.spec.mutable_keep()->mutable_warm()->set_seconds(0);
  app_.spec.mutable_rollout()->mutable_drain()->set_seconds(30);
  Deploy();
  const uint32_t left = walk_.nginx().PortFor(app_.name);
  Deploy();
  EXPECT_NE(walk_.docker().OnPort(left), nullptr) << "nginx may still connect there";
  walk_.LetTimePass(minutes(1));
  EXPECT_EQ(walk_.docker().OnPort(left), nullptr);
}

// What was edited is no way back.
TEST_F(History, ARollbackOnTheHostIsSettledAlsoWhenTheUpstreamFileWasEdited) {
  Deploy();
  Deploy();
  for (int at = 1; at < 15; ++at) {
    for (const char* text : {"edited by hand\n", ""}) {
      std::ofstream(walk_.nginx().FileOf(app_.name)) << text;
      walk_.CrashInRollbackOnHost(app_, at);
      walk_.CheckQuiet();
      ASSERT_TRUE(walk_.InOrder()) << "at " << at << ": " << walk_.Report();
      EXPECT_NE(Serving(), "nobody");
    }
  }
}

// What is written in place of an edited file must be to the byte what nginx has loaded, or the same
// generation would mean two things.
TEST_F(History, ARepairThatACrashCutShortMakesNoSlotLookRight) {
  app_.spec.mutable_nginx()->set_mode(pb::SWITCH_MODE_MARKER);
  app_.spec.mutable_keep()->mutable_warm()->set_seconds(0);
  Deploy();
  Deploy();
  walk_.LetTimePass(minutes(5));
  for (int at = 1; at < 12; ++at) {
    MoveSlots(20040 + static_cast<uint32_t>(at) * 2);
    std::ofstream(walk_.nginx().FileOf(app_.name), std::ios::app) << "# by hand\n";
    WalkFaults faults;
    faults.crash_at = at;
    faults.crash_after = at % 2 == 0;
    const std::string release = Deploy({}, faults);
    EXPECT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << walk_.Last().message;
    EXPECT_EQ(Serving(), release) << "crash at " << at;
    walk_.LetTimePass(minutes(5));
  }
}

TEST_F(History, AVersionThatWasTakenOverMakesWayForTheNextDeploymentAtOnce) {
  walk_.RunOlderVersion(app_);
  ASSERT_EQ(Serving(), "older");
  Deploy();
  ASSERT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << walk_.Last().message;
  const std::string second = Deploy();
  EXPECT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << walk_.Last().message;
  EXPECT_EQ(Serving(), second);
}

TEST_F(History, ARollbackOnTheHostReachesTheVersionThatWasTakenOver) {
  walk_.RunOlderVersion(app_);
  const std::string first = Deploy();
  ASSERT_EQ(Serving(), first);
  ASSERT_TRUE(walk_.RollBackOnHost(app_)) << walk_.Report();
  EXPECT_EQ(Serving(), "older");
  // And away again, to a new release; then its time is over.
  const std::string second = Deploy();
  EXPECT_EQ(Serving(), second);
  walk_.LetTimePass(minutes(30));
  for (const SimulatedContainer& container : walk_.docker().containers) {
    EXPECT_NE(container.role, "adopted") << "it stops like any warm slot";
  }
}

TEST_F(History, TheControllerDiesBetweenAnyTwoWritesAndTheNextOneGoesOn) {
  for (int at = 1; at < 80; ++at) {
    WalkFaults faults;
    faults.controller_dies_at = at;
    const std::string release = Deploy({}, faults);
    ASSERT_EQ(walk_.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << at << walk_.Report();
    ASSERT_EQ(Serving(), release) << at;
    walk_.CheckQuiet();
    ASSERT_TRUE(walk_.InOrder()) << at << walk_.Report();
  }
}

TEST_F(History, AfterAFullDiskAtAnyMomentAGoodReleaseIsDeployed) {
  DeployAfterEach([](int at) {
    WalkFaults faults;
    faults.disk_full_at = at;
    faults.disk_free_at = at + 3;
    return faults;
  });
}

TEST_F(History, AfterARestartOfDockerWithAllContainersAGoodReleaseIsDeployed) {
  DeployAfterEach([](int at) {
    WalkFaults faults;
    faults.docker_away_at = at;
    faults.docker_back_at = at + 2;
    faults.docker_stops_containers = true;
    return faults;
  });
}

TEST(FleetHistory, AHostThatWasCordonedCatchesUp) {
  Walk walk(1, 3);
  Walk::Application& app = walk.App(0);
  const std::string first = walk.Deploy(app, {}, {});
  walk.Cordon(1);
  const std::string second = walk.Deploy(app, {}, {});
  EXPECT_EQ(walk.Last().state, pb::DEPLOYMENT_STATE_PARTIAL);
  EXPECT_EQ(walk.Serving(app, 0)->release, second);
  EXPECT_EQ(walk.Serving(app, 1)->release, first);
  walk.Uncordon(1, {});
  EXPECT_EQ(walk.Serving(app, 1)->release, second);
  walk.CheckQuiet();
  EXPECT_TRUE(walk.InOrder()) << walk.Report();
}

// On whichever host it happens, and whatever the others are doing.
TEST(FleetHistory, AnExecutorDiesAtAnyMomentOfAFleetsDeployment) {
  Walk walk(1, 3);
  Walk::Application& app = walk.App(0);
  walk.Deploy(app, {}, {});
  for (int at = 1; at < 90; at += 2) {
    WalkFaults faults;
    faults.crash_at = at;
    faults.crash_after = at % 4 == 1;
    const std::string release = walk.Deploy(app, {}, faults);
    ASSERT_EQ(walk.Last().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << at << walk.Report();
    for (size_t host = 0; host < 3; ++host) {
      ASSERT_EQ(walk.Serving(app, host)->release, release) << at;
    }
    walk.CheckQuiet();
    ASSERT_TRUE(walk.InOrder()) << at << walk.Report();
  }
}

// Both have chosen their ports before either goes on.
TEST_F(History, ApplicationsThatAreFirstDeployedTogetherGetProofPortsOfTheirOwn) {
  std::barrier chosen(2);
  walk_.on_effect = [&](const std::string& effect) {
    if (effect == "nginx -v") chosen.arrive_and_wait();
  };
  std::thread other([this] { EXPECT_TRUE(walk_.Preflight(walk_.App(1)).ok()); });
  EXPECT_TRUE(walk_.Preflight(walk_.App(0)).ok());
  other.join();
  walk_.on_effect = nullptr;
  std::set<uint32_t> ports;
  for (size_t i = 0; i < 2; ++i) {
    const xpb::ApplicationFacts facts = walk_.journal().FactsOf(walk_.App(i).name);
    ports.insert(facts.proof_ports().begin(), facts.proof_ports().end());
  }
  EXPECT_EQ(ports.size(), 4u);
}

}  // namespace
}  // namespace slipway::testing
