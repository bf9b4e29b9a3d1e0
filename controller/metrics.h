// Every figure the controller exports, and the only place that knows prometheus-cpp. docs name them; they end in units.
// Safe from several threads. Figures are since the start of this process.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "controller/fleet/fleet.h"
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
  // Called for each host before a scrape.
  void Host(const std::string& host, const HostObservation& seen);
  // Removes the series of every host that is not among these; called before a scrape.
  void OnlyHosts(const std::set<std::string>& hosts);
  // A call that was not let in.
  void Refused(const std::string& kind, const std::string& reason);
  // Once it was found changed it stays so until the next start.
  void HistoryIntact(bool intact);
  bool IsHistoryIntact();
  // Of the controller's own certificate.
  void CertificateEnds(std::optional<Time> time);
  void Called(const std::string& method, int code, std::chrono::nanoseconds time);

  // Counts and times every call of the server being built.
  void Intercept(grpc::ServerBuilder& builder);

  // The page, in Prometheus' text format.
  std::string Text();

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace slipway::controller
