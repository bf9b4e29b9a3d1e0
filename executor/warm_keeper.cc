#include "executor/warm_keeper.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/logging.h"
#include "common/spec.h"

namespace slipway::executor {

using std::chrono::seconds;

WarmKeeper::WarmKeeper(Journal& journal, Operations& operations, Steps& steps, HostWatch& watch)
    : journal_(journal), operations_(operations), steps_(steps), watch_(watch), thread_([this] {
        Run();
      }) {}

WarmKeeper::~WarmKeeper() { thread_.join(); }

void WarmKeeper::Run() {
  uint64_t mark = 0;
  while (!watch_.Stopped()) {
    const seconds next = EndWhatIsDue();
    mark = watch_.WaitForChange(mark, next);
  }
}

seconds WarmKeeper::EndWhatIsDue() {
  seconds next = std::chrono::hours(1);
  const int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  for (const std::string& app : journal_.Applications()) {
    const xpb::ApplicationFacts facts = journal_.FactsOf(app);
    for (const xpb::SlotFacts& slot : facts.slots()) {
      if (slot.warm_until() == 0) continue;
      if (slot.warm_until() > now) {
        next = std::min(next, seconds(slot.warm_until() - now));
        continue;
      }
      absl::StatusOr<std::vector<std::string>> stopped;
      // A deployment that runs may be about to use the slot; its end wakes this thread.
      if (!operations_.WhileIdle(app, [&] { stopped = steps_.EndWarmth(app, slot.slot()); }))
        continue;
      if (!stopped.ok()) {
        LogWarning("warm slot not stopped", {{"app", app},
                                             {"slot", SlotWord(slot.slot())},
                                             {"error", std::string(stopped.status().message())}});
        next = std::min(next, seconds(30));
        continue;
      }
      if (stopped->empty()) continue;
      xpb::LocalEvent event;
      event.set_app(app);
      event.set_actor("executor");
      event.set_action("slot_stopped");
      event.set_outcome("ok");
      event.set_release(slot.release());
      event.set_detail(absl::StrCat(SlotWord(slot.slot()), ": its warm time was over"));
      if (absl::Status status = watch_.Record(event); !status.ok()) {
        LogError("journal", {{"error", std::string(status.message())}});
      }
    }
  }
  return next;
}

}  // namespace slipway::executor
