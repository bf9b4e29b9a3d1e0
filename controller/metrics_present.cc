#include "controller/metrics_present.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_split.h"
#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

#include "common/durations.h"
#include "common/spec.h"
#include "controller/access/certificates.h"
#include "controller/backup.h"

namespace slipway::controller {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

void Put(MetricFamily& family, Labels labels, double value) {
  ClientMetric& metric = family.metric.emplace_back();
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

class Figures {
 public:
  void Host(const std::string& host, const HostObservation& seen) {
    Put(connected_, {{"host", host}}, seen.connected ? 1 : 0);
    if (!seen.last_seen) return;
    Put(build_, {{"version", seen.info.version()}, {"role", "executor"}, {"host", host}}, 1);
    if (seen.connected) {
      Put(free_bytes_, {{"host", host}}, static_cast<double>(seen.info.free_bytes()));
      Put(old_workers_, {{"host", host}}, seen.info.nginx_old_workers());
    }
    if (seen.info.has_certificate_expire_time()) {
      Put(certificate_, {{"role", "executor"}, {"host", host}},
          UnixSeconds(FromProto(seen.info.certificate_expire_time())));
    }
    for (const xpb::Counter& counter : seen.info.counters()) Count(host, counter);
    for (const auto& [app, state] : seen.applications) {
      for (const xpb::SlotState& slot : state.slots()) {
        if (!slot.running()) continue;
        Put(release_,
            {{"app", app},
             {"host", host},
             {"slot", SlotWord(slot.slot())},
             {"release", slot.release()}},
            1);
      }
    }
  }

  void Application(const std::string& app, const Present& present) {
    Put(running_, {{"app", app}}, present.deploying.contains(app) ? 1 : 0);
    Put(paused_, {{"app", app}}, present.paused.contains(app) ? 1 : 0);
  }

  void Places(const std::string& app, const std::vector<HostPlace>& places) {
    const auto count = [&places](pb::HostStanding standing) {
      return static_cast<double>(
          std::count_if(places.begin(), places.end(),
                        [standing](const HostPlace& place) { return place.standing == standing; }));
    };
    Put(unconverged_, {{"app", app}}, count(pb::HOST_STANDING_BEHIND));
    Put(drifted_, {{"app", app}}, count(pb::HOST_STANDING_DRIFTED));
  }

  void Backup(std::optional<Time> time) { Put(backup_, {}, time ? UnixSeconds(*time) : 0); }

  void CertificateEnds(Time time) {
    Put(certificate_, {{"role", "controller"}}, UnixSeconds(time));
  }

  std::vector<MetricFamily> All() && {
    std::vector<MetricFamily> all;
    for (MetricFamily* family :
         {&connected_, &free_bytes_, &old_workers_, &reloads_, &stale_, &resumes_, &release_,
          &unconverged_, &drifted_, &running_, &paused_, &backup_, &certificate_, &build_}) {
      if (!family->metric.empty()) all.push_back(std::move(*family));
    }
    return all;
  }

 private:
  // What the executor counts since its start.
  void Count(const std::string& host, const xpb::Counter& counter) {
    const std::pair<std::string, std::string> name =
        absl::StrSplit(counter.name(), absl::MaxSplits(':', 1));
    const auto& [what, outcome] = name;
    if (what == "reloads") {
      Put(reloads_, {{"host", host}, {"outcome", outcome}}, counter.value());
    } else if (what == "stale_epoch") {
      Put(stale_, {{"host", host}}, counter.value());
    } else if (what == "resumes") {
      Put(resumes_, {{"role", "executor"}, {"outcome", outcome}, {"host", host}}, counter.value());
    }
  }

  static MetricFamily Gauge(const std::string& name, const std::string& help) {
    return {"slipway_" + name, help, MetricType::Gauge, {}};
  }
  static MetricFamily Counter(const std::string& name, const std::string& help) {
    return {"slipway_" + name, help, MetricType::Counter, {}};
  }

  MetricFamily connected_ = Gauge("executor_connected", "1 while the host's executor is connected");
  MetricFamily free_bytes_ = Gauge("executor_free_bytes", "Free on the host's state folder");
  MetricFamily old_workers_ = Gauge("nginx_old_workers", "nginx workers that are shutting down");
  MetricFamily reloads_ =
      Counter("nginx_reloads_total", "nginx reloads since the executor's start");
  MetricFamily stale_ = Counter("stale_epoch_rejected_total", "Commands that executors fenced off");
  MetricFamily resumes_ = Counter("journal_resumes_total", "Work taken up again after a restart");
  MetricFamily release_ = Gauge("release_info", "What runs where; always 1");
  MetricFamily unconverged_ =
      Gauge("hosts_unconverged", "Hosts that do not serve what their application ought to");
  MetricFamily drifted_ =
      Gauge("hosts_drifted", "Hosts on which something differs from what was deployed");
  MetricFamily running_ =
      Gauge("deployments_running", "Deployments that have not ended, at most one per application");
  MetricFamily paused_ = Gauge("deployments_paused", "Deployments that wait for a person");
  MetricFamily backup_ = Gauge("backup_timestamp_seconds", "When the newest backup was begun");
  MetricFamily certificate_ =
      Gauge("tls_cert_not_after_timestamp_seconds", "When a daemon's own certificate ends");
  MetricFamily build_ = Gauge("build_info", "Always 1");
};

}  // namespace

Present PresentOf(Store& store, Fleet& fleet, Convergence& convergence,
                  Certificates& certificates) {
  Present present;
  for (const std::string& host : fleet.HostNames()) present.hosts[host] = fleet.Observe(host);
  // A store that does not answer takes its own series away, and no others.
  if (const auto running = store.ListRunning(); running.ok()) {
    for (const auto& [app, id] : *running) {
      const auto head = store.GetDeploymentHead(app, id);
      if (!head.ok()) continue;
      // One that waits for a person does not run, and is not stuck.
      const bool paused = head->state == pb::DEPLOYMENT_STATE_PAUSED;
      (paused ? present.paused : present.deploying).insert(app);
    }
    constexpr int kPage = 500;
    std::string last;
    for (bool more = true; more;) {
      const auto page = store.ListApplications(last, kPage);
      if (!page.ok()) break;
      for (const ApplicationRecord& record : *page) present.applications.push_back(record.app);
      more = page->size() == kPage;
      if (more) last = page->back().app;
    }
  }
  for (const std::string& app : present.applications) {
    const auto desired = convergence.DesiredOf(app);
    if (!desired.ok() || !desired->has_value()) continue;
    if (auto places = convergence.PlacesOf(**desired); places.ok()) {
      present.places[app] = *std::move(places);
    }
  }
  present.backup = NewestBackup(store);
  present.certificate_ends = certificates.OwnEnds();
  return present;
}

double UnixSeconds(Time time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::vector<MetricFamily> FiguresOf(const Present& present) {
  Figures figures;
  for (const auto& [host, seen] : present.hosts) figures.Host(host, seen);
  for (const std::string& app : present.applications) {
    figures.Application(app, present);
  }
  for (const auto& [app, places] : present.places) figures.Places(app, places);
  figures.Backup(present.backup);
  if (present.certificate_ends) figures.CertificateEnds(*present.certificate_ends);
  return std::move(figures).All();
}

}  // namespace slipway::controller
