// Every figure the controller exports. docs/metrics.md names them; they end in units. Here is what is counted as it happens, since
// the start of this process; metrics_present.h has what is looked up at a scrape. No other files know prometheus-cpp.
//
// Safe from several threads. What belongs to an application counts from 0 as soon as the application is known, so that its first
// deployment is an increase.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "controller/metrics_present.h"
#include "controller/store/records.h"

namespace grpc {
class ServerBuilder;
}

namespace slipway::controller {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void StepEnded(const DeploymentRecord& deployment, const StepRecord& step);
  // `commit_time` gives the lead time.
  void DeploymentEnded(const DeploymentRecord& deployment, std::optional<Time> commit_time);
  void Progressed(const std::string& app, Time now);
  void Resumed(int deployments);
  void Committed(std::chrono::nanoseconds time);
  // A call that was not let in.
  void Refused(const std::string& kind, const std::string& reason);
  // Once it was found changed it stays so until the next start.
  void HistoryIntact(bool intact);
  bool IsHistoryIntact();
  // Whether this controller is the one that acts. One that does not hold its state alone does not come up, so until there are
  // several it is told once.
  void Leads(bool leads);
  // Without a time for streams, which last as long as their reader likes.
  void Called(const std::string& method, int code, std::optional<std::chrono::nanoseconds> time);

  // Counts and times every call of the server being built.
  void Intercept(grpc::ServerBuilder& builder);

  // The page, in Prometheus' text format.
  std::string Text(const Present& present);

 private:
  // Makes its counters.
  void Know(const std::string& app);

  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace slipway::controller
