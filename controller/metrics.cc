#include "controller/metrics.h"

#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "common/access_policy.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/mutex.h"
#include "common/spec.h"
#include "controller/metrics_interceptor.h"

namespace slipway::controller {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;
using Labels = std::map<std::string, std::string>;

const Histogram::BucketBoundaries kLong = {0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600};
const Histogram::BucketBoundaries kShort = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                            0.25,  0.5,   1,    2.5,   5};
const Histogram::BucketBoundaries kDays = {60, 300, 900, 3600, 14400, 86400, 604800};

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}
double UnixSeconds(Time time) { return Seconds(time.time_since_epoch()); }

template <typename Builder>
auto& Make(prometheus::Registry& registry, Builder builder, const std::string& name,
           const std::string& help) {
  return builder.Name("slipway_" + name).Help(help).Register(registry);
}

// A counter that the executor keeps. When it counts from 0 again, after its restart, so does ours.
void SetTo(prometheus::Family<prometheus::Counter>& family, const Labels& labels, double value) {
  prometheus::Counter* counter = &family.Add(labels);
  if (value < counter->Value()) {
    family.Remove(counter);
    counter = &family.Add(labels);
  }
  counter->Increment(value - counter->Value());
}

std::string OutcomeOf(const DeploymentRecord& deployment) {
  switch (deployment.state) {
    case pb::DEPLOYMENT_STATE_SUCCEEDED:
      return "succeeded";
    case pb::DEPLOYMENT_STATE_FAILED:
      return "failed_before_switch";
    case pb::DEPLOYMENT_STATE_ROLLED_BACK:
      return "rolled_back";
    case pb::DEPLOYMENT_STATE_CANCELLED:
      return "cancelled";
    default:
      return "failed_after_switch";
  }
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& deployments =
      Make(registry, BuildCounter(), "deployments_total", "Deployments that ended");
  prometheus::Family<Histogram>& duration =
      Make(registry, BuildHistogram(), "deployment_duration_seconds", "From creation to the end");
  prometheus::Family<Histogram>& lead_time =
      Make(registry, BuildHistogram(), "deployment_lead_time_seconds",
           "From the commit to proven service");
  prometheus::Family<Histogram>& recovery =
      Make(registry, BuildHistogram(), "deployment_recovery_seconds",
           "Of rollbacks, from creation to proof");
  prometheus::Family<Histogram>& step =
      Make(registry, BuildHistogram(), "step_duration_seconds", "Of a step, on the host's clock");
  prometheus::Family<prometheus::Counter>& rollbacks =
      Make(registry, BuildCounter(), "rollbacks_total", "Releases taken out of service again");
  prometheus::Family<prometheus::Gauge>& unconverged =
      Make(registry, BuildGauge(), "hosts_unconverged", "Hosts on another release than most");
  prometheus::Family<prometheus::Gauge>& release =
      Make(registry, BuildGauge(), "release_info", "What runs where; always 1");
  prometheus::Family<prometheus::Gauge>& progress =
      Make(registry, BuildGauge(), "deployment_progress_timestamp_seconds",
           "When a deployment last got on");
  prometheus::Family<prometheus::Gauge>& connected = Make(
      registry, BuildGauge(), "executor_connected", "1 while the host's executor is connected");
  prometheus::Family<prometheus::Gauge>& free_bytes =
      Make(registry, BuildGauge(), "executor_free_bytes", "Free on the host's state folder");
  prometheus::Family<prometheus::Counter>& reloads = Make(
      registry, BuildCounter(), "nginx_reloads_total", "nginx reloads since the executor's start");
  prometheus::Family<Histogram>& nginx_switch = Make(
      registry, BuildHistogram(), "nginx_switch_duration_seconds", "Of a switch, with its proof");
  prometheus::Family<prometheus::Gauge>& old_workers =
      Make(registry, BuildGauge(), "nginx_old_workers", "nginx workers that are shutting down");
  prometheus::Family<prometheus::Counter>& stale = Make(
      registry, BuildCounter(), "stale_epoch_rejected_total", "Commands that executors fenced off");
  prometheus::Family<prometheus::Counter>& resumes = Make(
      registry, BuildCounter(), "journal_resumes_total", "Work taken up again after a restart");
  prometheus::Family<prometheus::Counter>& calls =
      Make(registry, BuildCounter(), "grpc_requests_total", "Calls that ended");
  prometheus::Family<Histogram>& call_duration = Make(
      registry, BuildHistogram(), "grpc_request_duration_seconds", "Of calls that are not streams");
  prometheus::Family<prometheus::Counter>& refused =
      Make(registry, BuildCounter(), "auth_failures_total", "Calls that were not let in");
  prometheus::Family<prometheus::Gauge>& certificate =
      Make(registry, BuildGauge(), "tls_cert_not_after_timestamp_seconds",
           "When the controller's own certificate ends");
  Histogram& commit =
      Make(registry, BuildHistogram(), "db_commit_duration_seconds", "Of a commit, synced")
          .Add({}, kShort);

  prometheus::Gauge& intact =
      Make(registry, BuildGauge(), "history_intact",
           "1 while the hash chain is whole and every host remembers the same")
          .Add({});

  Mutex mutex;
  bool broken SLIPWAY_GUARDED_BY(mutex) = false;
  // Which releases each host was last seen to run, so that the series of those that are gone go
  // too.
  std::map<std::string, std::vector<prometheus::Gauge*>> releases SLIPWAY_GUARDED_BY(mutex);
  std::map<std::string, std::map<std::string, std::string>> active SLIPWAY_GUARDED_BY(mutex);
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {
  Make(families_->registry, BuildGauge(), "build_info", "Always 1")
      .Add({{"version", SLIPWAY_VERSION}, {"role", "controller"}})
      .Set(1);
}
Metrics::~Metrics() = default;

void Metrics::StepEnded(const DeploymentRecord&, const StepRecord& step) {
  const std::string name = absl::StartsWith(step.name, "hook:") ? "hook" : step.name;
  families_->step.Add({{"step", name}, {"outcome", EnumWord(step.state)}}, kLong)
      .Observe(Seconds(step.duration));
  if (step.evidence.has_switch_() && step.state == pb::STEP_STATE_DONE) {
    families_->nginx_switch.Add({}, kShort)
        .Observe(Seconds(FromProto(step.evidence.switch_().total())));
  }
}

void Metrics::DeploymentEnded(const DeploymentRecord& deployment, std::optional<Time> commit_time) {
  const std::string outcome = OutcomeOf(deployment);
  const Time end = deployment.end_time.value_or(deployment.create_time);
  const bool rollback = deployment.kind == pb::DEPLOYMENT_KIND_ROLLBACK;
  const Labels app = {{"app", deployment.app}};
  families_->deployments
      .Add({{"app", deployment.app}, {"outcome", outcome}, {"kind", EnumWord(deployment.kind)}})
      .Increment();
  families_->duration.Add({{"app", deployment.app}, {"outcome", outcome}}, kLong)
      .Observe(Seconds(end - deployment.create_time));
  if (deployment.state == pb::DEPLOYMENT_STATE_SUCCEEDED && !rollback && commit_time) {
    families_->lead_time.Add(app, kDays).Observe(Seconds(end - *commit_time));
  }
  if (rollback && deployment.state == pb::DEPLOYMENT_STATE_SUCCEEDED) {
    families_->rollbacks.Add({{"app", deployment.app}, {"reason", "asked"}}).Increment();
    families_->recovery.Add(app, kLong).Observe(Seconds(end - deployment.create_time));
  }
  if (deployment.state == pb::DEPLOYMENT_STATE_ROLLED_BACK) {
    families_->rollbacks.Add({{"app", deployment.app}, {"reason", EnumWord(deployment.reason)}})
        .Increment();
    families_->recovery.Add(app, kLong).Observe(Seconds(end - deployment.create_time));
  }
}

void Metrics::Progressed(const std::string& app, Time now) {
  families_->progress.Add({{"app", app}}).Set(UnixSeconds(now));
}

void Metrics::Resumed(int deployments) {
  families_->resumes.Add({{"role", "controller"}, {"outcome", "resumed"}}).Increment(deployments);
}

void Metrics::Committed(std::chrono::nanoseconds time) { families_->commit.Observe(Seconds(time)); }

void Metrics::Host(const std::string& host, const HostObservation& seen) {
  const Labels label = {{"host", host}};
  families_->connected.Add(label).Set(seen.connected ? 1 : 0);
  families_->free_bytes.Add(label).Set(static_cast<double>(seen.info.free_bytes()));
  families_->old_workers.Add(label).Set(seen.info.nginx_old_workers());
  for (const xpb::Counter& counter : seen.info.counters()) {
    const std::vector<std::string> parts = absl::StrSplit(counter.name(), absl::MaxSplits(':', 1));
    const std::string outcome = parts.size() > 1 ? parts[1] : "";
    const auto value = static_cast<double>(counter.value());
    if (parts[0] == "reloads") {
      SetTo(families_->reloads, {{"host", host}, {"outcome", outcome}}, value);
    } else if (parts[0] == "stale_epoch") {
      SetTo(families_->stale, label, value);
    } else if (parts[0] == "resumes") {
      SetTo(families_->resumes, {{"role", "executor"}, {"outcome", outcome}, {"host", host}},
            value);
    }
  }
  MutexLock lock(families_->mutex);
  for (prometheus::Gauge* gauge : families_->releases[host]) families_->release.Remove(gauge);
  families_->releases[host].clear();
  std::set<prometheus::Gauge*> made;
  for (const auto& [app, state] : seen.applications) {
    families_->active[app][host] = state.active_release();
    for (const xpb::SlotState& slot : state.slots()) {
      if (!slot.running()) continue;
      prometheus::Gauge& gauge = families_->release.Add({{"app", app},
                                                         {"host", host},
                                                         {"slot", SlotWord(slot.slot())},
                                                         {"release", slot.release()}});
      gauge.Set(1);
      made.insert(&gauge);
    }
  }
  families_->releases[host].assign(made.begin(), made.end());
}

void Metrics::OnlyHosts(const std::set<std::string>& hosts) {
  MutexLock lock(families_->mutex);
  for (auto host = families_->releases.begin(); host != families_->releases.end();) {
    if (hosts.contains(host->first)) {
      ++host;
      continue;
    }
    const Labels label = {{"host", host->first}};
    for (auto* gauges : {&families_->connected, &families_->free_bytes, &families_->old_workers}) {
      gauges->Remove(&gauges->Add(label));
    }
    for (prometheus::Gauge* gauge : host->second) families_->release.Remove(gauge);
    for (auto& [app, active] : families_->active) active.erase(host->first);
    host = families_->releases.erase(host);
  }
}

void Metrics::Refused(const std::string& kind, const std::string& reason) {
  families_->refused.Add({{"kind", kind}, {"reason", reason}}).Increment();
}

void Metrics::HistoryIntact(bool intact) {
  MutexLock lock(families_->mutex);
  families_->broken = families_->broken || !intact;
  families_->intact.Set(families_->broken ? 0 : 1);
}

bool Metrics::IsHistoryIntact() {
  MutexLock lock(families_->mutex);
  return !families_->broken;
}

void Metrics::CertificateEnds(std::optional<Time> time) {
  if (time) families_->certificate.Add({{"role", "controller"}}).Set(UnixSeconds(*time));
}

void Metrics::Called(const std::string& method, int code, std::chrono::nanoseconds time) {
  // gRPC's codes are Abseil's.
  const std::string word = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  // A caller may name any method; it does not make series.
  const std::string known = RuleFor(method) == nullptr ? "other" : method;
  families_->calls.Add({{"method", known}, {"code", word}}).Increment();
  families_->call_duration.Add({{"method", known}}, kShort).Observe(Seconds(time));
}

void Metrics::Intercept(grpc::ServerBuilder& builder) {
  AddMetricsInterceptor(builder, [this](const std::string& method, int code, auto time) {
    Called(method, code, time);
  });
}

std::string Metrics::Text() {
  {
    MutexLock lock(families_->mutex);
    for (const auto& [app, hosts] : families_->active) {
      std::map<std::string, int> count;
      int most = 0;
      for (const auto& [host, release] : hosts) most = std::max(most, ++count[release]);
      families_->unconverged.Add({{"app", app}}).Set(static_cast<double>(hosts.size()) - most);
    }
  }
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace slipway::controller
