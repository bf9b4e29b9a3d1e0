// How the decider takes a fleet through a deployment: together, in waves, back, and with a person's word.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/rollout/decide.h"
#include "controller/rollout/order.h"
#include "controller/rollout/rollout_steps.h"
#include "tests/unit/controller/decider_world.h"

namespace slipway::controller {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct FleetOptions {
  int hosts = 6;
  std::string batch = "34%";
  uint32_t canaries = 0;
  uint32_t max_failures = 0;
  bool pause = false;
  bool once = false;
  bool hold = false;
};

RolloutContext ContextOf(const FleetOptions& fleet) {
  RolloutContext context = FullContext();
  pb::RolloutSpec& rollout = *context.spec.mutable_rollout();
  rollout.set_batch(fleet.batch);
  rollout.set_max_failures(fleet.max_failures);
  if (fleet.pause) rollout.set_on_failure(pb::FAILURE_POLICY_PAUSE);
  context.spec.mutable_hooks()->mutable_before_switch(0)->set_once(fleet.once);
  return context;
}

DeploymentRecord StateOf(const FleetOptions& fleet) {
  DeploymentRecord state = NewState(fleet.hosts);
  state.hold_before_flip = fleet.hold;
  state.canaries = fleet.canaries;
  return state;
}

class FleetWorld : public World {
 public:
  explicit FleetWorld(const FleetOptions& fleet) : World(StateOf(fleet), ContextOf(fleet)) {
    ServeEverywhere();
  }

  // The hosts on which the step was done, in order.
  std::vector<std::string> Hosts(const std::string& step) const {
    std::vector<std::string> hosts;
    for (const std::string& line : Log()) {
      if (absl::EndsWith(line, absl::StrCat(" ", step))) {
        hosts.push_back(line.substr(0, line.find(' ')));
      }
    }
    return hosts;
  }
  size_t First(const std::string& step) const {
    return Index(std::find_if(Log().begin(), Log().end(), Ends(step)));
  }
  size_t Last(const std::string& step) const {
    const auto found = std::find_if(Log().rbegin(), Log().rend(), Ends(step));
    return Index(found.base() - 1);
  }
  size_t At(const std::string& line) const {
    return Index(std::find(Log().begin(), Log().end(), line));
  }

 private:
  using Line = std::vector<std::string>::const_iterator;
  static std::function<bool(const std::string&)> Ends(const std::string& step) {
    return
        [step](const std::string& line) { return absl::EndsWith(line, absl::StrCat(" ", step)); };
  }
  size_t Index(Line line) const {
    EXPECT_NE(line, Log().end()) << absl::StrJoin(Log(), ", ");
    return static_cast<size_t>(line - Log().begin());
  }
};

TEST(Fleet, PutsHostsIntoWaves) {
  const auto waves = [](const FleetOptions& fleet) {
    return WavesOf(ContextOf(fleet).spec.rollout(), StateOf(fleet));
  };
  EXPECT_THAT(waves({.hosts = 5, .batch = "2"}), ElementsAre(1, 1, 2, 2, 3));
  EXPECT_THAT(waves({.hosts = 5, .batch = "100%"}), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(waves({.hosts = 5, .batch = "1%"}), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(waves({.hosts = 6, .batch = "34%", .canaries = 2}), ElementsAre(0, 0, 1, 1, 1, 2));
}

TEST(Fleet, ParsesHooksIntoGroupsOfTheirOwn) {
  const auto steps = RolloutSteps(FullContext().spec);
  const auto groups = GroupsOf(steps);
  std::vector<std::string> names(groups.back() + 1);
  for (size_t i = 0; i < steps.size(); ++i) absl::StrAppend(&names[groups[i]], steps[i].name, " ");
  EXPECT_THAT(names, ElementsAre("preflight stage build shared start health ", "hook:migrate ",
                                 "switch bake ", "drain retire workers ", "hook:notify ", "prune ",
                                 "confirm "));
}

TEST(Fleet, PreparesAllHostsAtOnceAndSwitchesTheCanaryFirstThenBatches) {
  FleetWorld world({.hosts = 6, .batch = "34%", .canaries = 1});
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(world.MostAtOnce(), 6u);
  EXPECT_LT(world.Last("hook:migrate"), world.First("switch"));
  EXPECT_THAT(world.Hosts("switch"),
              ElementsAre("web-1", "web-2", "web-3", "web-4", "web-5", "web-6"));
  EXPECT_LT(world.At("web-1 bake"), world.At("web-2 switch"));
  // A batch is switched together before any of it has been watched to the end.
  EXPECT_LT(world.At("web-4 switch"), world.At("web-2 bake"));
  EXPECT_LT(world.At("web-4 bake"), world.At("web-5 switch"));
  EXPECT_LT(world.Last("bake"), world.First("drain"));
  EXPECT_LT(world.Last("prune"), world.First("confirm"));
}

TEST(Fleet, RunsAHookThatIsToRunOnceOnOneHostBeforeAnyIsSwitched) {
  FleetWorld world({.once = true});
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_THAT(world.Hosts("hook:migrate"), ElementsAre("web-1"));
  EXPECT_LT(world.Last("health"), world.At("web-1 hook:migrate"));
  EXPECT_LT(world.At("web-1 hook:migrate"), world.First("switch"));
}

TEST(Fleet, RunsItOnTheFirstHostThatIsStillThere) {
  FleetWorld world({.max_failures = 1, .once = true});
  world.Host(0).Fail("health", pb::FAILURE_REASON_UNHEALTHY);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_PARTIAL);
  EXPECT_THAT(world.Hosts("hook:migrate"), ElementsAre("web-2"));
}

TEST(Fleet, FailsAsAWholeWhenAHookThatRunsOnceFails) {
  for (const bool pause : {false, true}) {
    FleetWorld world({.max_failures = 5, .pause = pause, .once = true});
    world.Host(0).Fail("hook:migrate", pb::FAILURE_REASON_HOOK);
    world.Run();
    world.CheckInvariants();
    EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_FAILED);
    EXPECT_THAT(world.Hosts("switch"), IsEmpty());
  }
}

TEST(Fleet, LeavesBehindAsManyHostsAsMayFail) {
  FleetWorld world({.max_failures = 2});
  world.Host(1).Fail("health", pb::FAILURE_REASON_UNHEALTHY);
  world.Host(4).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_PARTIAL);
  EXPECT_TRUE(world.State().serves);
  EXPECT_EQ(world.State().reason, pb::FAILURE_REASON_UNSPECIFIED);
  EXPECT_THAT(world.State().message, HasSubstr("serves on 4 of 6 hosts"));
  EXPECT_THAT(world.State().message, HasSubstr("web-2 (health failed: scripted"));
  EXPECT_EQ(world.State().rollouts[1].state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_EQ(world.State().rollouts[4].state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_EQ(world.Host(4).ActiveRelease(), kOld);
  // Visitors of a host whose new release does not hold do not wait for the others.
  EXPECT_LT(world.At("web-5 undo:switch"), world.First("drain"));
}

TEST(Fleet, SwitchesEveryHostBackWhenMoreFail) {
  FleetWorld world({.hosts = 8, .batch = "4", .max_failures = 1});
  world.Host(5).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Host(6).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_ROLLED_BACK);
  EXPECT_EQ(world.State().reason, pb::FAILURE_REASON_BAKE);
  EXPECT_THAT(world.State().message, HasSubstr("(2 hosts have failed)"));
  EXPECT_THAT(world.State().message, HasSubstr("8 hosts serve release aaaaaaaaaaaa on blue"));
  EXPECT_EQ(world.Hosts("undo:switch").size(), 8u);
  for (size_t host = 0; host < 8; ++host) EXPECT_EQ(world.Host(host).ActiveRelease(), kOld);
  EXPECT_LT(world.Last("undo:switch"), world.First("undo:start")) << "visitors first";
}

TEST(Fleet, GivesUpWhenNoHostIsLeft) {
  FleetWorld world({.hosts = 2, .max_failures = 9});
  for (size_t host : {0, 1}) world.Host(host).Fail("start", pb::FAILURE_REASON_START);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_FAILED);
}

TEST(Fleet, AsksAPersonWhenItIsToldToAndGoesOnWithoutTheFailedHosts) {
  FleetWorld world({.hosts = 4, .batch = "2", .pause = true});
  world.Host(0).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  world.CheckInvariants();
  EXPECT_EQ(world.Pauses(), 1);
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_PARTIAL);
  EXPECT_EQ(world.State().tolerated_failures, 1u);
  EXPECT_EQ(world.Host(0).ActiveRelease(), kOld);
  EXPECT_EQ(world.Host(1).ActiveRelease(), kNew);
  EXPECT_EQ(world.Host(3).ActiveRelease(), kNew);
}

TEST(Fleet, AsksAgainAtTheNextFailure) {
  FleetWorld world({.hosts = 4, .batch = "1", .pause = true});
  world.Host(0).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Host(2).Fail("bake", pb::FAILURE_REASON_BAKE);
  world.Run();
  EXPECT_EQ(world.Pauses(), 2);
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_PARTIAL);
}

TEST(Fleet, TakesEverythingBackWhenThePersonSaysSo) {
  FleetWorld world({.hosts = 4, .batch = "2", .pause = true});
  world.Host(3).Fail("bake", pb::FAILURE_REASON_BAKE);
  Faults faults;
  faults.resume = [] { return false; };
  world.Run(faults);
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_CANCELLED);
  for (size_t host = 0; host < 4; ++host) EXPECT_EQ(world.Host(host).ActiveRelease(), kOld);
}

TEST(Fleet, WaitsBeforeTheFirstSwitchWhenItIsToldTo) {
  for (const bool resume : {true, false}) {
    FleetWorld world({.hosts = 3, .hold = true});
    size_t before = 0;
    Faults faults;
    faults.resume = [&] {
      before = world.Hosts("switch").size();
      EXPECT_EQ(world.Hosts("hook:migrate").size(), 3u);
      EXPECT_THAT(world.State().message, HasSubstr("`slipway resume gifty`"));
      return resume;
    };
    world.Run(faults);
    world.CheckInvariants();
    EXPECT_EQ(world.Pauses(), 1);
    EXPECT_EQ(before, 0u);
    EXPECT_EQ(world.State().state,
              resume ? pb::DEPLOYMENT_STATE_SUCCEEDED : pb::DEPLOYMENT_STATE_CANCELLED);
    EXPECT_EQ(world.Hosts("switch").size(), resume ? 3u : 0u);
  }
}

TEST(Fleet, LeavesAHostThatHasANewOwnerAndTakesTheOthersBack) {
  FleetWorld world({.hosts = 3, .batch = "3"});
  Faults faults;
  faults.before_step = [&, done = false]() mutable {
    const auto switched = world.Hosts("switch").size();
    if (switched == 3 && !std::exchange(done, true)) world.Host(1).RollBackLocally();
  };
  world.Run(faults);
  world.CheckInvariants();
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_NEEDS_ATTENTION);
  EXPECT_EQ(world.State().reason, pb::FAILURE_REASON_STALE_EPOCH);
  EXPECT_THAT(world.State().message, HasSubstr("web-2: it obeys a newer owner"));
  EXPECT_THAT(world.State().message, Not(HasSubstr("web-1:")));
  for (size_t host = 0; host < 3; ++host) EXPECT_EQ(world.Host(host).ActiveRelease(), kOld);
  EXPECT_EQ(world.Host(1).Deeds().back(), "switch");
}

TEST(Fleet, StopsWhatIsUnderWayButForSwitches) {
  const FleetOptions fleet{.hosts = 3, .batch = "2"};
  const RolloutContext context = ContextOf(fleet);
  Decider decider(context, StateOf(fleet));
  EXPECT_EQ(decider.Take({}, {}).dispatches.size(), 3u);
  Moment cancel;
  cancel.cancel_requested = true;
  const Decision stopped = decider.Take({}, cancel);
  EXPECT_THAT(stopped.stops, ElementsAre(0, 1, 2));
  EXPECT_FALSE(stopped.ended) << "what is under way may still take effect";
  RolloutInput input;
  input.kind = RolloutInput::Kind::kStepLost;
  input.result.set_reason(pb::FAILURE_REASON_CANCELLED);
  std::vector<RolloutInput> inputs(3, input);
  for (size_t host = 0; host < 3; ++host) inputs[host].host = host;
  const Decision ended = decider.Take(inputs, cancel);
  EXPECT_TRUE(ended.ended);
  EXPECT_EQ(decider.State().state, pb::DEPLOYMENT_STATE_CANCELLED);
}

TEST(Fleet, PreparesSomeOfAThousandHostsAtATime) {
  FleetWorld world({.hosts = 1000, .batch = "250"});
  Faults faults;
  faults.heard_at_once = [](size_t under_way) { return under_way; };
  world.Run(faults);
  EXPECT_EQ(world.State().state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(world.MostAtOnce(), 250u) << "a wave is switched together";
  EXPECT_EQ(world.State().message, absl::StrCat("Release ", kNew, " serves on every host"));
}

}  // namespace
}  // namespace slipway::controller
