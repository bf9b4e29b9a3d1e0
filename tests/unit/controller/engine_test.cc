// The engine with a real SQLite store and a host in memory: stopped at every point, and made anew.
#include "controller/rollout/engine.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <latch>
#include <map>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec.h"
#include "controller/rollout/admission.h"
#include "controller/store/sql_store.h"
#include "tests/contract/store_contract.h"
#include "tests/support/no_more_threads.h"
#include "tests/support/simulated_host.h"

namespace slipway::controller {
namespace {

// Where a call to the host is interrupted.
enum class Cut { kNever, kBeforeIt, kAfterIt };

class HostClient : public ExecutorClient {
 public:
  explicit HostClient(SimulatedHost& host) : host_(host) {}

  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                          const LogSink& log) override {
    pb::LogLine line;
    line.set_text("a line");
    log(line);
    const bool here = calls_++ == cut_at_;
    if (here && cut_ == Cut::kBeforeIt) return Hang();
    auto result = host_.Execute(request);
    if (here && cut_ == Cut::kAfterIt) return Hang();
    if (unavailable_-- > 0) return absl::UnavailableError("scripted");
    return result;
  }
  absl::Status Cancel(const std::string&, const std::string&) override { return absl::OkStatus(); }
  absl::Status SendRelease(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<xpb::InspectResponse> Inspect(const std::string&, bool) override {
    return xpb::InspectResponse();
  }
  absl::StatusOr<pb::HostPlan> Plan(const xpb::PlanRequest&) override { return pb::HostPlan(); }
  absl::StatusOr<xpb::CheckResponse> Check(const xpb::CheckRequest&) override {
    return xpb::CheckResponse();
  }
  absl::StatusOr<xpb::PlaceUpstreamResponse> PlaceUpstream(
      const xpb::PlaceUpstreamRequest&) override {
    return xpb::PlaceUpstreamResponse();
  }
  absl::Status StreamLogs(const xpb::StreamLogsRequest&,
                          const std::function<bool(const xpb::StreamLogsResponse&)>&) override {
    return absl::OkStatus();
  }
  void Shutdown() override {
    if (!std::exchange(shut_down_, true)) released_.set_value();
  }

  void CutAt(int call, Cut cut) {
    cut_at_ = call;
    cut_ = cut;
  }
  void LoseAnswers(int count) { unavailable_ = count; }
  // Until the cut was reached.
  void AwaitCut() { reached_.get_future().wait(); }

 private:
  absl::Status Hang() {
    reached_.set_value();
    released_.get_future().wait();
    return absl::CancelledError("shut down");
  }

  SimulatedHost& host_;
  int calls_ = 0;
  int cut_at_ = -1;
  Cut cut_ = Cut::kNever;
  std::atomic<int> unavailable_{0};
  bool shut_down_ = false;
  std::promise<void> reached_;
  std::promise<void> released_;
};

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override { Begin(); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Begin() {
    folder_ =
        std::filesystem::path(::testing::TempDir()) /
        absl::StrCat("engine.", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    store_.reset();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    store_ = SqlStore::Open(folder_ / "state.db", SystemClock()).value();
    host_ = std::make_unique<SimulatedHost>("web-1");
    host_->Serve("aaaaaaaaaaaa");
    pb::ApplicationSpec spec = SpecOf("gifty");
    spec.mutable_compose()->add_workers("bot");
    ApplyDefaults(spec);
    ASSERT_TRUE(store_->ApplyApplication(spec, {}, "ann").ok());
    ASSERT_TRUE(store_->CreateRelease(ReleaseOf("gifty", "bbbbbbbbbbbb"), {}, "ann").ok());
    id_ = store_->CreateDeployment(DeploymentOf("gifty", "bbbbbbbbbbbb"), {})->id;
  }
  std::unique_ptr<Engine> MakeEngine(const std::shared_ptr<HostClient>& client) {
    EngineParts parts;
    parts.host = [client](const std::string&) { return client; };
    parts.environment = [](const std::string&, uint64_t) -> absl::StatusOr<std::string> {
      return "";
    };
    parts.allowances = [this](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
      if (unreadable_-- > 0) return absl::UnavailableError("the store is away");
      return std::vector<std::string>{"api:privileged"};
    };
    parts.deployment_ended = [this](const DeploymentRecord&) { ended_.set_value(); };
    EngineTimes times;
    times.first_pause = first_pause_;
    times.longest_pause = std::chrono::milliseconds(2);
    times.sweep = sweep_;
    times.deadline = std::chrono::seconds(5);
    return std::make_unique<Engine>(*store_, hub_, SystemClock(), parts, times);
  }
  DeploymentRecord RunToTheEnd(const std::shared_ptr<HostClient>& client) {
    ended_ = {};
    const auto engine = MakeEngine(client);
    EXPECT_TRUE(engine->Resume().ok());
    ended_.get_future().wait();
    return store_->GetDeployment("gifty", id_).value();
  }
  void CheckEnd(const DeploymentRecord& end) {
    EXPECT_EQ(store_->LeaseHolder("gifty").value(), "") << "I9";
    EXPECT_TRUE(store_->VerifyHistory().ok()) << "I5";
    EXPECT_THAT(host_->Violations(), ::testing::IsEmpty());
    auto deeds = host_->Deeds();
    std::sort(deeds.begin(), deeds.end());
    EXPECT_EQ(std::adjacent_find(deeds.begin(), deeds.end()), deeds.end()) << "done twice";
    const auto events = store_->ListEvents("gifty", id_, 0, 1000).value();
    for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].sequence(), i + 1);
    EXPECT_EQ(events.back().state().state(), end.state);
  }

  std::filesystem::path folder_;
  EventHub hub_;
  std::unique_ptr<SqlStore> store_;
  std::unique_ptr<SimulatedHost> host_;
  std::promise<void> ended_;
  // So many times the store cannot be read.
  std::atomic<int> unreadable_ = 0;
  std::chrono::nanoseconds first_pause_ = std::chrono::milliseconds(1);
  std::chrono::nanoseconds sweep_ = std::chrono::hours(1);
  std::string id_;
};

TEST_F(EngineTest, RunsADeploymentAndKeepsWhatItSaw) {
  const DeploymentRecord end = RunToTheEnd(std::make_shared<HostClient>(*host_));
  EXPECT_EQ(end.state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_TRUE(end.serves);
  CheckEnd(end);
}

TEST_F(EngineTest, SendsAgainWhatWasNotAnswered) {
  const auto client = std::make_shared<HostClient>(*host_);
  client->LoseAnswers(7);
  const DeploymentRecord end = RunToTheEnd(client);
  EXPECT_EQ(end.state, pb::DEPLOYMENT_STATE_SUCCEEDED);
  CheckEnd(end);
}

TEST_F(EngineTest, ResumesWhereverItWasStopped) {
  for (const bool failing : {false, true}) {
    for (const Cut cut : {Cut::kBeforeIt, Cut::kAfterIt}) {
      for (int call = 0; call < (failing ? 10 : 12); ++call) {
        SCOPED_TRACE(absl::StrCat("call ", call, failing ? ", bake fails" : "",
                                  cut == Cut::kBeforeIt ? ", before it" : ", after it"));
        Begin();
        if (failing) host_->Fail("bake", pb::FAILURE_REASON_BAKE);
        const auto first = std::make_shared<HostClient>(*host_);
        first->CutAt(call, cut);
        {
          const auto engine = MakeEngine(first);
          ASSERT_TRUE(engine->Resume().ok());
          first->AwaitCut();
          engine->Stop();
          first->Shutdown();
        }
        ASSERT_EQ(store_->LeaseHolder("gifty").value(), id_);
        const DeploymentRecord end = RunToTheEnd(std::make_shared<HostClient>(*host_));
        EXPECT_EQ(end.state,
                  failing ? pb::DEPLOYMENT_STATE_ROLLED_BACK : pb::DEPLOYMENT_STATE_SUCCEEDED);
        CheckEnd(end);
      }
    }
  }
}

// A host that answers a step only when all hosts were asked for it.
class TogetherClient : public HostClient {
 public:
  TogetherClient(SimulatedHost& host, std::latch& asked) : HostClient(host), asked_(asked) {}

  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                          const LogSink& log) override {
    if (request.has_switch_()) asked_.arrive_and_wait();
    return HostClient::Execute(request, log);
  }

 private:
  std::latch& asked_;
};

TEST_F(EngineTest, SwitchesTheHostsOfAWaveAtTheSameTime) {
  pb::ApplicationSpec spec = store_->GetApplication("gifty")->spec;
  spec.mutable_rollout()->set_batch("100%");
  ASSERT_TRUE(store_->ApplyApplication(spec, {}, "ann").ok());
  ReleaseRecord release = ReleaseOf("gifty", "cccccccccccc");
  release.spec_revision = 2;
  ASSERT_TRUE(store_->CreateRelease(release, {}, "ann").ok());
  ASSERT_TRUE(store_->RequestCancel("gifty", id_, {}, "ann").ok());
  RunToTheEnd(std::make_shared<HostClient>(*host_));

  constexpr int kHosts = 20;
  NewDeployment made = DeploymentOf("gifty", "cccccccccccc");
  made.deployment.rollouts.clear();
  std::map<std::string, std::unique_ptr<SimulatedHost>> hosts;
  for (int i = 0; i < kHosts; ++i) {
    const std::string name = absl::StrCat("host-", i);
    made.deployment.rollouts.emplace_back().host = name;
    hosts[name] = std::make_unique<SimulatedHost>(name);
  }
  id_ = store_->CreateDeployment(made, {})->id;
  std::latch asked(kHosts);
  EngineParts parts;
  parts.host = [&](const std::string& name) {
    return std::make_shared<TogetherClient>(*hosts.at(name), asked);
  };
  parts.environment = [](const std::string&, uint64_t) { return ""; };
  ended_ = {};
  parts.deployment_ended = [this](const DeploymentRecord&) { ended_.set_value(); };
  Engine engine(*store_, hub_, SystemClock(), parts);
  engine.Start("gifty", id_);
  ended_.get_future().wait();
  const auto end = store_->GetDeployment("gifty", id_);
  EXPECT_EQ(end->state, pb::DEPLOYMENT_STATE_SUCCEEDED) << end->message;
  EXPECT_EQ(store_->GetDeploymentHead("gifty", id_)->state, end->state);
}

TEST_F(EngineTest, HoldsAStepWhileTheStoreCannotBeReadAndGoesOnAfterwards) {
  unreadable_ = 3;
  const DeploymentRecord end = RunToTheEnd(std::make_shared<HostClient>(*host_));
  EXPECT_EQ(end.state, pb::DEPLOYMENT_STATE_SUCCEEDED) << end.message;
  EXPECT_LT(unreadable_, 0);
}

TEST_F(EngineTest, HoldsWhileTheStoreCannotWriteAndGoesOnAfterwards) {
  ASSERT_TRUE(store_->LimitPagesForTesting(1).ok());
  ended_ = {};
  const auto client = std::make_shared<HostClient>(*host_);
  const auto engine = MakeEngine(client);
  ASSERT_TRUE(engine->Resume().ok());
  ASSERT_TRUE(store_->LimitPagesForTesting(0).ok());
  ended_.get_future().wait();
  EXPECT_EQ(store_->GetDeployment("gifty", id_)->state, pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(EngineTest, ARunWithoutThreadsBeginsAsSoonAsThereAreSome) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  ended_ = {};
  const auto engine = MakeEngine(std::make_shared<HostClient>(*host_));
  {
    const slipway::testing::NoMoreThreads full;
    engine->Start("gifty", id_);
    EXPECT_EQ(store_->GetDeployment("gifty", id_)->state, pb::DEPLOYMENT_STATE_PENDING);
  }
  ended_.get_future().wait();
  const DeploymentRecord end = store_->GetDeployment("gifty", id_).value();
  EXPECT_EQ(end.state, pb::DEPLOYMENT_STATE_SUCCEEDED) << end.message;
  CheckEnd(end);
}

TEST_F(EngineTest, ARunningDeploymentNeedsNoThreadMoreThanItBeganWith) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  ended_ = {};
  const auto client = std::make_shared<HostClient>(*host_);
  const auto engine = MakeEngine(client);
  // The last thread that there is becomes one that the steps share.
  engine->Start("gifty", id_);
  const slipway::testing::NoMoreThreads full;
  ended_.get_future().wait();
  EXPECT_EQ(store_->GetDeployment("gifty", id_)->state, pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(EngineTest, ACancelOfARunWithoutThreadsIsHeardWhenItBegins) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  ended_ = {};
  const auto engine = MakeEngine(std::make_shared<HostClient>(*host_));
  {
    const slipway::testing::NoMoreThreads full;
    engine->Start("gifty", id_);
    ASSERT_TRUE(store_->RequestCancel("gifty", id_, {}, "ann").value());
    engine->Cancel("gifty", id_);
  }
  ended_.get_future().wait();
  const DeploymentRecord end = store_->GetDeployment("gifty", id_).value();
  EXPECT_EQ(end.state, pb::DEPLOYMENT_STATE_CANCELLED) << end.message;
  CheckEnd(end);
}

TEST_F(EngineTest, ARequestThatIsRepeatedStartsTheDeploymentThatCouldNotBegin) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  ASSERT_TRUE(store_->RequestCancel("gifty", id_, {}, "ann").value());
  RunToTheEnd(std::make_shared<HostClient>(*host_));
  ended_ = {};
  // The engine by itself would try again in an hour.
  first_pause_ = std::chrono::hours(1);
  const auto client = std::make_shared<HostClient>(*host_);
  const auto engine = MakeEngine(client);
  Attendance attendance(std::chrono::hours(1), [](const std::string&, const std::string&) {});
  Admission admission(
      *store_, *engine, attendance, [&](const std::string&) { return client; },
      [](const pb::ApplicationSpec&) { return std::vector<Target>{{.host = "web-1"}}; },
      SystemClock());
  Wish wish;
  wish.app = "gifty";
  wish.release = "bbbbbbbbbbbb";
  const Request request{"request-1", "hash"};
  {
    const slipway::testing::NoMoreThreads full;
    const auto admitted = admission.Admit(wish, request);
    ASSERT_TRUE(admitted.ok()) << admitted.status();
    id_ = admitted->deployment->id;
    EXPECT_EQ(admitted->deployment->state, pb::DEPLOYMENT_STATE_PENDING);
  }
  const auto again = admission.Admit(wish, request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->deployment->id, id_);
  ended_.get_future().wait();
  EXPECT_EQ(store_->GetDeployment("gifty", id_)->state, pb::DEPLOYMENT_STATE_SUCCEEDED);
}

// As after a commit whose answer was lost.
TEST_F(EngineTest, ADeploymentThatHoldsItsLeaseAndDoesNotRunIsFound) {
  sweep_ = std::chrono::milliseconds(5);
  ASSERT_TRUE(store_->RequestCancel("gifty", id_, {}, "ann").value());
  RunToTheEnd(std::make_shared<HostClient>(*host_));
  ended_ = {};
  const auto engine = MakeEngine(std::make_shared<HostClient>(*host_));
  ASSERT_EQ(engine->Resume().value(), 0);
  id_ = store_->CreateDeployment(DeploymentOf("gifty", "bbbbbbbbbbbb"), {})->id;
  ended_.get_future().wait();
  EXPECT_EQ(store_->GetDeployment("gifty", id_)->state, pb::DEPLOYMENT_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace slipway::controller
