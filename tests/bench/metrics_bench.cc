// A scrape of the controller's page with 1,000 hosts and some applications, each on every host: figures looked up, figures
// counted, and the text. Beside it prometheus-cpp alone, which serialises as many series out of a registry.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "controller/metrics.h"

namespace slipway::controller {
namespace {

constexpr int kHosts = 1000;
constexpr int kRuns = 21;

HostObservation Host(int applications) {
  HostObservation seen;
  seen.connected = true;
  seen.last_seen = std::chrono::system_clock::now();
  seen.info.set_version("0.1.0");
  seen.info.set_free_bytes(20'000'000'000);
  seen.info.mutable_certificate_expire_time()->set_seconds(1'900'000'000);
  for (const char* name :
       {"reloads:ok", "reloads:test_failed", "reloads:exit_failed", "reloads:not_effective",
        "stale_epoch", "resumes:finished", "resumes:taken_back", "resumes:open", "resumes:again"}) {
    xpb::Counter& counter = *seen.info.add_counters();
    counter.set_name(name);
    counter.set_value(7);
  }
  for (int i = 0; i < applications; ++i) {
    xpb::ApplicationState& state = seen.applications[absl::StrCat("application-", i)];
    state.set_active_release("c0d458a03de6");
    for (const auto slot : {pb::SLOT_BLUE, pb::SLOT_GREEN}) {
      xpb::SlotState& one = *state.add_slots();
      one.set_slot(slot);
      one.set_running(true);
      one.set_release(slot == pb::SLOT_BLUE ? "c0d458a03de6" : "6f00e327d501");
    }
  }
  return seen;
}

size_t SeriesIn(const std::string& page) {
  size_t series = 0;
  for (size_t at = 0; at < page.size(); at = page.find('\n', at) + 1) series += page[at] != '#';
  return series;
}

// Of this thread, so that what else the machine does is not measured.
std::chrono::nanoseconds CpuTime() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// The median of several runs, in milliseconds of processor time.
template <typename Work>
double Milliseconds(Work work) {
  std::vector<double> times;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = CpuTime();
    work();
    times.push_back(std::chrono::duration<double, std::milli>(CpuTime() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2];
}

void Measure(int applications) {
  Metrics metrics;
  Present present;
  for (int i = 0; i < kHosts; ++i) present.hosts[absl::StrCat("host-", i)] = Host(applications);
  for (int i = 0; i < applications; ++i) {
    present.applications.push_back(absl::StrCat("application-", i));
  }
  std::string page;
  // The fleet hands copies out.
  const double ours = Milliseconds([&] { page = metrics.Text(Present(present)); });
  const size_t series = SeriesIn(page);

  prometheus::Registry registry;
  auto& family = prometheus::BuildGauge().Name("slipway_release_info").Help("x").Register(registry);
  for (size_t i = 0; i < series; ++i) {
    family.Add({{"app", absl::StrCat("application-", i % 20)}, {"host", absl::StrCat("host-", i)}})
        .Set(1);
  }
  const double theirs =
      Milliseconds([&] { page = prometheus::TextSerializer().Serialize(registry.Collect()); });
  std::printf(
      "%d hosts, %2d applications on each: %6zu series, scrape %5.1f ms; a bare registry %5.1f ms, "
      "ratio %.2f\n",
      kHosts, applications, series, ours, theirs, ours / theirs);
}

}  // namespace
}  // namespace slipway::controller

int main() {
  for (const int applications : {1, 5, 20}) slipway::controller::Measure(applications);
}
