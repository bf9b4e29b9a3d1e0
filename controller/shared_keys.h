// The keys that all controllers on one database must have in common: the one that seals environments, the authority's, the one for
// ssh. They are files of each controller's state folder and never in the database, which remembers what they look like: a
// controller with others would seal what nobody else can read, and would be a stranger to the hosts.
#pragma once

#include "absl/status/status.h"

#include "controller/access/certificates.h"
#include "controller/store/secret_box.h"
#include "controller/store/store.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

// Before any is made: FAILED_PRECONDITION (reason KEYS_MISSING) when the database's keys are known and these files are not there.
absl::Status CheckKeysArePresent(Store& store, const config::v1::ControllerConfig& config);

// FAILED_PRECONDITION (reason OTHER_KEYS), naming the file, when they are not the database's. OK while nobody has led yet.
absl::Status CheckKeysAreShared(Store& store, const SecretBox& box,
                                const Certificates& certificates,
                                const std::string& ssh_public_key);

// The leader's: the first one's keys are the database's.
absl::Status RememberKeys(Store& store, const SecretBox& box, const Certificates& certificates,
                          const std::string& ssh_public_key);

}  // namespace slipway::controller
