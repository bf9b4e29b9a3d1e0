#include "executor/drift_keeper.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "common/logging.h"

namespace slipway::executor {
namespace {
constexpr std::chrono::seconds kInterval{60};
// Reading a large site back may take long: no more than this share of the time goes into comparing.
constexpr int kShare = 100;
}  // namespace

DriftKeeper::DriftKeeper(Journal& journal, Operations& operations, Steps& steps, HostWatch& watch)
    : journal_(journal), operations_(operations), steps_(steps), watch_(watch), thread_([this] {
        Run();
      }) {}

DriftKeeper::~DriftKeeper() {
  stop_.Cancel();
  thread_.join();
}

void DriftKeeper::Run() {
  std::chrono::nanoseconds pause = kInterval;
  while (!stop_.WaitFor(pause)) {
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& app : journal_.Applications()) {
      if (stop_.IsCancelled()) return;
      const auto changed = steps_.Compare(app, [&] { return operations_.Running(app).empty(); });
      if (!changed.ok()) {
        LogWarning("cannot compare with what was deployed",
                   {{"app", app}, {"error", std::string(changed.status().message())}});
      } else if (*changed) {
        watch_.Changed();
      }
    }
    pause = std::max<std::chrono::nanoseconds>(kInterval,
                                               (std::chrono::steady_clock::now() - start) * kShare);
  }
}

}  // namespace slipway::executor
