// The configured hosts: a client for each, and what each was last seen to do.
//
// One thread per host keeps a Watch stream open, notes what it says, and opens it again when it ends (100 ms later, at most
// 2 s apart). What a host did on its own is written to the history, each event once, and acknowledged only after that: a
// controller that dies in between is told again.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/blob_store.h"
#include "common/cancellation.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "controller/fleet/executor_client.h"
#include "controller/store/store.h"

namespace slipway::controller {

class GrpcExecutorClient;

struct HostConfig {
  std::string name;
  std::string address;
  std::map<std::string, std::string> labels;
};

struct HostObservation {
  bool connected = false;
  // Why not.
  std::string problem = "not connected yet";
  std::optional<Time> last_seen;
  xpb::HostInfo info;
  std::map<std::string, xpb::ApplicationState> applications;
};

class Fleet {
 public:
  // INVALID_ARGUMENT for an address that cannot be dialled or a name that comes twice.
  static absl::StatusOr<std::unique_ptr<Fleet>> Start(const std::vector<HostConfig>& hosts,
                                                      Store& store, BlobStore& blobs, Clock& clock);
  ~Fleet();

  // Null when there is no such host.
  std::shared_ptr<ExecutorClient> Client(const std::string& host);
  const std::vector<HostConfig>& Hosts() const { return configs_; }
  std::vector<std::string> HostNames() const;
  // As the Watch stream last told; empty for an unknown host.
  HostObservation Observe(const std::string& host);
  // Ends every call and stream; none is made afterwards.
  void Shutdown();

 private:
  struct Member {
    HostConfig config;
    std::shared_ptr<GrpcExecutorClient> client;
    HostObservation seen;
    std::thread watcher;
  };
  Fleet(Store& store, Clock& clock) : store_(store), clock_(clock) {}
  void KeepWatching(Member& member);
  void Take(Member& member, const xpb::WatchResponse& response);

  Store& store_;
  Clock& clock_;
  std::vector<HostConfig> configs_;
  Cancellation stop_;
  Mutex mutex_;
  // Built before the threads start; `seen` is guarded by mutex_.
  std::map<std::string, std::unique_ptr<Member>> members_;
};

}  // namespace slipway::controller
