// The decider's stories, and every fault at every step in a simulated world.
#include "controller/rollout/decide.h"

#include <algorithm>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec.h"
#include "common/status.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"
#include "tests/unit/controller/decider_world.h"

namespace slipway::controller {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Decide, DeploysInThisOrder) {
  World world(NewState(1));
  world.ServeEverywhere();
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(world.State().previous_release, kOld);
  EXPECT_THAT(world.Host(0).Deeds(),
              ElementsAre("preflight", "stage", "build", "shared", "start", "health",
                          "hook:migrate", "switch", "bake", "drain", "retire", "workers",
                          "hook:notify", "prune", "confirm"));
}

TEST(Decide, DeploysASiteInThisOrder) {
  World world(NewState(1), SiteContext());
  world.ServeEverywhere();
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_THAT(world.Host(0).Deeds(), ElementsAre("preflight", "stage", "start", "health", "switch",
                                                 "retire", "prune", "confirm"));
}

TEST(Decide, GoesBackToASitesWarmCopyWithNothingButASwitch) {
  World world(NewState(1, pb::DEPLOYMENT_KIND_ROLLBACK), SiteContext());
  world.ServeEverywhere();
  world.WarmEverywhere();
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_THAT(world.Host(0).Deeds(),
              ElementsAre("start", "preflight", "switch", "retire", "confirm"));
}

TEST(Decide, LeavesOutWhatAFirstDeploymentHasNoUseFor) {
  RolloutContext context = FullContext();
  context.spec.mutable_compose()->clear_workers();
  context.spec.clear_hooks();
  World world(NewState(1), context);
  world.Run();
  EXPECT_THAT(world.Host(0).Deeds(), ElementsAre("preflight", "stage", "build", "shared", "start",
                                                 "health", "switch", "bake", "prune", "confirm"));
}

TEST(Decide, PreparesEveryHostBeforeItSwitchesAny) {
  World world(NewState(2));
  world.ServeEverywhere();
  world.Host(1).Fail("health", pb::FAILURE_REASON_UNHEALTHY);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_FALSE(SwitchBegun(world.State()));
  EXPECT_THAT(world.State().message, HasSubstr("health failed on web-2"));
  EXPECT_THAT(world.State().message, HasSubstr("was not touched: web-1 serves release aaaa"));
}

// Nobody may read of an outage that nobody has seen.
TEST(Decide, SaysThatNothingServesOnlyWhereThatWasSeen) {
  World unseen(NewState(1));
  unseen.ServeEverywhere();
  unseen.Host(0).Fail("preflight", pb::FAILURE_REASON_PREFLIGHT);
  unseen.Run();
  EXPECT_EQ(unseen.State().state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_THAT(unseen.State().message, Not(HasSubstr("Nothing serves")));
  EXPECT_THAT(unseen.State().message, HasSubstr("What served before was not touched"));

  World half_seen(NewState(2));
  half_seen.Host(1).Fail("preflight", pb::FAILURE_REASON_PREFLIGHT);
  half_seen.Run();
  EXPECT_THAT(half_seen.State().message, Not(HasSubstr("Nothing serves")));

  World seen(NewState(1));
  seen.Host(0).Fail("health", pb::FAILURE_REASON_UNHEALTHY);
  seen.Run();
  EXPECT_THAT(seen.State().message, HasSubstr("Nothing serves this application yet"));
}

TEST(Decide, SwitchesBackOnEveryHostInReverseWhenABakeFails) {
  World world(NewState(2));
  world.ServeEverywhere();
  world.Host(1).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_EQ(world.State().reason, pb::FAILURE_REASON_BAKE);
  EXPECT_EQ(world.State().rollouts[0].state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_EQ(world.Host(0).Deeds().back(), "undo:start");
}

TEST(Decide, RemovesTheCandidateWhenTheHostRestoredAFailedSwitch) {
  World world(NewState(1));
  world.ServeEverywhere();
  world.Host(0).Fail("switch", pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE, true);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_EQ(world.Host(0).Deeds().back(), "undo:start");
}

TEST(Decide, AsksForAPersonWhenAFailedSwitchWasNotRestored) {
  World world(NewState(1));
  world.ServeEverywhere();
  world.Host(0).Fail("switch", pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE, false);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_EQ(world.Host(0).Deeds().back(), "switch");
}

TEST(Decide, AsksForAPersonWhenAnUndoFails) {
  for (const char* undo : {"undo:switch", "undo:start"}) {
    World world(NewState(1));
    world.ServeEverywhere();
    world.Host(0).Fail("bake", pb::FAILURE_REASON_BAKE);
    world.Host(0).Fail(undo, pb::FAILURE_REASON_INTERNAL);
    world.Run();
    world.CheckInvariants();
    EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION) << undo;
    EXPECT_THAT(world.State().message, HasSubstr("NOT UNDONE"));
  }
}

TEST(Decide, SucceedsWithAWarningWhenTheOldSlotGivesTrouble) {
  for (const char* step : {"drain", "retire", "prune"}) {
    World world(NewState(1));
    world.ServeEverywhere();
    world.Host(0).Fail(step, pb::FAILURE_REASON_DEADLINE);
    world.Run();
    world.CheckInvariants();
    EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED) << step;
    EXPECT_THAT(world.State().message, HasSubstr(absl::StrCat(step, " on web-1")));
  }
}

TEST(Decide, EndsLoudlyButLeavesTheNewReleaseWhenItsWorkersDoNotStart) {
  World world(NewState(1));
  world.ServeEverywhere();
  world.Host(0).Fail("workers", pb::FAILURE_REASON_WORKER);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_TRUE(world.State().serves);
  EXPECT_EQ(world.Host(0).Deeds().back(), "confirm");
}

TEST(Decide, DoesNotSayThatItServesWhenTheLastLookSeesOtherwise) {
  World world(NewState(2));
  world.ServeEverywhere();
  world.Host(1).Fail("confirm", pb::FAILURE_REASON_CONTAINER_DIED);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_FALSE(world.State().serves);
  EXPECT_THAT(world.State().message, HasSubstr("was switched to, but confirm failed on web-2"));
}

TEST(Decide, LooksAtEveryHostOnceMoreAfterAllOfThemAreDone) {
  World world(NewState(2));
  world.ServeEverywhere();
  world.Run();
  for (size_t host = 0; host < 2; ++host) {
    EXPECT_EQ(world.Host(host).Deeds().back(), "confirm");
    EXPECT_EQ(world.State().rollouts[host].steps.back().evidence.confirm().slot(),
              world.State().rollouts[host].slot);
  }
}

TEST(Decide, TakesOverAnAdoptedVersionAndGoesBackToIt) {
  World world(NewState(1));
  world.Host(0).Adopt();
  world.Host(0).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_THAT(world.Host(0).Violations(), IsEmpty());
}

TEST(Decide, KeepsAFailedFirstReleaseBecauseNothingElseServes) {
  World world(NewState(1));
  world.Host(0).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_EQ(world.Host(0).Deeds().back(), "bake");
}

TEST(Decide, RollsBackToAWarmSlotAtOnce) {
  World world(NewState(1, pb::DEPLOYMENT_KIND_ROLLBACK));
  world.ServeEverywhere();
  world.WarmEverywhere();
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_THAT(world.Host(0).Deeds(),
              ElementsAre("start", "preflight", "switch", "retire", "workers", "confirm"));
}

TEST(Decide, RollsBackToAColdReleaseWithoutItsMigrations) {
  World world(NewState(1, pb::DEPLOYMENT_KIND_ROLLBACK));
  world.ServeEverywhere();
  world.Run();
  world.CheckInvariants();
  EXPECT_THAT(world.Host(0).Deeds(),
              ElementsAre("preflight", "stage", "build", "shared", "start", "health", "switch",
                          "bake", "drain", "retire", "workers", "confirm"));
}

TEST(Decide, TouchesNothingMoreAfterALocalRollback) {
  World world(NewState(1));
  world.ServeEverywhere();
  int steps = 0;
  Faults faults;
  faults.before_step = [&] {
    if (++steps == 9) world.Host(0).RollBackLocally();  // just before the bake
  };
  world.Run(faults);
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_EQ(world.State().reason, pb::FAILURE_REASON_STALE_EPOCH);
  EXPECT_EQ(world.Host(0).ActiveRelease(), kOld);
  EXPECT_EQ(world.Host(0).Deeds().back(), "switch");
}

TEST(Decide, CancelsAtEveryStepUntilItIsTooLate) {
  for (int at = 0; at < 16; ++at) {
    World world(NewState(1));
    world.ServeEverywhere();
    int turn = 0;
    Faults faults;
    faults.cancel = [&] { return turn++ == at; };
    world.Run(faults);
    world.CheckInvariants();
    const bool in_time = at <= 9;
    EXPECT_EQ(world.State().state,
              in_time ? pb::DEPLOYMENT_STATE_CANCELLED : pb::DEPLOYMENT_STATE_SUCCEEDED)
        << at;
    if (!in_time) {
      EXPECT_THAT(world.State().message, HasSubstr("too late"));
    }
  }
}

TEST(Decide, DoesNotBelieveASuccessWithoutProof) {
  const RolloutContext context = FullContext();
  Decider decider(context, NewState(1));
  decider.Take({}, {});
  RolloutInput input;
  input.result.set_succeeded(true);
  const Decision decision = decider.Take({input}, {});
  EXPECT_TRUE(decision.ended);
  EXPECT_EQ(decider.State().state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_THAT(decider.State().message, HasSubstr("without the evidence"));
}

// For each step of a full deployment and each fault: it ends, and the invariants hold.
TEST(SimulatedWorld, EndsWellAfterEveryFaultAtEveryStep) {
  for (const bool served : {false, true}) {
    for (const char* fault : {"before", "after", "answer", "lost"}) {
      for (int at = 0; at < 36; ++at) {
        SCOPED_TRACE(absl::StrCat(fault, " at ", at, served ? ", served" : ", first"));
        World world(NewState(2));
        if (served) world.ServeEverywhere();
        int count = 0;
        const auto once = [&] { return count++ == at; };
        Faults faults;
        if (std::string(fault) == "before") faults.crash_before_store = once;
        if (std::string(fault) == "after") faults.crash_after_store = once;
        if (std::string(fault) == "answer") faults.lose_answer = once;
        if (std::string(fault) == "lost") faults.lose_host = once;
        world.Run(faults);
        world.CheckInvariants();
        if (std::string(fault) != "lost") {
          EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
        }
      }
    }
  }
}

TEST(SimulatedWorld, EndsWellAfterEveryFailureWithACrashAnywhere) {
  for (const RolloutContext& context : {FullContext(), SiteContext()}) {
    for (const StepDefinition& failing : RolloutSteps(context.spec)) {
      for (int at = 0; at < 40; ++at) {
        SCOPED_TRACE(absl::StrCat(failing.name, " fails, crash at ", at));
        World world(NewState(2), context);
        world.ServeEverywhere();
        world.Host(1).Fail(failing.name, pb::FAILURE_REASON_INTERNAL, true);
        int before = 0;
        int after = 0;
        Faults faults;
        faults.crash_before_store = [&] { return before++ == at; };
        faults.crash_after_store = [&] { return after++ == at + 1; };
        world.Run(faults);
        world.CheckInvariants();
      }
    }
  }
}

TEST(SimulatedWorld, EndsWellWithTwentyThousandSeeds) {
  std::vector<std::string> steps = {"undo:switch", "undo:start"};
  for (const auto& step : RolloutSteps(FullContext().spec)) steps.push_back(step.name);
  for (uint32_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    std::mt19937 random(seed);
    const auto chance = [&random](uint32_t percent) { return random() % 100 < percent; };
    const bool rollback = chance(25);
    DeploymentRecord state =
        NewState(1 + static_cast<int>(random() % 6),
                 rollback ? pb::DEPLOYMENT_KIND_ROLLBACK : pb::DEPLOYMENT_KIND_DEPLOY);
    state.hold_before_flip = chance(15);
    RolloutContext context = chance(20) ? SiteContext() : FullContext();
    pb::RolloutSpec& rollout = *context.spec.mutable_rollout();
    rollout.set_batch(chance(50) ? "34%" : absl::StrCat(1 + random() % 3));
    rollout.set_max_failures(chance(60) ? 0 : static_cast<uint32_t>(random() % 3));
    if (chance(30)) rollout.set_on_failure(pb::FAILURE_POLICY_PAUSE);
    if (chance(30)) state.canaries = 1;
    if (context.spec.has_hooks() && chance(50)) {
      context.spec.mutable_hooks()->mutable_before_switch(0)->set_once(true);
    }
    World world(state, context);
    if (rollback || chance(80)) world.ServeEverywhere();
    if (rollback && chance(50)) world.WarmEverywhere();
    for (size_t host = 0; host < world.State().rollouts.size(); ++host) {
      for (const std::string& step : steps) {
        if (chance(3)) world.Host(host).Fail(step, pb::FAILURE_REASON_INTERNAL, chance(70));
      }
    }
    Faults faults;
    faults.crash_before_store = [&] { return chance(5); };
    faults.crash_after_store = [&] { return chance(5); };
    faults.lose_answer = [&] { return chance(10); };
    const bool partitions = chance(20);
    faults.lose_host = [&, partitions] { return partitions && chance(3); };
    const bool cancels = chance(30);
    faults.cancel = [&, cancels] { return cancels && chance(6); };
    const bool local = chance(10);
    faults.before_step = [&, local] {
      if (local && chance(4)) world.Host(0).RollBackLocally();
    };
    faults.pick = [&](size_t under_way) { return random() % under_way; };
    faults.heard_at_once = [&](size_t under_way) { return 1 + random() % under_way; };
    faults.resume = [&] { return chance(60); };
    world.Run(faults);
    world.CheckInvariants();
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "failed with seed " << seed << ": " << world.State().message << "\n"
                    << absl::StrJoin(world.Log(), "\n");
      return;
    }
  }
}

}  // namespace
}  // namespace slipway::controller
