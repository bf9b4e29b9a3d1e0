// A controller that is nothing but the decider and what it has stored, in a world of simulated hosts, with every fault that a
// test wants.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec.h"
#include "common/status.h"
#include "controller/rollout/decide.h"
#include "controller/rollout/state.h"
#include "tests/support/simulated_host.h"

namespace slipway::controller {

inline constexpr char kOld[] = "aaaaaaaaaaaa";
inline constexpr char kNew[] = "bbbbbbbbbbbb";

inline RolloutContext FullContext() {
  RolloutContext context;
  context.spec.set_app("gifty");
  context.spec.mutable_compose()->add_slotted("api");
  context.spec.mutable_compose()->add_workers("bot");
  pb::Hook& before = *context.spec.mutable_hooks()->add_before_switch();
  before.set_name("migrate");
  context.spec.mutable_hooks()->add_after_switch()->set_name("notify");
  ApplyDefaults(context.spec);
  context.served_releases = {kOld};
  return context;
}

inline RolloutContext SiteContext() {
  RolloutContext context;
  context.spec.set_app("gifty");
  context.spec.mutable_site()->mutable_front_door()->set_url("http://127.0.0.1/");
  ApplyDefaults(context.spec);
  context.served_releases = {kOld};
  return context;
}

inline DeploymentRecord NewState(int hosts, pb::DeploymentKind kind = pb::DEPLOYMENT_KIND_DEPLOY) {
  DeploymentRecord state;
  state.app = "gifty";
  state.id = "20261122-bbbbbb";
  state.kind = kind;
  state.release = kNew;
  state.epoch = 1;
  for (int i = 0; i < hosts; ++i) {
    RolloutRecord rollout;
    rollout.host = absl::StrCat("web-", i + 1);
    state.rollouts.push_back(rollout);
  }
  return state;
}

// What may go wrong around one step.
struct Faults {
  std::function<bool()> crash_before_store = [] { return false; };
  std::function<bool()> crash_after_store = [] { return false; };
  std::function<bool()> lose_answer = [] { return false; };
  std::function<bool()> lose_host = [] { return false; };
  std::function<bool()> cancel = [] { return false; };
  std::function<void()> before_step = [] {};
};

class World {
 public:
  explicit World(DeploymentRecord state, RolloutContext context = FullContext())
      : context_(std::move(context)), stored_(std::move(state)) {
    for (const RolloutRecord& rollout : stored_.rollouts) {
      hosts_.push_back(std::make_unique<SimulatedHost>(rollout.host));
    }
  }
  SimulatedHost& Host(size_t i) { return *hosts_.at(i); }
  const DeploymentRecord& State() const { return stored_; }
  void ServeEverywhere() {
    for (auto& host : hosts_) host->Serve(kOld);
  }
  void WarmEverywhere() {
    for (auto& host : hosts_) {
      xpb::ExecuteRequest start;
      start.mutable_operation()->set_id("earlier/host/start/0.1");
      start.mutable_start()->set_release(kNew);
      start.mutable_start()->set_slot(pb::SLOT_GREEN);
      ASSERT_TRUE(host->Execute(start).ok());
    }
  }

  void Run(const Faults& faults = {}) {
    RolloutInput input;
    bool cancel = false;
    for (int turn = 0; turn < 2000; ++turn) {
      cancel = cancel || faults.cancel();
      input.cancel_requested = cancel;
      const Decision decision = Decide(context_, stored_, input);
      if (faults.crash_before_store()) {
        input = {};
        continue;
      }
      stored_ = decision.transition.deployment;
      CountEvents(decision);
      if (!decision.dispatch) return;
      if (faults.crash_after_store()) {
        input = {};
        continue;
      }
      faults.before_step();
      input = Act(*decision.dispatch, faults);
    }
    ADD_FAILURE() << "I7: no end in sight";
  }

  void CheckInvariants() {
    ASSERT_TRUE(IsTerminal(stored_.state)) << "I7";
    EXPECT_EQ(terminal_events_, 1) << "one last event";
    EXPECT_FALSE(stored_.message.empty());
    for (size_t i = 0; i < hosts_.size(); ++i) {
      EXPECT_THAT(hosts_[i]->Violations(), ::testing::IsEmpty()) << stored_.rollouts[i].host;
      if (hosts_[i]->ActiveSlot() != pb::SLOT_UNSPECIFIED) {
        EXPECT_TRUE(hosts_[i]->Runs(hosts_[i]->ActiveSlot())) << "I1";
      }
      for (const StepRecord& step : stored_.rollouts[i].steps) {
        EXPECT_NE(step.state, pb::STEP_STATE_DISPATCHED) << step.name;
      }
      auto deeds = hosts_[i]->Deeds();
      std::erase(deeds, "start");  // WarmEverywhere() did one as well.
      std::sort(deeds.begin(), deeds.end());
      EXPECT_EQ(std::adjacent_find(deeds.begin(), deeds.end()), deeds.end()) << "I4: done twice";
      // Somebody may roll a host back after it was observed and had no more to do.
      const bool still_ours = hosts_[i]->Epoch() <= stored_.epoch;
      if (still_ours && (stored_.state == pb::DEPLOYMENT_STATE_SUCCEEDED || stored_.serves)) {
        EXPECT_EQ(hosts_[i]->ActiveRelease(), kNew) << "I6";
      }
      const bool gone_back = stored_.state == pb::DEPLOYMENT_STATE_FAILED ||
                             stored_.state == pb::DEPLOYMENT_STATE_ROLLED_BACK ||
                             stored_.state == pb::DEPLOYMENT_STATE_CANCELLED;
      if (gone_back) {
        EXPECT_NE(hosts_[i]->ActiveRelease(), kNew) << "I12";
      }
      if (gone_back && stored_.reason != pb::FAILURE_REASON_STALE_EPOCH &&
          stored_.kind == pb::DEPLOYMENT_KIND_DEPLOY) {
        EXPECT_FALSE(hosts_[i]->Runs(stored_.rollouts[i].slot)) << "I8: candidate left behind";
      }
    }
  }

 private:
  RolloutInput Act(const Dispatch& dispatch, const Faults& faults) {
    RolloutInput input;
    input.host = dispatch.host;
    input.position = dispatch.position;
    if (faults.lose_host()) {
      input.kind = RolloutInput::Kind::kStepLost;
      return input;
    }
    auto result = hosts_.at(dispatch.host)->Execute(dispatch.request);
    // The engine sends it again, under the same id.
    while (faults.lose_answer()) result = hosts_.at(dispatch.host)->Execute(dispatch.request);
    if (result.ok()) {
      input.kind = RolloutInput::Kind::kStepEnded;
      input.result = *result;
    } else {
      EXPECT_EQ(DetailOf(result.status()).reason(), "STALE_EPOCH") << result.status();
      input.kind = RolloutInput::Kind::kFenced;
      input.result.set_reason(pb::FAILURE_REASON_STALE_EPOCH);
    }
    return input;
  }

  void CountEvents(const Decision& decision) {
    for (const pb::Event& event : decision.transition.events) {
      if (event.has_state() && IsTerminal(event.state().state())) ++terminal_events_;
    }
    EXPECT_EQ(decision.transition.history.has_value(), IsTerminal(stored_.state));
  }

  const RolloutContext context_;
  DeploymentRecord stored_;
  std::vector<std::unique_ptr<SimulatedHost>> hosts_;
  int terminal_events_ = 0;
};

}  // namespace slipway::controller
