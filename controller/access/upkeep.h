// What has to be kept fresh so that controller and hosts go on trusting each other: certificates at two thirds of their life, the
// list of revoked ones, the signed head of the history that each host keeps.
//
// One thread. It looks when something has happened and otherwise when the next certificate is due; a host that cannot be
// reached is tried again with the next look.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/access/audit.h"
#include "controller/access/certificates.h"
#include "controller/fleet/fleet.h"

namespace slipway::controller {

class Upkeep {
 public:
  // `intact` is told whether what a host remembers of the history fits; may be null. A controller that does not lead (`leads`)
  // looks after itself alone.
  Upkeep(Certificates& certificates, Audit& audit, Fleet& fleet, Clock& clock,
         std::function<void(bool)> intact, std::function<bool()> leads);
  ~Upkeep();

  // A host has connected, a deployment has ended, something was revoked.
  void Look();

 private:
  struct Delivered {
    // The connection that it was delivered over counts: a host that was away may have lost everything.
    std::set<std::string> revoked;
    bool has_revoked = false;
    uint64_t head = 0;
  };

  void Run();
  void LookAtAll();
  void LeaveRevokedHosts(const std::vector<pb::Certificate>& revoked);
  absl::Status LookAfter(const std::string& host, GrpcExecutorClient& client,
                         const std::vector<pb::Certificate>& revoked, Delivered& delivered);
  absl::Status RenewCertificate(const std::string& host, GrpcExecutorClient& client);

  Certificates& certificates_;
  Audit& audit_;
  Fleet& fleet_;
  Clock& clock_;
  const std::function<void(bool)> intact_;
  const std::function<bool()> leads_;
  const std::chrono::nanoseconds pause_;
  // Of the thread alone.
  std::map<std::string, Delivered> delivered_;
  // The names of revoked certificates that were seen already.
  std::set<std::string> revoked_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool look_ SLIPWAY_GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

}  // namespace slipway::controller
