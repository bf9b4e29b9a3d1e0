#include "controller/fleet/reconciler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

// What an attempt was for; another one is worth trying when it has changed.
std::string Occasion(const Desired& desired, const HostPlace& place) {
  std::string occasion = desired.deployment;
  for (const pb::Difference& difference : place.differences) {
    absl::StrAppend(&occasion, "\n", difference.subject(), "\n", difference.text());
  }
  return occasion;
}

}  // namespace

Reconciler::Reconciler(Store& store, Convergence& convergence, Admission& admission)
    : store_(store), convergence_(convergence), admission_(admission) {}

Reconciler::~Reconciler() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Reconciler::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Reconciler::Returned(const std::string& host) {
  MutexLock lock(mutex_);
  std::erase_if(tried_, [&host](const auto& one) { return one.first.second == host; });
  look_ = true;
  changed_.NotifyAll();
}

void Reconciler::Look() {
  MutexLock lock(mutex_);
  look_ = true;
  changed_.NotifyAll();
}

void Reconciler::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!look_ && !stop_) changed_.Wait(mutex_);
      if (stop_) return;
      look_ = false;
    }
    LookAtAll();
  }
}

void Reconciler::LookAtAll() {
  constexpr int kPage = 500;
  std::string after;
  while (true) {
    const auto page = store_.ListApplications(after, kPage);
    // Whatever comes next asks for another look.
    if (!page.ok()) return;
    for (const ApplicationRecord& application : *page) {
      after = application.app;
      const absl::Status looked = LookAt(application.app);
      if (looked.ok() || DetailOf(looked).reason() == "BUSY") continue;
      LogWarning("cannot bring hosts up to date",
                 {{"app", application.app}, {"problem", std::string(looked.message())}});
    }
    if (page->size() < kPage) return;
  }
}

absl::Status Reconciler::LookAt(const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto desired, convergence_.DesiredOf(app));
  // The end of what is under way asks for another look.
  if (!desired || !desired->coming.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto places, convergence_.PlacesOf(*desired));
  std::vector<std::string> hosts;
  {
    MutexLock lock(mutex_);
    for (const HostPlace& place : places) {
      if (!place.by_itself || !place.reachable) continue;
      std::string& tried = tried_[{app, place.host}];
      const std::string occasion = Occasion(*desired, place);
      if (std::exchange(tried, occasion) != occasion) hosts.push_back(place.host);
    }
  }
  if (hosts.empty()) return absl::OkStatus();
  const absl::Status admitted = Admit(*desired, hosts, Request(), Actor("controller", "")).status();
  if (admitted.ok()) {
    LogInfo("hosts catch up",
            {{"app", app}, {"release", desired->release}, {"hosts", absl::StrCat(hosts.size())}});
  } else if (DetailOf(admitted).reason() == "BUSY") {
    // Another one came in between; its end asks for the next look.
    MutexLock lock(mutex_);
    for (const std::string& host : hosts) tried_.erase({app, host});
  }
  return admitted;
}

absl::StatusOr<std::optional<DeploymentRecord>> Reconciler::Admit(
    const Desired& desired, const std::vector<std::string>& hosts, const Request& request,
    const Actor& actor) {
  Wish wish;
  wish.app = desired.app;
  wish.release = desired.release;
  wish.kind = pb::DEPLOYMENT_KIND_RECONCILE;
  wish.force = true;
  // Each is a host that has just been seen; one that is gone again is just left.
  wish.skip_offline = true;
  wish.detached = true;
  wish.hosts = hosts;
  wish.actor = actor;
  SLIPWAY_ASSIGN_OR_RETURN(Admitted admitted, admission_.Admit(wish, request));
  return std::move(admitted.deployment);
}

absl::StatusOr<std::optional<DeploymentRecord>> Reconciler::Reconcile(
    const std::string& app, const std::vector<std::string>& hosts, const Request& request,
    const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(app, request));
  if (seen) {
    SLIPWAY_ASSIGN_OR_RETURN(DeploymentRecord made, store_.GetDeployment(app, *seen));
    return std::optional<DeploymentRecord>(std::move(made));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto desired, convergence_.DesiredOf(app));
  if (!desired) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOTHING_SERVES",
                 absl::StrCat("nothing of ", app, " has served yet"), "`slipway deploy` it first",
                 ApplicationName(app));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto places, convergence_.PlacesOf(*desired));
  std::vector<std::string> wanted = hosts;
  for (const std::string& host : hosts) {
    const bool meant = std::any_of(places.begin(), places.end(),
                                   [&host](const HostPlace& place) { return place.host == host; });
    if (meant) continue;
    return Error(absl::StatusCode::kInvalidArgument, "OTHER_HOST",
                 absl::StrCat("host ", host, " is not among those of ", app),
                 absl::StrCat("`slipway status ", app, "` shows them"), HostName(host));
  }
  for (const HostPlace& place : places) {
    const bool differs =
        place.standing == pb::HOST_STANDING_BEHIND || place.standing == pb::HOST_STANDING_DRIFTED;
    if (hosts.empty() && place.reachable && differs) wanted.push_back(place.host);
  }
  if (wanted.empty()) return std::optional<DeploymentRecord>();
  return Admit(*desired, wanted, request, actor);
}

}  // namespace slipway::controller
