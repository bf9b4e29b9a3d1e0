// The controller put together: the only place that names concrete classes.
//
// Start() leaves a controller that serves and has taken up every deployment that was under way. The destructor stops it in
// order: no new calls, hosts left to go on by themselves, running deployments left in the store for the next start.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

class Server {
 public:
  // Fills in the defaults that config.proto names. FAILED_PRECONDITION (reason STATE_IN_USE) while another controller uses
  // the state folder.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      slipway::config::v1::ControllerConfig config);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The port of the metrics page; 0 when it is off.
  int MetricsPort() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace slipway::controller
