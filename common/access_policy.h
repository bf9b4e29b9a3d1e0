// The one table that says who may call what: every RPC of both APIs, times every role. A program of the build
// (controller/access/check_policy_table.cc) compares it with the proto files and fails when an RPC has no row.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/message.h>

#include "common/protos.h"

#include "slipway/v1/access.pb.h"

namespace slipway {

// The least that a caller must be. Viewer, deployer and operator contain each other; the daemons' roles are apart.
enum class Least {
  // Without an identity: the message itself carries a secret, or there is nothing to protect.
  kAnybody,
  kViewer,
  kDeployer,
  kOperator,
  // A controller, by its certificate or over the executor's own socket.
  kController,
  // Whoever may open the daemon's own socket; nobody from the network.
  kLocal,
};

// What the call reaches of the applications.
enum class Reach {
  // Nothing of any application in particular: every caller of the role may.
  kNone,
  // The application that `app_field` names; the caller's role must be for it or for all. An empty field: for all.
  kApp,
  // Everything: only a caller whose role is for all applications.
  kAll,
};

enum class AnsweredBy { kLeader, kEvery };

struct Rule {
  // /slipway.v1.DeploymentService/CreateDeployment
  absl::string_view method;
  Least least;
  Reach reach;
  // `name`, `parent`, `application` hold applications/APP...; `spec.app` holds APP itself.
  absl::string_view app_field;
  // Of several controllers every one answers it, for it changes nothing; else only the one that leads.
  AnsweredBy answered_by = AnsweredBy::kLeader;
};

const std::vector<Rule>& AllRules();
// Null for a method without a row, which nobody may call.
const Rule* RuleFor(absl::string_view method);
// The method whose request this is: every RPC has a message of its own.
const Rule* RuleFor(const google::protobuf::Descriptor& request);

// The application that the request is about; empty when it is about none.
std::string AppOf(const Rule& rule, const google::protobuf::Message& request);

// PERMISSION_DENIED (reason ROLE_TOO_LOW or OTHER_APPLICATION) that says what the caller is and what it would have to be.
absl::Status Allow(const Rule& rule, const pb::Identity& identity, absl::string_view app);

}  // namespace slipway
