// Values that tests of the store share.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/digest.h"
#include "controller/store/leadership.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {

inline pb::ApplicationSpec SpecOf(const std::string& app) {
  pb::ApplicationSpec spec;
  spec.set_app(app);
  spec.add_hosts("web-1");
  spec.mutable_compose()->add_slotted("api");
  return spec;
}

inline ReleaseRecord ReleaseOf(const std::string& app, const std::string& id) {
  ReleaseRecord release;
  release.app = app;
  release.id = id;
  release.manifest_digest = Sha256Of(id);
  release.spec_revision = 1;
  release.commit = "c" + id;
  release.files = 3;
  release.bytes = 99;
  return release;
}

inline NewDeployment DeploymentOf(const std::string& app, const std::string& release,
                                  const std::string& id = "20261122-aaaaaa") {
  NewDeployment made;
  made.deployment.app = app;
  made.deployment.id = id;
  made.deployment.release = release;
  made.deployment.actor = "ann";
  made.deployment.plan_version = 1;
  made.deployment.create_time = SystemClock().WallNow();
  RolloutRecord rollout;
  rollout.host = "web-1";
  made.deployment.rollouts.push_back(rollout);
  return made;
}

// A store on the database that may write: who leads there leads on, and otherwise this one does.
inline std::unique_ptr<SqlStore> LeadingStore(const PostgresOptions& options) {
  auto store = SqlStore::Open(options, SystemClock());
  EXPECT_TRUE(store.ok()) << store.status();
  auto leadership = Leadership::Open(options).value();
  const uint64_t epoch = leadership->Current()->holder.empty()
                             ? leadership->Take("a", "unix:///a", std::chrono::hours(1)).value()
                             : leadership->Current()->epoch;
  EXPECT_TRUE((*store)->Lead(epoch).ok());
  return std::move(store).value();
}

// The transition that ends a deployment.
inline Transition EndOf(DeploymentHead deployment, pb::DeploymentState state) {
  Transition end;
  deployment.state = state;
  deployment.serves = state == pb::DEPLOYMENT_STATE_SUCCEEDED;
  deployment.end_time = SystemClock().WallNow();
  end.deployment = std::move(deployment);
  end.events.emplace_back().mutable_state()->set_state(state);
  end.history = HistoryDraft{end.deployment.app, "ann", "deploy", end.deployment.id, "ended"};
  return end;
}

}  // namespace slipway::controller
