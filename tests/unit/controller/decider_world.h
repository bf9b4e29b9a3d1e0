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

// What may go wrong around one step, and what people do.
struct Faults {
  std::function<bool()> crash_before_store = [] { return false; };
  std::function<bool()> crash_after_store = [] { return false; };
  std::function<bool()> lose_answer = [] { return false; };
  std::function<bool()> lose_host = [] { return false; };
  std::function<bool()> cancel = [] { return false; };
  std::function<void()> before_step = [] {};
  // Which of so many steps under way is answered next, and how many are before the decider hears of them.
  std::function<size_t(size_t)> pick = [](size_t) { return 0; };
  std::function<size_t(size_t)> heard_at_once = [](size_t) { return 1; };
  // A deployment that waits for a person is let go on; else it is taken back.
  std::function<bool()> resume = [] { return true; };
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
  // Everything that was done, as `web-1 switch`, in the order in which it was.
  const std::vector<std::string>& Log() const { return log_; }
  int Pauses() const { return pauses_; }
  size_t MostAtOnce() const { return most_at_once_; }
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
    Restart();
    Moment moment;
    for (int turn = 0; turn < 40'000; ++turn) {
      moment.cancel_requested = moment.cancel_requested || faults.cancel();
      const Decision decision = decider_->Take(inputs_, moment);
      moment.resume_requested = false;
      if (faults.crash_before_store()) {
        Restart();
        continue;
      }
      stored_ = decider_->State();
      stored_.cancel_requested = false;
      CountEvents(decision);
      if (decision.ended) return;
      if (faults.crash_after_store()) {
        Restart();
        continue;
      }
      under_way_.insert(under_way_.end(), decision.dispatches.begin(), decision.dispatches.end());
      most_at_once_ = std::max(most_at_once_, under_way_.size());
      inputs_.clear();
      if (under_way_.empty()) {
        ASSERT_EQ(stored_.state, pb::DEPLOYMENT_STATE_PAUSED) << "nothing to do and not at the end";
        ++pauses_;
        (faults.resume() ? moment.resume_requested : moment.cancel_requested) = true;
        continue;
      }
      const size_t heard = std::min(faults.heard_at_once(under_way_.size()), under_way_.size());
      for (size_t i = 0; i < heard; ++i) {
        const size_t picked = faults.pick(under_way_.size());
        const Dispatch dispatch = under_way_.at(picked);
        under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(picked));
        faults.before_step();
        inputs_.push_back(Act(dispatch, faults));
      }
    }
    ADD_FAILURE() << "I7: no end in sight";
  }

  void CheckInvariants() {
    ASSERT_TRUE(IsTerminal(stored_.state)) << "I7";
    EXPECT_EQ(terminal_events_, 1) << "one last event";
    EXPECT_FALSE(stored_.message.empty());
    int once = 0;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      CheckHost(i);
      const auto deeds = hosts_[i]->Deeds();
      once += static_cast<int>(std::count(deeds.begin(), deeds.end(), "hook:migrate"));
    }
    if (context_.spec.has_hooks() && context_.spec.hooks().before_switch(0).once()) {
      EXPECT_LE(once, 1) << "a hook that is to run once";
    }
    if (stored_.state == pb::DEPLOYMENT_STATE_SUCCEEDED) {
      for (const RolloutRecord& rollout : stored_.rollouts) {
        EXPECT_EQ(rollout.state, pb::DEPLOYMENT_STATE_SUCCEEDED) << "I6";
      }
    }
  }

 private:
  // As the engine does after a crash. Hosts may have done meanwhile what was on its way to them.
  void Restart() {
    for (const Dispatch& dispatch : under_way_) {
      if (dispatch.position % 2 == 0) Do(dispatch).IgnoreError();
    }
    under_way_.clear();
    inputs_.clear();
    decider_ = std::make_unique<Decider>(context_, stored_);
  }

  void CheckHost(size_t i) {
    SimulatedHost& host = *hosts_[i];
    const RolloutRecord& rollout = stored_.rollouts[i];
    EXPECT_THAT(host.Violations(), ::testing::IsEmpty()) << rollout.host;
    if (host.ActiveSlot() != pb::SLOT_UNSPECIFIED) {
      EXPECT_TRUE(host.Runs(host.ActiveSlot())) << "I1";
    }
    for (const StepRecord& step : rollout.steps) {
      EXPECT_NE(step.state, pb::STEP_STATE_DISPATCHED) << step.name;
    }
    auto deeds = host.Deeds();
    std::erase(deeds, "start");  // WarmEverywhere() did one as well.
    std::sort(deeds.begin(), deeds.end());
    EXPECT_EQ(std::adjacent_find(deeds.begin(), deeds.end()), deeds.end()) << "I4: done twice";
    // Somebody may roll a host back after it was observed and had no more to do.
    const bool still_ours = host.Epoch() <= stored_.epoch;
    if (still_ours && rollout.state == pb::DEPLOYMENT_STATE_SUCCEEDED) {
      EXPECT_EQ(host.ActiveRelease(), kNew) << "I6 " << rollout.host;
    }
    const bool gone_back = rollout.state == pb::DEPLOYMENT_STATE_FAILED ||
                           rollout.state == pb::DEPLOYMENT_STATE_ROLLED_BACK ||
                           rollout.state == pb::DEPLOYMENT_STATE_CANCELLED;
    if (still_ours && gone_back) {
      EXPECT_NE(host.ActiveRelease(), kNew) << "I12 " << rollout.host;
    }
    if (gone_back && !IsFenced(rollout) && stored_.kind == pb::DEPLOYMENT_KIND_DEPLOY) {
      EXPECT_FALSE(host.Runs(rollout.slot)) << "I8: candidate left behind on " << rollout.host;
    }
  }

  absl::StatusOr<xpb::StepResult> Do(const Dispatch& dispatch) {
    return hosts_.at(dispatch.host)->Execute(dispatch.request);
  }

  RolloutInput Act(const Dispatch& dispatch, const Faults& faults) {
    RolloutInput input;
    input.host = dispatch.host;
    input.position = dispatch.position;
    if (faults.lose_host()) {
      input.kind = RolloutInput::Kind::kStepLost;
      return input;
    }
    const RolloutRecord& rollout = stored_.rollouts.at(dispatch.host);
    log_.push_back(absl::StrCat(rollout.host, " ", rollout.steps.at(dispatch.position).name));
    auto result = Do(dispatch);
    // The engine sends it again, under the same id.
    while (faults.lose_answer()) result = Do(dispatch);
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
    EXPECT_EQ(decision.transition.history.has_value(), decision.ended);
  }

  const RolloutContext context_;
  DeploymentRecord stored_;
  std::vector<std::unique_ptr<SimulatedHost>> hosts_;
  std::unique_ptr<Decider> decider_;
  std::vector<Dispatch> under_way_;
  std::vector<RolloutInput> inputs_;
  std::vector<std::string> log_;
  size_t most_at_once_ = 0;
  int pauses_ = 0;
  int terminal_events_ = 0;
};

}  // namespace slipway::controller
