// The hosts: a client for each, and what each was last seen to do.
//
// One thread per host keeps a Watch stream open, notes what it says, and opens it again when it ends (100 ms later, at most
// 2 s apart). What a host did on its own is written to the history, each event once, and acknowledged only after that: a
// controller that dies in between is told again.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "clients/transport/dial.h"
#include "common/blob_store.h"
#include "common/cancellation.h"
#include "common/clock.h"
#include "common/host_selector.h"
#include "common/mutex.h"
#include "controller/fleet/grpc_executor_client.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct HostConfig {
  std::string name;
  std::string address;
  std::map<std::string, std::string> labels;
  // `TYPE KEY`; empty: the known-hosts file decides.
  std::string ssh_host_key;
  // Named in the configuration file, which alone can change it.
  bool configured = false;

  bool operator==(const HostConfig&) const = default;
};

struct HostObservation {
  bool connected = false;
  // Why not.
  std::string problem = "not connected yet";
  std::optional<Time> last_seen;
  xpb::HostInfo info;
  std::map<std::string, xpb::ApplicationState> applications;
};

// What others want to hear of; each may be null. Called on the threads that watch the hosts.
struct FleetEvents {
  std::function<void(const std::string& host)> connected;
  // Something has begun to differ there from what was deployed, or has stopped to.
  std::function<void(const std::string& host)> differs;
  // Whether what a host did on its own is this controller's to record; null: always.
  std::function<bool()> leads;
};

class Fleet {
 public:
  // `dial` is what every host is reached with; its host key and its certificate's name are each host's own.
  Fleet(DialOptions dial, Store& store, ReleaseFiles& files, Clock& clock, FleetEvents events)
      : dial_(std::move(dial)),
        store_(store),
        files_(files),
        clock_(clock),
        events_(std::move(events)) {}
  ~Fleet();

  // Makes a host known, or connects to it anew when something about it has changed. INVALID_ARGUMENT for an address that
  // cannot be dialled, or a name that is none.
  absl::Status Put(const HostConfig& host);
  // Ends the connection to a tls:// address and makes a new one, with new handshakes; nothing without such a host.
  void Reconnect(const std::string& host);
  // Ends the connection; true when there was such a host.
  bool Remove(const std::string& host);
  // Null when there is no such host.
  std::shared_ptr<GrpcExecutorClient> Client(const std::string& host);
  // In the order of their names.
  std::vector<HostConfig> Hosts();
  std::vector<std::string> HostNames();
  HostLabels Labels();
  // As the Watch stream last told; empty for an unknown host.
  HostObservation Observe(const std::string& host);
  // Records what hosts told while another controller led.
  void RecordUntold();
  // Lets the host compare what runs and serves of the application with what was deployed, now; else as Observe().
  HostObservation Compare(const std::string& host, const std::string& app);
  // The controller has a new certificate: later calls to hosts with tls:// addresses show it, on connections of their own. A
  // connection shows the certificate that it was made with for as long as it lives.
  void ShowNewCertificate();
  // Waits until it is connected, or the time is over; as Observe().
  HostObservation AwaitConnected(const std::string& host, std::chrono::nanoseconds time);
  // Ends every call and stream and waits for their threads; nothing is called afterwards.
  void Shutdown();

 private:
  struct Member {
    HostConfig config;
    std::shared_ptr<Link> link;
    std::shared_ptr<GrpcExecutorClient> client;
    // Guarded by the fleet's mutex.
    HostObservation seen;
    std::vector<xpb::LocalEvent> untold;
    Cancellation stop;
    std::thread watcher;

    void Stop();
  };
  absl::StatusOr<std::shared_ptr<Link>> DialTo(const HostConfig& host);
  // In place of the member of this name, if there is one.
  absl::Status Install(const HostConfig& host, bool only_known);
  void KeepWatching(Member& member);
  absl::Status WatchOnce(Member& member, bool& heard);
  void Take(Member& member, const xpb::WatchResponse& response);
  void Record(Member& member, const std::vector<xpb::LocalEvent>& events);

  const DialOptions dial_;
  Store& store_;
  ReleaseFiles& files_;
  Clock& clock_;
  const FleetEvents events_;
  Dialer dialer_;
  Mutex mutex_;
  CondVar seen_changed_;
  bool shut_down_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Member>> members_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
