// The figures that are looked up at each scrape and kept nowhere: what hosts and applications are at that moment. What is not
// there any more has no series any more.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/fleet/convergence.h"
#include "controller/fleet/fleet.h"
#include "controller/store/records.h"

namespace prometheus {
struct MetricFamily;
}

namespace slipway::controller {

class Certificates;

struct Present {
  std::map<std::string, HostObservation> hosts;
  std::vector<std::string> applications;
  // Applications with a deployment that has not ended and does not wait for a person; and those with one that does.
  std::set<std::string> deploying;
  std::set<std::string> paused;
  // Where the hosts of each application stand, once something of it has served.
  std::map<std::string, std::vector<HostPlace>> places;
  // When the newest backup was begun; nothing when there is none.
  std::optional<Time> backup;
  // Of the controller's own certificate.
  std::optional<Time> certificate_ends;
};

// A store that does not answer leaves out what only it knows.
Present PresentOf(Store& store, Fleet& fleet, Convergence& convergence, Certificates& certificates);

// As Prometheus writes moments.
double UnixSeconds(Time time);

// A host that was never heard of has `slipway_executor_connected` alone. While it is away, counters and releases stay as they
// were last seen; its disk and its workers are not known then, and have no series.
std::vector<prometheus::MetricFamily> FiguresOf(const Present& present);

}  // namespace slipway::controller
