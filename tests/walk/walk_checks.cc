// What must hold during a walk, and after each of its steps.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/spec.h"
#include "executor/facts.h"
#include "tests/walk/walk.h"

namespace slipway::testing {

namespace fs = std::filesystem;

void Walk::CheckTraffic() {
  for (const auto& host : hosts_) CheckTrafficOf(*host);
}

// At every moment: requests reach a container of the application that runs.
void Walk::CheckTrafficOf(WalkedHost& host) {
  SimulatedDocker& docker = host.docker();
  for (const Application& app : applications_) {
    if (!app.PromisedOn(host.name()) || !host.nginx().running()) continue;
    const uint32_t port = host.nginx().PortFor(app.name);
    const SimulatedContainer* container = docker.OnPort(port);
    if (container == nullptr) {
      // A release that dies when it serves, or between the last look at it and the reload, is what
      // the bake is for; and what stopped with Docker starts with it again.
      const bool excused =
          std::any_of(docker.containers.begin(), docker.containers.end(), [&](const auto& one) {
            return one.app == app.name && one.port == port && !one.running &&
                   (docker.programs[one.release].dies_when_it_serves || one.starts_again ||
                    one.died);
          });
      if (!excused) {
        Violate(absl::StrCat("requests for ", app.name, " on ", host.name(), " reach port ", port,
                             ", where nobody listens"));
      }
    } else if (container->app != app.name) {
      Violate(
          absl::StrCat("requests for ", app.name, " on ", host.name(), " reach ", container->app));
    }
  }
}

void Walk::CheckQuiet() {
  CheckTraffic();
  CheckStore();
  for (const auto& host : hosts_) {
    for (const auto& intent : host->journal().OpenIntents()) {
      if (unwritten_.contains({host->name(), intent.app()})) continue;
      Violate(absl::StrCat("the intent of ", intent.operation_id(), " is open"));
    }
    const auto& containers = host->docker().containers;
    const auto strangers = std::count_if(containers.begin(), containers.end(), [](const auto& one) {
      return one.app == "stranger" && one.running;
    });
    if (strangers != 1)
      Violate(absl::StrCat("somebody else's container on ", host->name(), " is gone"));
    for (const Application& app : applications_) CheckApplication(*host, app);
  }
}

void Walk::CheckStore() {
  const auto running = store().ListRunning().value();
  for (const auto& [app, id] : running) {
    Violate(absl::StrCat("deployment ", id, " has not ended"));
  }
  const auto queued = store().ListQueued().value();
  for (const auto& [app, id] : queued) {
    Violate(absl::StrCat("deployment ", id, " waits for nothing"));
  }
  for (const Application& app : applications_) {
    const auto holder = store().LeaseHolder(app.name);
    if (holder.ok() && !holder->empty()) {
      Violate(absl::StrCat("the lease of ", app.name, " is ", *holder, "'s, which has ended"));
    }
  }
  const absl::Status verified = store().VerifyHistory();
  if (!verified.ok()) Violate(absl::StrCat("the history: ", verified.ToString()));
}

void Walk::CheckApplication(WalkedHost& host, const Application& app) {
  if (!app.PromisedOn(host.name())) return;
  const auto state = host.steps().Inspect(app.name);
  if (!state.ok()) {
    Violate(absl::StrCat("no status of ", app.name, ": ", state.status().ToString()));
    return;
  }
  const SimulatedContainer* serving = host.Serving(app.name);
  if (serving == nullptr) return;
  const std::string& promised = app.serving.at(host.name());
  if (serving->release != promised) {
    Violate(absl::StrCat(app.name, " on ", host.name(), " ought to serve ", promised,
                         " and serves ", serving->release));
  }
  if (state->active_release() != serving->release || state->active_slot() != serving->slot) {
    Violate(absl::StrCat("status of ", app.name, " on ", host.name(), " says ",
                         SlotWord(state->active_slot()), " ", state->active_release(), "; ",
                         SlotWord(serving->slot), " ", serving->release, " serves"));
  }
  CheckContainers(host, app, *serving);
}

void Walk::CheckContainers(WalkedHost& host, const Application& app,
                           const SimulatedContainer& serving) {
  const xpb::ApplicationFacts facts = host.journal().FactsOf(app.name);
  int workers = 0;
  for (const SimulatedContainer& container : host.docker().containers) {
    if (container.app != app.name) continue;
    if (container.role != "adopted" &&
        !fs::exists(host.paths().Release(app.name, container.release))) {
      Violate(absl::StrCat("the files of ", container.release, ", which ", container.id, " on ",
                           host.name(), " has mounted, are gone"));
    }
    workers += container.role == "worker" ? 1 : 0;
    if (container.role != "slot" || container.slot == serving.slot) continue;
    const xpb::SlotFacts* known = executor::FindSlot(facts, container.slot);
    if (known == nullptr || known->warm_until() == 0 || known->port() != container.port) {
      Violate(absl::StrCat(container.id, " of ", app.name, " on port ", container.port, " of ",
                           host.name(), " is nobody's"));
    }
  }
  if (workers > 1) Violate(absl::StrCat(app.name, " has ", workers, " workers"));
}

}  // namespace slipway::testing
