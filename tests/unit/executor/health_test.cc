#include "executor/drivers/health.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/durations.h"
#include "executor/failure.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_workload.h"
#include "tests/support/tiny_server.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::FakeClock;
using ::slipway::testing::FakeWorkload;
using ::slipway::testing::TinyServer;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ObservedContainer Api() {
  ObservedContainer container;
  container.id = "c0ffee";
  container.service = "api";
  container.running = true;
  container.started_at = "2026-11-22T00:00:00Z";
  return container;
}

class Health : public ::testing::Test {
 protected:
  Health() {
    workload_.containers = {Api()};
    workload_.port_owner = Api();
    request_.app = "gifty";
    request_.slot = pb::SLOT_BLUE;
    request_.port = server_.port();
    request_.spec.set_successes(3);
    *request_.spec.mutable_timeout() = ToProto(seconds(120));
    *request_.spec.mutable_interval() = ToProto(seconds(1));
    *request_.spec.mutable_probe_timeout() = ToProto(seconds(5));
    request_.spec.mutable_http()->set_path("/health");
  }

  TinyServer::Answer answer_{200, R"({"status":"ok"})", "X-Ready: yes\r\n", ""};
  // Called with the number of the request, from 1.
  std::function<TinyServer::Answer(int)> script_ = [this](int) { return answer_; };
  int requests_ = 0;
  TinyServer server_{"127.0.0.1", 0, [this](const std::string&) { return script_(++requests_); }};
  FakeWorkload workload_;
  FakeClock clock_;
  HealthGate gate_{workload_, clock_};
  HealthRequest request_;
};

TEST_F(Health, WantsThreeSuccessesInARow) {
  script_ = [this](int n) { return n == 3 ? TinyServer::Answer{500, "no", "", ""} : answer_; };
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.evidence.probes(), 6u);
  EXPECT_EQ(outcome.evidence.successes_in_a_row(), 3u);
  EXPECT_EQ(outcome.evidence.last_failure(), "status 500 instead of 200");
  EXPECT_EQ(outcome.evidence.last_body(), "no");
}

TEST_F(Health, PollsQuicklyAtFirstAndBacksOff) {
  std::vector<Clock::Monotonic> times;
  script_ = [&](int n) {
    times.push_back(clock_.Now());
    return n <= 12 ? TinyServer::Answer{503, "", "", ""} : answer_;
  };
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
  EXPECT_EQ(times[1] - times[0], milliseconds(25));
  EXPECT_EQ(times[2] - times[1], std::chrono::microseconds(37500));
  EXPECT_EQ(times[12] - times[11], seconds(1));
  // The row of successes is quick again.
  EXPECT_EQ(times[14] - times[13], milliseconds(25));
}

TEST_F(Health, WantsTheSuccessesToSpanTheStabilityWindow) {
  *request_.spec.mutable_stable() = ToProto(seconds(5));
  const auto start = clock_.Now();
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_GE(clock_.Now() - start, seconds(5));
  EXPECT_LT(clock_.Now() - start, seconds(7));
  EXPECT_LT(outcome.evidence.probes(), 20u);
}

TEST_F(Health, IsNeverReachedByAFlappingApplication) {
  script_ = [this](int n) { return n % 3 == 0 ? TinyServer::Answer{500, "", "", ""} : answer_; };
  *request_.spec.mutable_timeout() = ToProto(seconds(10));
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_UNHEALTHY);
  EXPECT_THAT(outcome.evidence.container_tail(), ElementsAre("the last words"));
  EXPECT_GT(outcome.evidence.probes(), 9u);
}

TEST_F(Health, FailsAtOnceWhenTheContainerDies) {
  script_ = [this](int n) {
    if (n == 2) {
      workload_.containers[0].running = false;
      workload_.containers[0].exit_code = 137;
    }
    return TinyServer::Answer{503, "", "", ""};
  };
  const auto start = clock_.Now();
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_CONTAINER_DIED);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("exit code 137"));
  EXPECT_LT(clock_.Now() - start, milliseconds(200));
  EXPECT_THAT(outcome.evidence.container_tail(), ElementsAre("the last words"));
}

TEST_F(Health, ClaimsNoExitCodeThatDockerDidNotSay) {
  script_ = [this](int) {
    // As a list of containers has it: no exit code, no time of the start.
    workload_.containers[0].running = false;
    workload_.containers[0].started_at.clear();
    return answer_;
  };
  const absl::Status status = gate_.Wait(request_).status;
  EXPECT_EQ(ReasonOf(status), pb::FAILURE_REASON_CONTAINER_DIED);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has ended"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("exit code")));
}

TEST_F(Health, SeesARestartThoughTheContainerRunsAgain) {
  for (const bool by_count : {true, false}) {
    workload_.containers = {Api()};
    script_ = [this, by_count](int) {
      if (by_count) workload_.containers[0].restart_count = 1;
      if (!by_count) workload_.containers[0].started_at = "2026-11-22T00:00:09Z";
      return answer_;
    };
    const HealthOutcome outcome = gate_.Wait(request_);
    EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_CONTAINER_DIED);
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("restarted"));
  }
}

TEST_F(Health, FailsWhenTheContainerIsGoneOrWasNeverThere) {
  script_ = [this](int) {
    workload_.containers.clear();
    return answer_;
  };
  EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_CONTAINER_DIED);
  EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_START);
}

TEST_F(Health, DoesNotAskAPortThatAnotherContainerOwns) {
  ObservedContainer other = Api();
  other.id = "0badcafe";
  workload_.port_owner = other;
  EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_PORT_TAKEN);
  EXPECT_EQ(requests_, 0);
}

TEST_F(Health, WaitsForThePortToBePublished) {
  workload_.port_owner = absl::NotFoundError("nobody");
  int observations = 0;
  workload_.observe = [&]() -> absl::StatusOr<ObservedSlot> {
    if (++observations == 5) workload_.port_owner = Api();
    return ObservedSlot{pb::SLOT_BLUE, workload_.containers};
  };
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(requests_, 3);
}

TEST_F(Health, GoesOnWhileDockerIsBeingRestarted) {
  int observations = 0;
  workload_.observe = [&]() -> absl::StatusOr<ObservedSlot> {
    ++observations;
    if (observations > 1 && observations < 6)
      return absl::UnavailableError("connect: Connection refused");
    return ObservedSlot{pb::SLOT_BLUE, workload_.containers};
  };
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
}

TEST_F(Health, ComparesASubsetOfTheJson) {
  auto& wanted = *request_.spec.mutable_http()->mutable_json()->mutable_fields();
  wanted["status"].set_string_value("ok");
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
  *request_.spec.mutable_timeout() = ToProto(seconds(1));
  for (const std::string body : {"", "ok", "null", "[]", "{", R"({"status":"no"})",
                                 R"({"status":1})", "\xff\xfe", R"({"status":["ok"]})"}) {
    answer_.body = body;
    EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_UNHEALTHY) << body;
  }
}

TEST_F(Health, ChecksHeadersAndBody) {
  request_.spec.mutable_http()->set_body("status");
  (*request_.spec.mutable_http()->mutable_headers())["x-ready"] = "yes";
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
  *request_.spec.mutable_timeout() = ToProto(seconds(1));
  (*request_.spec.mutable_http()->mutable_headers())["x-ready"] = "no";
  EXPECT_THAT(gate_.Wait(request_).evidence.last_failure(), HasSubstr("header x-ready is yes"));
  request_.spec.mutable_http()->clear_headers();
  request_.spec.mutable_http()->set_body("absent");
  EXPECT_THAT(gate_.Wait(request_).evidence.last_failure(), HasSubstr("does not contain"));
}

TEST_F(Health, KeepsAtMostTwoKibibytesOfABodyAsText) {
  answer_ = {500, std::string(1 << 16, '\xff'), "", ""};
  *request_.spec.mutable_timeout() = ToProto(seconds(1));
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_EQ(outcome.evidence.last_body(), std::string(2048, '?'));
  EXPECT_FALSE(outcome.evidence.SerializeAsString().empty());
}

TEST_F(Health, ByCommandRunsItInTheNamedServicesContainer) {
  request_.spec.mutable_command()->set_service("api");
  request_.spec.mutable_command()->add_command("check");
  int left = 2;
  workload_.run_in_container = [&](const std::vector<std::string>& argv) {
    EXPECT_THAT(argv, ElementsAre("check"));
    return left-- > 0 ? 1 : 0;
  };
  const HealthOutcome outcome = gate_.Wait(request_);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.evidence.probes(), 5u);
  EXPECT_EQ(outcome.evidence.last_failure(), "the command ended with 1");
}

TEST_F(Health, ByDockerBelievesTheContainersOwnCheck) {
  request_.spec.mutable_docker();
  workload_.containers[0].health = "starting";
  int observations = 0;
  workload_.observe = [&]() -> absl::StatusOr<ObservedSlot> {
    if (++observations == 5) workload_.containers[0].health = "healthy";
    return ObservedSlot{pb::SLOT_BLUE, workload_.containers};
  };
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
  workload_.containers[0].health.clear();
  *request_.spec.mutable_timeout() = ToProto(seconds(1));
  EXPECT_THAT(gate_.Wait(request_).evidence.last_failure(),
              HasSubstr("no container of the slot has a health check"));
}

TEST_F(Health, ByTcpWantsAConnectionThatStaysOpen) {
  request_.spec.mutable_tcp();
  EXPECT_TRUE(gate_.Wait(request_).status.ok());
  request_.port = 1;
  *request_.spec.mutable_timeout() = ToProto(seconds(1));
  EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_UNHEALTHY);
}

TEST_F(Health, StopsWhenCancelled) {
  Cancellation cancellation;
  request_.cancellation = &cancellation;
  script_ = [&](int) {
    cancellation.Cancel();
    return TinyServer::Answer{503, "", "", ""};
  };
  EXPECT_TRUE(absl::IsCancelled(gate_.Wait(request_).status));
}

TEST_F(Health, EndsAtTheStepsDeadlineWhenThatIsEarlier) {
  answer_.status = 500;
  const auto start = clock_.Now();
  request_.deadline = start + seconds(2);
  EXPECT_EQ(ReasonOf(gate_.Wait(request_).status), pb::FAILURE_REASON_UNHEALTHY);
  EXPECT_LE(clock_.Now() - start, seconds(3));
}

TEST_F(Health, BakeWatchesForTheWholeTime) {
  const auto start = clock_.Now();
  script_ = [this](int n) { return n == 4 ? TinyServer::Answer{500, "", "", ""} : answer_; };
  const BakeOutcome outcome = gate_.Watch(request_, seconds(5));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(FromProto(outcome.evidence.watched()), seconds(5));
  EXPECT_EQ(clock_.Now() - start, seconds(5));
  EXPECT_EQ(outcome.evidence.failures(), 1u);
  EXPECT_GT(outcome.evidence.probes(), 5u);
}

TEST_F(Health, BakeEndsAfterFailuresInARow) {
  script_ = [this](int n) { return n >= 4 ? TinyServer::Answer{500, "", "", ""} : answer_; };
  const BakeOutcome outcome = gate_.Watch(request_, seconds(60));
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_BAKE);
  EXPECT_EQ(outcome.evidence.failures(), 3u);
  EXPECT_THAT(outcome.evidence.container_tail(), ElementsAre("the last words"));
  EXPECT_LT(FromProto(outcome.evidence.watched()), seconds(2));
}

TEST_F(Health, BakeFollowsUpAFailureAtItsVeryEnd) {
  script_ = [this](int n) { return n >= 2 ? TinyServer::Answer{500, "", "", ""} : answer_; };
  EXPECT_EQ(ReasonOf(gate_.Watch(request_, milliseconds(60)).status), pb::FAILURE_REASON_BAKE);
}

TEST_F(Health, BakeBelievesTheVisitorsAnswersWhileDockerIsAway) {
  int observations = 0;
  workload_.observe = [&]() -> absl::StatusOr<ObservedSlot> {
    if (++observations > 2) return absl::UnavailableError("connect: Connection refused");
    return ObservedSlot{pb::SLOT_BLUE, workload_.containers};
  };
  const BakeOutcome outcome = gate_.Watch(request_, seconds(10));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.evidence.failures(), 0u);
  script_ = [this](int) { return TinyServer::Answer{500, "", "", ""}; };
  EXPECT_EQ(ReasonOf(gate_.Watch(request_, seconds(10)).status), pb::FAILURE_REASON_BAKE);
}

TEST_F(Health, BakeByDockerWaitsForDockerUntilTheStepsDeadline) {
  request_.spec.clear_http();
  request_.spec.mutable_docker();
  workload_.containers[0].health = "healthy";
  int observations = 0;
  bool comes_back = true;
  workload_.observe = [&]() -> absl::StatusOr<ObservedSlot> {
    ++observations;
    if (observations > 2 && (!comes_back || observations < 40))
      return absl::UnavailableError("connect: Connection refused");
    return ObservedSlot{pb::SLOT_BLUE, workload_.containers};
  };
  request_.deadline = clock_.Now() + seconds(300);
  const BakeOutcome outcome = gate_.Watch(request_, seconds(1));
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.evidence.failures(), 0u);
  comes_back = false;
  request_.deadline = clock_.Now() + seconds(30);
  const BakeOutcome never = gate_.Watch(request_, seconds(1));
  EXPECT_EQ(ReasonOf(never.status), pb::FAILURE_REASON_BAKE);
  EXPECT_THAT(std::string(never.status.message()), HasSubstr("Docker gave no answer"));
}

TEST_F(Health, BakeEndsAtOnceWhenTheContainerDies) {
  script_ = [this](int n) {
    if (n == 3) workload_.containers[0].running = false;
    return answer_;
  };
  const BakeOutcome outcome = gate_.Watch(request_, seconds(60));
  EXPECT_EQ(ReasonOf(outcome.status), pb::FAILURE_REASON_CONTAINER_DIED);
  EXPECT_LT(FromProto(outcome.evidence.watched()), seconds(1));
}

}  // namespace
}  // namespace slipway::executor
