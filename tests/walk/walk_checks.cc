// What must hold during a walk, and after each of its steps.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/spec.h"
#include "executor/facts.h"
#include "tests/walk/walk.h"

namespace slipway::testing {

namespace fs = std::filesystem;

// At every moment: requests reach a container of the application that runs.
void Walk::CheckTraffic() {
  for (const Application& app : applications_) {
    if (app.serving.empty() || app.attention || !nginx_.running()) continue;
    const uint32_t port = nginx_.PortFor(app.name);
    const SimulatedContainer* container = docker_.OnPort(port);
    if (container == nullptr) {
      // A release that dies when it serves is what the bake is for.
      const bool dies =
          std::any_of(docker_.containers.begin(), docker_.containers.end(), [&](const auto& one) {
            return one.app == app.name && one.port == port && !one.running &&
                   docker_.programs[one.release].dies_when_it_serves;
          });
      if (!dies)
        Violate(absl::StrCat("requests for ", app.name, " reach port ", port,
                             ", where nobody listens"));
    } else if (container->app != app.name) {
      Violate(absl::StrCat("requests for ", app.name, " reach ", container->app));
    }
  }
}

void Walk::CheckQuiet() {
  CheckTraffic();
  for (const auto& intent : journal_->OpenIntents()) {
    Violate(absl::StrCat("the intent of ", intent.operation_id(), " is open"));
  }
  for (const Application& app : applications_) CheckApplication(app);
}

void Walk::CheckApplication(const Application& app) {
  if (app.attention || app.serving.empty()) return;
  const auto state = steps_->Inspect(app.name);
  if (!state.ok()) {
    Violate(absl::StrCat("no status of ", app.name, ": ", state.status().ToString()));
    return;
  }
  const uint32_t port = nginx_.PortFor(app.name);
  const SimulatedContainer* serving = docker_.OnPort(port);
  if (serving == nullptr) return;
  if (serving->release != app.serving) {
    Violate(
        absl::StrCat(app.name, " ought to serve ", app.serving, " and serves ", serving->release));
  }
  if (state->active_release() != serving->release || state->active_slot() != serving->slot) {
    Violate(absl::StrCat("status of ", app.name, " says ", SlotWord(state->active_slot()), " ",
                         state->active_release(), "; ", SlotWord(serving->slot), " ",
                         serving->release, " serves"));
  }
  const xpb::ApplicationFacts facts = journal_->FactsOf(app.name);
  int workers = 0;
  for (const SimulatedContainer& container : docker_.containers) {
    if (container.app != app.name) continue;
    if (container.role != "adopted" && !fs::exists(paths_.Release(app.name, container.release))) {
      Violate(absl::StrCat("the files of ", container.release, ", which ", container.id,
                           " has mounted, are gone"));
    }
    workers += container.role == "worker" ? 1 : 0;
    if (container.role != "slot" || container.slot == serving->slot) continue;
    const xpb::SlotFacts* known = executor::FindSlot(facts, container.slot);
    if (known == nullptr || known->warm_until() == 0 || known->port() != container.port) {
      Violate(absl::StrCat(container.id, " of ", app.name, " on port ", container.port,
                           " is nobody's"));
    }
  }
  if (workers > 1) Violate(absl::StrCat(app.name, " has ", workers, " workers"));
}

}  // namespace slipway::testing
