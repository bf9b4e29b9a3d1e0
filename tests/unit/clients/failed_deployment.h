// A deployment whose health gate failed, with texts in it that try to be more than texts.
#pragma once

#include "common/protos.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

inline pb::Deployment FailedDeployment() {
  pb::Deployment deployment;
  deployment.set_name("applications/gifty/deployments/20261124-6f00e3");
  deployment.set_state(pb::DEPLOYMENT_STATE_FAILED);
  deployment.set_release("applications/gifty/releases/6f00e327d501");
  deployment.set_commit("v2");
  deployment.set_message("not healthy | see <b>below</b>\nwhat served goes on");
  deployment.mutable_create_time()->set_seconds(100);
  deployment.mutable_end_time()->set_seconds(112);
  pb::HostRollout& rollout = *deployment.add_rollouts();
  rollout.set_host("web-1");
  pb::Step& good = *rollout.add_steps();
  good.set_name("stage");
  good.set_state(pb::STEP_STATE_DONE);
  good.set_summary("4 files");
  good.mutable_start_time()->set_seconds(101);
  good.mutable_duration()->set_nanos(500'000'000);
  pb::Step& bad = *rollout.add_steps();
  bad.set_name("health");
  bad.set_state(pb::STEP_STATE_FAILED);
  bad.set_summary("503 instead of 200");
  pb::HealthEvidence& health = *bad.mutable_evidence()->mutable_health();
  health.set_last_failure("503");
  health.add_container_tail("```` </details> ::error::no");
  return deployment;
}

}  // namespace slipway::cli
