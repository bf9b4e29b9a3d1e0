// What people tell the controller of an application: its file and its environment.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/host_selector.h"
#include "controller/store/secret_box.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct EnvironmentChange {
  uint64_t revision = 0;
  std::vector<std::string> names;
  bool changed = false;
};

// Safe from several threads.
class Applications {
 public:
  Applications(Store& store, const SecretBox& box) : store_(store), box_(box) {}

  // Fills in the defaults and checks; INVALID_ARGUMENT (INVALID_SPEC, UNKNOWN_HOST).
  absl::StatusOr<pb::ApplicationSpec> Check(const pb::ApplicationSpec& spec,
                                            const HostLabels& known_hosts) const;

  // Replaces the whole file. INVALID_ARGUMENT when it cannot be read, naming no part of a value.
  absl::StatusOr<EnvironmentChange> SetEnvironment(const std::string& app, const std::string& text,
                                                   const Request& request, const Actor& actor);
  // Replaces single variables and keeps every other byte.
  absl::StatusOr<EnvironmentChange> SetVariables(
      const std::string& app, const std::map<std::string, std::string>& variables,
      const Request& request, const Actor& actor);

  // What the compose file of this application may do against the hosts' default policy. INVALID_ARGUMENT for one that is not
  // SERVICE:KEY or SERVICE:KEY:VALUE; NOT_FOUND without the application. Answers whether something changed.
  absl::StatusOr<bool> SetAllowances(const std::string& app,
                                     const std::vector<std::string>& allowances,
                                     const Actor& actor);
  absl::StatusOr<std::vector<std::string>> Allowances(const std::string& app) const;

  // The env file in the clear; empty for revision 0.
  absl::StatusOr<std::string> EnvironmentText(const std::string& app, uint64_t revision) const;
  absl::StatusOr<std::map<std::string, std::string>> Environment(const std::string& app,
                                                                 uint64_t revision) const;

 private:
  // FAILED_PRECONDITION for a site.
  absl::StatusOr<ApplicationRecord> WithEnvironment(const std::string& app) const;
  absl::StatusOr<EnvironmentChange> Put(const std::string& app, uint64_t expected,
                                        const std::string& old_text, const std::string& text,
                                        const Request& request, const Actor& actor);

  Store& store_;
  const SecretBox& box_;
};

}  // namespace slipway::controller
