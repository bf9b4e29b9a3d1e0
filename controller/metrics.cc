#include "controller/metrics.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "common/access_policy.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/mutex.h"
#include "controller/metrics_interceptor.h"
#include "controller/rollout/state.h"

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

template <typename Builder>
auto& Make(prometheus::Registry& registry, Builder builder, const std::string& name,
           const std::string& help) {
  return builder.Name("slipway_" + name).Help(help).Register(registry);
}

constexpr std::array kKinds = {pb::DEPLOYMENT_KIND_DEPLOY, pb::DEPLOYMENT_KIND_ROLLBACK,
                               pb::DEPLOYMENT_KIND_RECONCILE};
constexpr std::array kOutcomes = {"succeeded",   "failed_before_switch",
                                  "rolled_back", "failed_after_switch",
                                  "cancelled",   "partial",
                                  "superseded"};
// Why most releases go; another reason's series begins with its first.
constexpr std::array kRollbackReasons = {"asked", "bake", "reload_not_effective", "front_door",
                                         "container_died"};

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
    case pb::DEPLOYMENT_STATE_PARTIAL:
      return "partial";
    case pb::DEPLOYMENT_STATE_SUPERSEDED:
      return "superseded";
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
           "From the switch that failed, or the request to go back, to proven service");
  prometheus::Family<Histogram>& step =
      Make(registry, BuildHistogram(), "step_duration_seconds", "Of a step, on the host's clock");
  prometheus::Family<prometheus::Counter>& rollbacks =
      Make(registry, BuildCounter(), "rollbacks_total", "Releases taken out of service again");
  prometheus::Family<prometheus::Gauge>& progress =
      Make(registry, BuildGauge(), "deployment_progress_timestamp_seconds",
           "When a deployment last got on");
  Histogram& nginx_switch = Make(registry, BuildHistogram(), "nginx_switch_duration_seconds",
                                 "Of a switch, with its proof")
                                .Add({}, kShort);
  prometheus::Family<prometheus::Counter>& resumes = Make(
      registry, BuildCounter(), "journal_resumes_total", "Work taken up again after a restart");
  prometheus::Family<prometheus::Counter>& calls =
      Make(registry, BuildCounter(), "grpc_requests_total", "Calls that ended");
  prometheus::Family<Histogram>& call_duration = Make(
      registry, BuildHistogram(), "grpc_request_duration_seconds", "Of calls that are not streams");
  prometheus::Family<prometheus::Counter>& refused =
      Make(registry, BuildCounter(), "auth_failures_total", "Calls that were not let in");
  prometheus::Family<prometheus::Gauge>& leader =
      Make(registry, BuildGauge(), "controller_is_leader", "1 for the controller that acts");
  Histogram& commit =
      Make(registry, BuildHistogram(), "db_commit_duration_seconds", "Of a commit, synced")
          .Add({}, kShort);

  prometheus::Gauge& intact =
      Make(registry, BuildGauge(), "history_intact",
           "1 while the hash chain is whole and every host remembers the same")
          .Add({});

  Mutex mutex;
  bool broken SLIPWAY_GUARDED_BY(mutex) = false;
  std::set<std::string> known SLIPWAY_GUARDED_BY(mutex);
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
    families_->nginx_switch.Observe(Seconds(FromProto(step.evidence.switch_().total())));
  }
}

void Metrics::Know(const std::string& app) {
  {
    MutexLock lock(families_->mutex);
    if (!families_->known.insert(app).second) return;
  }
  for (const char* outcome : kOutcomes) {
    for (const auto kind : kKinds) {
      families_->deployments.Add({{"app", app}, {"outcome", outcome}, {"kind", EnumWord(kind)}});
    }
    families_->duration.Add({{"app", app}, {"outcome", outcome}}, kLong);
  }
  for (const char* reason : kRollbackReasons) {
    families_->rollbacks.Add({{"app", app}, {"reason", reason}});
  }
  families_->lead_time.Add({{"app", app}}, kDays);
  families_->recovery.Add({{"app", app}}, kLong);
}

void Metrics::DeploymentEnded(const DeploymentRecord& deployment, std::optional<Time> commit_time) {
  const std::string outcome = OutcomeOf(deployment);
  const Time end = deployment.end_time.value_or(deployment.create_time);
  const Labels app = {{"app", deployment.app}};
  families_->deployments
      .Add({{"app", deployment.app}, {"outcome", outcome}, {"kind", EnumWord(deployment.kind)}})
      .Increment();
  families_->duration.Add({{"app", deployment.app}, {"outcome", outcome}}, kLong)
      .Observe(Seconds(end - deployment.create_time));
  if (deployment.kind == pb::DEPLOYMENT_KIND_DEPLOY &&
      deployment.state == pb::DEPLOYMENT_STATE_SUCCEEDED && commit_time) {
    families_->lead_time.Add(app, kDays)
        .Observe(std::max(0.0, Seconds(ProvenTime(deployment).value_or(end) - *commit_time)));
  }
  if (const auto restored = TimeToRestore(deployment)) {
    const bool asked = deployment.state == pb::DEPLOYMENT_STATE_SUCCEEDED;
    families_->rollbacks
        .Add({{"app", deployment.app}, {"reason", asked ? "asked" : EnumWord(deployment.reason)}})
        .Increment();
    families_->recovery.Add(app, kLong).Observe(Seconds(*restored));
  }
}

void Metrics::Progressed(const std::string& app, Time now) {
  Know(app);
  families_->progress.Add({{"app", app}}).Set(UnixSeconds(now));
}

void Metrics::Resumed(int deployments) {
  families_->resumes.Add({{"role", "controller"}, {"outcome", "resumed"}}).Increment(deployments);
}

void Metrics::Committed(std::chrono::nanoseconds time) { families_->commit.Observe(Seconds(time)); }

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

void Metrics::Leads(bool leads) { families_->leader.Add({}).Set(leads ? 1 : 0); }

void Metrics::Called(const std::string& method, int code,
                     std::optional<std::chrono::nanoseconds> time) {
  // gRPC's codes are Abseil's.
  const std::string word = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  // A caller may name any method; it does not make series.
  const std::string known = RuleFor(method) == nullptr ? "other" : method;
  families_->calls.Add({{"method", known}, {"code", word}}).Increment();
  if (time) families_->call_duration.Add({{"method", known}}, kShort).Observe(Seconds(*time));
}

void Metrics::Intercept(grpc::ServerBuilder& builder) {
  AddMetricsInterceptor(builder, [this](const std::string& method, int code, auto time) {
    Called(method, code, time);
  });
}

std::string Metrics::Text(const Present& present) {
  for (const std::string& app : present.applications) Know(app);
  std::vector<prometheus::MetricFamily> page = families_->registry.Collect();
  for (prometheus::MetricFamily& family : FiguresOf(present)) {
    // The controller counts some of what its executors count, too.
    const auto same = std::find_if(page.begin(), page.end(),
                                   [&family](const auto& one) { return one.name == family.name; });
    if (same == page.end()) {
      page.push_back(std::move(family));
    } else {
      std::move(family.metric.begin(), family.metric.end(), std::back_inserter(same->metric));
    }
  }
  return prometheus::TextSerializer().Serialize(page);
}

}  // namespace slipway::controller
