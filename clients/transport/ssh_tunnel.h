// Unix sockets of another machine as unix sockets of this one, through one SSH session.
//
// A relay is a listening socket in a folder that only we may enter; gRPC dials it and reconnects by itself. What it accepts
// becomes a channel of the session. The session comes up when it is first needed, and again after a loss, in a thread of its
// own that does nothing but move bytes: it reads from either side only what the other has room for.
//
// Safe from several threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "clients/transport/ssh_session.h"
#include "common/file.h"
#include "common/mutex.h"

namespace slipway {

struct SshTarget {
  std::string user;
  std::string host;
  uint16_t port = 22;
};

class SshTunnel {
 public:
  // Relays stand in a new folder below `folder`. Connects nowhere yet.
  static absl::StatusOr<std::unique_ptr<SshTunnel>> Start(SshTarget target, SshOptions options,
                                                          const std::string& folder);
  // Ends the connections.
  ~SshTunnel();

  // The path of the socket here that leads to `remote_path` there; the same one each time.
  absl::StatusOr<std::string> Relay(const std::string& remote_path);
  // Waits until the session is up; at once when it is. Otherwise one attempt is made, and its error says why.
  absl::Status Prepare();
  // Why the session last ended, did not come up, or did not lead on to a socket; OK since it did.
  absl::Status Problem() const;

 private:
  class Loop;
  SshTunnel(std::string folder, std::unique_ptr<Loop> loop);

  const std::string folder_;
  Mutex mutex_;
  // Path there, path here.
  std::map<std::string, std::string> relays_ SLIPWAY_GUARDED_BY(mutex_);
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace slipway
