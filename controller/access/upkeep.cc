#include "controller/access/upkeep.h"

#include <algorithm>

#include "common/durations.h"
#include "common/identity.h"
#include "common/logging.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

// Several looks fall into the last third of a certificate's life.
std::chrono::nanoseconds PauseFor(std::chrono::seconds life) {
  return std::clamp<std::chrono::nanoseconds>(life / 15, std::chrono::milliseconds(200),
                                              std::chrono::minutes(10));
}

}  // namespace

Upkeep::Upkeep(Certificates& certificates, Audit& audit, Fleet& fleet, Clock& clock,
               std::function<void(bool)> intact, std::function<bool()> leads)
    : certificates_(certificates),
      audit_(audit),
      fleet_(fleet),
      clock_(clock),
      intact_(std::move(intact)),
      leads_(std::move(leads)),
      pause_(PauseFor(certificates.Life())),
      thread_([this] { Run(); }) {}

Upkeep::~Upkeep() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Upkeep::Look() {
  MutexLock lock(mutex_);
  look_ = true;
  changed_.NotifyAll();
}

void Upkeep::Run() {
  while (true) {
    {
      const auto due = std::chrono::steady_clock::now() + pause_;
      MutexLock lock(mutex_);
      while (!stop_ && !look_ && changed_.WaitUntil(mutex_, due)) {
      }
      if (stop_) return;
      look_ = false;
    }
    LookAtAll();
  }
}

void Upkeep::LookAtAll() {
  const auto renewed = certificates_.RenewOwn();
  if (!renewed.ok()) {
    LogError("the controller's certificate is not renewed",
             {{"problem", std::string(renewed.status().message())}});
  } else if (*renewed) {
    fleet_.ShowNewCertificate();
  }
  if (!certificates_.HasAuthority()) return;
  const auto revoked = certificates_.Revoked();
  if (!revoked.ok()) {
    LogError("the revoked certificates cannot be read",
             {{"problem", std::string(revoked.status().message())}});
    return;
  }
  LeaveRevokedHosts(*revoked);
  if (!leads_()) return;
  for (const HostConfig& host : fleet_.Hosts()) {
    Delivered& delivered = delivered_[host.name];
    const auto client = fleet_.Client(host.name);
    if (client == nullptr || !fleet_.Observe(host.name).connected) {
      delivered = {};
      continue;
    }
    const absl::Status done = LookAfter(host.name, *client, *revoked, delivered);
    // One of before this existed; what it lacks is said by `slipway doctor`.
    if (!done.ok() && !absl::IsUnimplemented(done) && !absl::IsCancelled(done)) {
      LogWarning("a host is not given what it should keep",
                 {{"host", host.name}, {"problem", std::string(done.message())}});
    }
  }
}

// A host's certificate is judged when a connection is made; those that stand may have been made before it was revoked.
void Upkeep::LeaveRevokedHosts(const std::vector<pb::Certificate>& revoked) {
  std::set<std::string> hosts;
  for (const pb::Certificate& one : revoked) {
    const bool is_new = revoked_.insert(one.name()).second;
    if (is_new && one.role() == pb::ROLE_EXECUTOR) hosts.insert(one.subject());
  }
  for (const std::string& host : hosts) fleet_.Reconnect(host);
}

absl::Status Upkeep::RenewCertificate(const std::string& host, GrpcExecutorClient& client) {
  SLIPWAY_ASSIGN_OR_RETURN(const xpb::CreateCertificateRequestResponse request,
                           client.CreateCertificateRequest());
  if (request.certificate_request().empty()) return absl::OkStatus();
  const WallTime ends = FromProto(request.expire_time());
  if (!IsDueForRenewal(ends, certificates_.Life(), clock_.WallNow())) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const Certificates::Issued issued,
                           certificates_.Issue(request.certificate_request(),
                                               {pb::ROLE_EXECUTOR, "", host}, Actor("controller")));
  // Something was revoked since this look began. It may be this host's: the next look judges that first, and the new certificate
  // stays here. What is revoked from here on takes the new one with it.
  SLIPWAY_ASSIGN_OR_RETURN(const auto revoked, certificates_.Revoked());
  const bool all_known = std::all_of(revoked.begin(), revoked.end(), [this](const auto& one) {
    return revoked_.contains(one.name());
  });
  if (!all_known) {
    Look();
    return absl::OkStatus();
  }
  xpb::InstallCertificateRequest install;
  install.set_certificate_pem(issued.pem);
  SLIPWAY_ASSIGN_OR_RETURN(*install.mutable_authority_pem(), certificates_.AuthorityPem());
  return client.InstallCertificate(install);
}

absl::Status Upkeep::LookAfter(const std::string& host, GrpcExecutorClient& client,
                               const std::vector<pb::Certificate>& revoked, Delivered& delivered) {
  SLIPWAY_RETURN_IF_ERROR(RenewCertificate(host, client));
  std::set<std::string> names;
  for (const pb::Certificate& one : revoked) names.insert(one.name());
  if (!delivered.has_revoked || delivered.revoked != names) {
    xpb::InstallCertificateRequest install;
    SLIPWAY_ASSIGN_OR_RETURN(*install.mutable_revoked_pem(), certificates_.RevocationList(revoked));
    SLIPWAY_RETURN_IF_ERROR(client.InstallCertificate(install));
    delivered.revoked = std::move(names);
    delivered.has_revoked = true;
  }
  const auto head = audit_.SignedHead();
  if (absl::IsNotFound(head.status())) return absl::OkStatus();
  if (!head.ok()) return head.status();
  if (head->sequence() <= delivered.head) return absl::OkStatus();
  // What the host remembers is not written over before it was compared: the database may be changed under a running controller.
  SLIPWAY_ASSIGN_OR_RETURN(const xpb::HistoryHead kept, client.GetHistoryHead());
  const std::string problem = kept.sequence() == 0 ? "" : audit_.ProblemWith(kept);
  if (intact_) intact_(problem.empty());
  if (!problem.empty()) {
    LogError("the history was changed", {{"host", host}, {"problem", problem}});
    return absl::OkStatus();
  }
  SLIPWAY_RETURN_IF_ERROR(client.KeepHistoryHead(*head, audit_.WasLostByRestore(kept)));
  delivered.head = head->sequence();
  return absl::OkStatus();
}

}  // namespace slipway::controller
