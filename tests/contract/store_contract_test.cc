// One suite for every back end of the Store.
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/adopted_release.h"
#include "tests/contract/store_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

TEST_P(StoreContract, GivesAChangedSpecANewRevisionAndKeepsAnEqualOne) {
  pb::ApplicationSpec spec = SpecOf("gifty");
  EXPECT_TRUE(store_->ApplyApplication(spec, {}, "ann")->changed);
  EXPECT_FALSE(store_->ApplyApplication(spec, {}, "ann")->changed);
  spec.mutable_slots()->set_blue(8000);
  const auto applied = store_->ApplyApplication(spec, {}, "ann");
  EXPECT_TRUE(applied->changed);
  EXPECT_EQ(applied->application.spec_revision, 2u);
  Reopen();
  EXPECT_EQ(store_->GetApplication("gifty")->spec.slots().blue(), 8000u);
  EXPECT_EQ(store_->GetSpec("gifty", 1)->slots().blue(), 0u);
  EXPECT_TRUE(absl::IsNotFound(store_->GetSpec("gifty", 3).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->GetApplication("other").status()));
}

TEST_P(StoreContract, ListsApplicationsInPagesByName) {
  for (const char* app : {"b", "a", "d", "c"}) {
    ASSERT_TRUE(store_->ApplyApplication(SpecOf(app), {}, "ann").ok());
  }
  const auto first = store_->ListApplications("", 3);
  ASSERT_THAT(*first, SizeIs(3));
  EXPECT_EQ(first->at(2).app, "c");
  const auto second = store_->ListApplications("c", 3);
  ASSERT_THAT(*second, SizeIs(1));
  EXPECT_EQ(second->at(0).app, "d");
}

TEST_P(StoreContract, RefusesAnEnvironmentThatWasReadBeforeAnotherWasSet) {
  MakeRelease();
  EXPECT_EQ(store_->PutEnvironment("gifty", 0, "sealed-1", {}, "ann").value(), 1u);
  EXPECT_TRUE(absl::IsAborted(store_->PutEnvironment("gifty", 0, "x", {}, "bob").status()));
  EXPECT_EQ(store_->PutEnvironment("gifty", 1, "sealed-2", {}, "bob").value(), 2u);
  Reopen();
  EXPECT_EQ(store_->GetEnvironment("gifty", 1)->sealed, "sealed-1");
  EXPECT_EQ(store_->GetEnvironment("gifty", 2)->sealed, "sealed-2");
  EXPECT_EQ(store_->GetApplication("gifty")->environment_revision, 2u);
}

TEST_P(StoreContract, AnswersTheSameReleaseTwiceAndListsNewestFirst) {
  MakeRelease();
  ReleaseRecord again = ReleaseOf("gifty", "aaaaaaaaaaaa");
  again.description = "other words";
  EXPECT_EQ(store_->CreateRelease(again, {}, "ann")->description, "");
  MakeRelease("gifty", "bbbbbbbbbbbb");
  MakeRelease("gifty", "cccccccccccc");
  const auto page = store_->ListReleases("gifty", "", 2);
  ASSERT_THAT(*page, SizeIs(2));
  EXPECT_EQ(page->at(0).id, "cccccccccccc");
  const auto rest = store_->ListReleases("gifty", page->at(1).id, 2);
  ASSERT_THAT(*rest, SizeIs(1));
  EXPECT_EQ(rest->at(0).id, "aaaaaaaaaaaa");
  EXPECT_EQ(rest->at(0).manifest_digest, Sha256Of("aaaaaaaaaaaa"));
  EXPECT_EQ(rest->at(0).files, 3u);
}

TEST_P(StoreContract, GivesOneDeploymentToOneRequestId) {
  MakeRelease();
  const Request request{"request-1", "hash"};
  const DeploymentRecord made = MakeDeployment(request);
  EXPECT_EQ(MakeDeployment(request).id, made.id);
  const auto other =
      store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {"request-1", "other hash"});
  EXPECT_EQ(ReasonOf(other.status()), "REQUEST_ID_REUSED");
  EXPECT_EQ(ReasonOf(store_->FindRequest("gifty", {"request-1", "x"}).status()),
            "REQUEST_ID_REUSED");
  EXPECT_EQ(store_->FindRequest("gifty", request)->value(), made.id);
  EXPECT_FALSE(store_->FindRequest("other", request)->has_value());
}

TEST_P(StoreContract, LetsOneDeploymentRunAndTheNewestWait) {
  MakeRelease();
  const DeploymentRecord first = MakeDeployment();
  const auto second = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {});
  EXPECT_TRUE(second->queued);
  EXPECT_THAT(second->superseded, SizeIs(0));
  const Request request{"r", "hash"};
  const auto third = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), request);
  EXPECT_THAT(third->superseded, ElementsAre(second->id));
  EXPECT_EQ(store_->GetDeployment("gifty", second->id)->state, pb::DEPLOYMENT_STATE_SUPERSEDED);
  EXPECT_EQ(store_->GetDeployment("gifty", third->id)->state, pb::DEPLOYMENT_STATE_QUEUED);
  EXPECT_EQ(store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), request)->id,
            third->id);
  EXPECT_EQ(store_->StartQueued("gifty", 0).value(), "") << "the first one runs";
  Reopen();
  EXPECT_EQ(store_->LeaseHolder("gifty").value(), first.id);
  EXPECT_THAT(*store_->ListRunning(), ElementsAre(std::pair("gifty", first.id)));
  EXPECT_THAT(*store_->ListQueued(), ElementsAre(std::pair("gifty", third->id)));

  ASSERT_TRUE(store_->RecordTransition(EndOf(first, pb::DEPLOYMENT_STATE_FAILED)).ok());
  EXPECT_EQ(store_->LeaseHolder("gifty").value(), "");
  EXPECT_EQ(store_->StartQueued("other", 0).value(), "");
  EXPECT_EQ(store_->StartQueued("gifty", 40).value(), third->id);
  EXPECT_EQ(store_->StartQueued("gifty", 40).value(), "");
  const auto started = store_->GetDeployment("gifty", third->id);
  EXPECT_EQ(started->state, pb::DEPLOYMENT_STATE_PENDING);
  EXPECT_EQ(started->epoch, 41u);
  EXPECT_EQ(store_->LeaseHolder("gifty").value(), third->id);
  EXPECT_THAT(*store_->ListQueued(), SizeIs(0));
  EXPECT_THAT(Sequences(third->id), ElementsAre(1, 2));
}

TEST_P(StoreContract, EndsACancelledDeploymentThatWaitsAtOnce) {
  MakeRelease();
  const DeploymentRecord first = MakeDeployment();
  const auto second = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {});
  EXPECT_TRUE(store_->RequestCancel("gifty", second->id, {}, "bob").value());
  const auto cancelled = store_->GetDeployment("gifty", second->id);
  EXPECT_EQ(cancelled->state, pb::DEPLOYMENT_STATE_CANCELLED);
  EXPECT_TRUE(cancelled->end_time.has_value());
  EXPECT_FALSE(store_->RequestCancel("gifty", second->id, {}, "bob").value());
  ASSERT_TRUE(store_->RecordTransition(EndOf(first, pb::DEPLOYMENT_STATE_SUCCEEDED)).ok());
  EXPECT_EQ(store_->StartQueued("gifty", 0).value(), "");
}

TEST_P(StoreContract, NumbersDeploymentsOfOneDayAndRaisesTheEpoch) {
  MakeRelease();
  const DeploymentRecord first = MakeDeployment();
  ASSERT_TRUE(store_->RecordTransition(EndOf(first, pb::DEPLOYMENT_STATE_SUCCEEDED)).ok());
  const DeploymentRecord second = MakeDeployment();
  EXPECT_EQ(second.id, "20261122-aaaaaa-2");
  EXPECT_GT(second.epoch, first.epoch);
  ASSERT_TRUE(store_->RecordTransition(EndOf(second, pb::DEPLOYMENT_STATE_FAILED)).ok());
  NewDeployment made = DeploymentOf("gifty", "aaaaaaaaaaaa");
  made.epoch_floor = 40;
  Reopen();
  EXPECT_EQ(store_->CreateDeployment(made, {})->id, "20261122-aaaaaa-3");
  EXPECT_EQ(store_->GetDeployment("gifty", "-")->epoch, 41u);
  EXPECT_THAT(*store_->ListServed("gifty", 9), SizeIs(1));
  const auto page = store_->ListDeployments("gifty", "20261122-aaaaaa-3", 1);
  ASSERT_THAT(*page, SizeIs(1));
  EXPECT_EQ(page->at(0).id, "20261122-aaaaaa-2");
}

TEST_P(StoreContract, KeepsStepsWithTheirEvidence) {
  MakeRelease();
  Transition transition;
  transition.deployment = MakeDeployment();
  transition.deployment.state = pb::DEPLOYMENT_STATE_RUNNING;
  transition.hosts = {{0, pb::DEPLOYMENT_STATE_RUNNING, pb::SLOT_GREEN}};
  StepRecord step;
  step.name = "preflight";
  step.state = pb::STEP_STATE_DISPATCHED;
  step.attempt = 1;
  step.start_time = SystemClock().WallNow();
  transition.steps.push_back({0, 0, step});
  EXPECT_TRUE(store_->RecordTransition(transition).ok());
  transition.steps[0].step.state = pb::STEP_STATE_DONE;
  transition.steps[0].step.evidence.mutable_preflight()->set_candidate_slot(pb::SLOT_GREEN);
  EXPECT_TRUE(store_->RecordTransition(transition).ok());
  Reopen();
  const auto stored = store_->GetDeployment("gifty", transition.deployment.id);
  ASSERT_THAT(stored->rollouts, SizeIs(1));
  EXPECT_EQ(stored->rollouts[0].slot, pb::SLOT_GREEN);
  ASSERT_THAT(stored->rollouts[0].steps, SizeIs(1));
  EXPECT_EQ(stored->rollouts[0].steps[0].state, pb::STEP_STATE_DONE);
  EXPECT_EQ(stored->rollouts[0].steps[0].evidence.preflight().candidate_slot(), pb::SLOT_GREEN);
}

TEST_P(StoreContract, NumbersEventsWithoutGaps) {
  MakeRelease();
  const DeploymentRecord made = MakeDeployment();
  pb::Event line;
  line.mutable_log()->set_text("hello");
  EXPECT_EQ(store_->AppendEvents("gifty", made.id, {line, line}).value(), 3u);
  EXPECT_EQ(store_->RecordTransition(EndOf(made, pb::DEPLOYMENT_STATE_FAILED)).value(), 4u);
  EXPECT_THAT(Sequences(made.id), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Sequences(made.id, 2), ElementsAre(3, 4));
  EXPECT_THAT(Sequences(made.id, UINT64_MAX), SizeIs(0));
  EXPECT_EQ(store_->GetDeployment("gifty", made.id)->last_event, 4u);
}

TEST_P(StoreContract, RefusesATransitionWithoutTheLease) {
  MakeRelease();
  DeploymentRecord made = MakeDeployment();
  DeploymentRecord older = made;
  older.epoch -= 1;
  EXPECT_EQ(ReasonOf(store_->RecordTransition(EndOf(older, pb::DEPLOYMENT_STATE_FAILED)).status()),
            "LEASE_LOST");
  ASSERT_TRUE(store_->RecordTransition(EndOf(made, pb::DEPLOYMENT_STATE_FAILED)).ok());
  EXPECT_EQ(ReasonOf(store_->RecordTransition(EndOf(made, pb::DEPLOYMENT_STATE_FAILED)).status()),
            "LEASE_LOST");
}

TEST_P(StoreContract, StoresATransitionOnceThatIsToldAgainInDoubtAlsoTheOneThatEndedTheLease) {
  MakeRelease();
  Transition step;
  step.deployment = MakeDeployment();
  step.id = "first";
  step.events.emplace_back().mutable_log()->set_text("hello");
  const uint64_t last = store_->RecordTransition(step).value();
  EXPECT_EQ(store_->RecordTransition(step).value(), last);
  Transition end = EndOf(step.deployment, pb::DEPLOYMENT_STATE_SUCCEEDED);
  end.id = "second";
  EXPECT_EQ(store_->RecordTransition(end).value(), last + 1);
  Reopen();
  const size_t rows = store_->ListHistory("", 0, 100)->size();
  EXPECT_EQ(store_->RecordTransition(end).value(), last + 1);
  EXPECT_EQ(store_->ListHistory("", 0, 100)->size(), rows);
  EXPECT_THAT(*store_->ListEvents("gifty", step.deployment.id, 0, 100), SizeIs(last + 1));
  EXPECT_EQ(ReasonOf(store_->RecordTransition(step).status()), "LEASE_LOST") << "not the last one";
}

TEST_P(StoreContract, KeepsTextsThatADatabaseMightNotTake) {
  MakeRelease();
  const std::string odd("a\0b'\\?$1\xff\xc3\xa9\n", 12);
  const std::string safe =
      "a\xef\xbf\xbd"
      "b'\\?$1\xef\xbf\xbd\xc3\xa9\n";
  ASSERT_TRUE(store_->AppendHistory({"gifty", Actor(odd, odd), "act", odd, odd}).ok());
  Transition transition;
  transition.deployment = MakeDeployment();
  transition.deployment.message = odd;
  ASSERT_TRUE(store_->RecordTransition(transition).ok());
  Reopen();
  EXPECT_TRUE(store_->VerifyHistory().ok());
  const auto rows = store_->ListHistory("gifty", 0, 10).value();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [](const HistoryRecord& one) { return one.action == "act"; });
  ASSERT_NE(row, rows.end());
  EXPECT_EQ(row->actor, safe);
  EXPECT_EQ(row->origin, safe);
  EXPECT_EQ(row->subject, safe);
  EXPECT_EQ(row->outcome, safe);
  EXPECT_THAT(store_->GetDeployment("gifty", "-")->message, AnyOf(odd, safe));
}

TEST_P(StoreContract, LeavesNothingOfATransitionThatFailsHalfWay) {
  MakeRelease();
  const DeploymentRecord made = MakeDeployment();
  Transition end = EndOf(made, pb::DEPLOYMENT_STATE_FAILED);
  StepRecord step;
  step.name = "stage";
  end.steps.push_back({0, 0, step});
  // A host that is not in the deployment: refused after the deployment's row was written.
  end.steps.push_back({7, 0, step});
  EXPECT_FALSE(store_->RecordTransition(end).ok());
  const auto stored = store_->GetDeployment("gifty", made.id);
  EXPECT_EQ(stored->state, pb::DEPLOYMENT_STATE_PENDING);
  EXPECT_THAT(stored->rollouts[0].steps, SizeIs(0));
  EXPECT_THAT(Sequences(made.id), ElementsAre(1));
  EXPECT_EQ(store_->LeaseHolder("gifty").value(), made.id);
}

TEST_P(StoreContract, RemembersACancelOnceAndRefusesItAfterTheEnd) {
  MakeRelease();
  const DeploymentRecord made = MakeDeployment();
  EXPECT_TRUE(store_->RequestCancel("gifty", made.id, {}, "bob").value());
  EXPECT_TRUE(store_->RequestCancel("gifty", made.id, {}, "bob").value());
  EXPECT_TRUE(store_->GetDeployment("gifty", made.id)->cancel_requested);
  const auto history = store_->ListHistory("gifty", 0, 100);
  EXPECT_EQ(std::count_if(history->begin(), history->end(),
                          [](const HistoryRecord& row) { return row.action == "cancel"; }),
            1);
  ASSERT_TRUE(store_->RecordTransition(EndOf(made, pb::DEPLOYMENT_STATE_CANCELLED)).ok());
  EXPECT_FALSE(store_->RequestCancel("gifty", made.id, {}, "bob").value());
}

TEST_P(StoreContract, LetsOnlyAPausedDeploymentGoOnAndForgetsTheWishWhenItDoes) {
  MakeRelease();
  DeploymentRecord made = MakeDeployment();
  EXPECT_EQ(ReasonOf(store_->RequestResume("gifty", made.id, {}, "bob")), "NOT_PAUSED");
  Transition pause;
  pause.deployment = made;
  pause.deployment.state = pb::DEPLOYMENT_STATE_PAUSED;
  ASSERT_TRUE(store_->RecordTransition(pause).ok());
  const Request request{"r1", "hash"};
  EXPECT_TRUE(store_->RequestResume("gifty", made.id, request, "bob").ok());
  // What ends meanwhile does not take the wish away.
  ASSERT_TRUE(store_->RecordTransition(pause).ok());
  Reopen();
  EXPECT_TRUE(store_->GetDeployment("gifty", made.id)->resume_requested);
  pause.deployment.state = pb::DEPLOYMENT_STATE_RUNNING;
  pause.deployment.released = true;
  pause.deployment.tolerated_failures = 2;
  ASSERT_TRUE(store_->RecordTransition(pause).ok());
  const auto stored = store_->GetDeployment("gifty", made.id);
  EXPECT_FALSE(stored->resume_requested);
  EXPECT_TRUE(stored->released);
  EXPECT_EQ(stored->tolerated_failures, 2u);
  EXPECT_TRUE(store_->RequestResume("gifty", made.id, request, "bob").ok()) << "as before";
  EXPECT_EQ(store_->ListHistory("gifty", 0, 1)->front().action, "resume");
}

TEST_P(StoreContract, RecordsEachLocalEventOnce) {
  xpb::LocalEvent event;
  event.set_sequence(1);
  event.set_app("gifty");
  event.set_action("local_rollback");
  event.set_outcome("succeeded");
  xpb::LocalEvent second = event;
  second.set_sequence(2);
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event}).value(), 1u);
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event, second}).value(), 2u);
  Reopen();
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event, second}).value(), 2u);
  EXPECT_THAT(*store_->ListHistory("gifty", 0, 100), SizeIs(2));
  EXPECT_EQ(store_->RecordLocalEvents("web-2", {event}).value(), 1u);
  EXPECT_THAT(*store_->ListHistory("gifty", 0, 100), SizeIs(3));
}

TEST_P(StoreContract, MakesADeploymentOfARollbackOnTheHostItself) {
  for (const std::string release : {"r1", "r2"}) {
    MakeRelease("gifty", release);
    const auto id = store_->CreateDeployment(DeploymentOf("gifty", release), {});
    ASSERT_TRUE(id.ok()) << id.status();
    ASSERT_TRUE(store_
                    ->RecordTransition(EndOf(store_->GetDeployment("gifty", id->id).value(),
                                             pb::DEPLOYMENT_STATE_SUCCEEDED))
                    .ok());
  }
  xpb::LocalEvent event;
  event.set_sequence(1);
  event.set_app("gifty");
  event.set_actor("ann");
  event.set_action("local_rollback");
  event.set_outcome("ok");
  event.set_release("r1");
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event}).value(), 1u);
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event}).value(), 1u);
  event.set_sequence(2);
  event.set_release("of another controller");
  EXPECT_EQ(store_->RecordLocalEvents("web-1", {event}).value(), 2u);
  const auto served = store_->ListServed("gifty", 10).value();
  ASSERT_EQ(served.size(), 3u);
  EXPECT_EQ(served[0].kind, pb::DEPLOYMENT_KIND_ROLLBACK);
  EXPECT_EQ(served[0].release, "r1");
  EXPECT_EQ(served[0].previous_release, "r2");
  EXPECT_EQ(served[0].actor, "ann");
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreContract, ::testing::ValuesIn(Backends()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slipway::controller
