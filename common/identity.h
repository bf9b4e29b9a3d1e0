// Who a certificate is for, written as one URI in it (a SPIFFE id):
//   spiffe://slipway/controller            spiffe://slipway/executor/HOST       spiffe://slipway/operator/NAME
//   spiffe://slipway/deployer/APP/NAME     spiffe://slipway/viewer/APP/NAME     APP is - for every application
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/access.pb.h"

namespace slipway {

struct Principal {
  pb::Role role = pb::ROLE_UNSPECIFIED;
  // Of a viewer or deployer; empty for every application.
  std::string app;
  // The host of an executor, the name of a person or machine; empty for the controller.
  std::string subject;

  bool operator==(const Principal&) const = default;
};

std::string IdentityUri(const Principal& principal);
// INVALID_ARGUMENT for anything else than IdentityUri() writes.
absl::StatusOr<Principal> ParseIdentityUri(absl::string_view uri);
// [A-Za-z0-9][A-Za-z0-9._@-]{0,62}
bool IsSubjectName(absl::string_view name);

}  // namespace slipway
