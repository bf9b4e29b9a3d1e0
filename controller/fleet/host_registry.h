// What the store keeps of hosts: those that were added at run time, beside those of the configuration file, which win; and which of
// all are cordoned.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/target.h"
#include "controller/store/store.h"

#include "slipway/v1/hosts.pb.h"

namespace slipway::controller {

// Safe from several threads.
class HostRegistry {
 public:
  HostRegistry(Store& store, Fleet& fleet) : store_(store), fleet_(fleet) {}

  // Connects to everything that was added before, and to nothing that was taken away. Again, for a controller that does not lead and
  // learns from the store alone what the leader did.
  absl::Status Load();
  // True when it is new or something about it has changed. INVALID_ARGUMENT for an address or a name that is none;
  // FAILED_PRECONDITION (reason CONFIGURED_HOST) for one of the configuration file.
  absl::StatusOr<bool> Add(const HostConfig& host, const Actor& actor);
  // NOT_FOUND; FAILED_PRECONDITION (reason HOST_IN_USE) while an application names it, or CONFIGURED_HOST.
  absl::Status Remove(const std::string& host, const Actor& actor);

  // Deployments leave it out from now on; again replaces the reason. NOT_FOUND for a host that is not known.
  absl::Status Cordon(const std::string& host, const std::string& reason, const Actor& actor);
  // False when it was not cordoned.
  absl::StatusOr<bool> Uncordon(const std::string& host, const Actor& actor);
  // Nothing unless it is cordoned.
  std::optional<pb::Cordon> CordonOf(const std::string& host);

  // The hosts that the spec means now. Those that are not connected are waited for, together, this long.
  std::vector<Target> Targets(const pb::ApplicationSpec& spec, std::chrono::nanoseconds wait = {});

 private:
  absl::Status CheckNotConfigured(const std::string& host);
  absl::Status EachRecord(
      const std::string& kind,
      const std::function<void(const std::string& id, const std::string& body)>& take);

  Store& store_;
  Fleet& fleet_;
  Mutex mutex_;
  std::map<std::string, pb::Cordon> cordons_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
