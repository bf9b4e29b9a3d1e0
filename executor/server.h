// The executor's composition root: the only place here that names concrete classes and joins them.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "slipway/config/v1/executor_config.pb.h"

namespace slipway::executor {

class Server {
 public:
  // Opens the journal, settles what a crash interrupted, and serves. The pointer is the running
  // server; destroying it stops serving at once and lets no step be half done: an interrupted one
  // resumes with the next start.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const config::v1::ExecutorConfig& config);
  virtual ~Server() = default;
};

}  // namespace slipway::executor
