#include "controller/candidate.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "common/status.h"

namespace slipway::controller {
namespace {
// Nobody says that a lead has expired.
constexpr std::chrono::seconds kPause{1};
}  // namespace

Candidate::~Candidate() { Stop(); }

void Candidate::Stop() {
  stop_.Cancel();
  Wake();
  if (thread_.joinable()) thread_.join();
}

void Candidate::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyAll();
}

absl::Status Candidate::CheckLeads() const {
  MutexLock lock(mutex_);
  if (leads_) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "NOT_LEADER",
               leader_.empty() ? "no controller leads at the moment"
                               : absl::StrCat("another controller leads: ", leader_),
               "name all controllers: --controller FIRST,SECOND", leader_);
}

absl::StatusOr<bool> Candidate::Try() {
  auto lead = HeldLead::Take(options_.database, options_.name, options_.address, options_.lost);
  if (!lead.ok()) {
    const bool taken = DetailOf(lead.status()).reason() == "ANOTHER_LEADS";
    if (taken) options_.stand_by();
    std::string leader = taken ? DetailOf(lead.status()).subject() : "";
    MutexLock lock(mutex_);
    if (taken && leader != leader_) LogInfo("standing by", {{"leader", leader}});
    leader_ = std::move(leader);
    return false;
  }
  lead_ = *std::move(lead);
  SLIPWAY_RETURN_IF_ERROR(options_.take_over(lead_->epoch()));
  MutexLock lock(mutex_);
  leads_ = true;
  return true;
}

absl::Status Candidate::Start() {
  SLIPWAY_ASSIGN_OR_RETURN(const bool leads, Try());
  if (!leads) thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Candidate::Run() {
  while (!stop_.IsCancelled()) {
    {
      const auto due = std::chrono::steady_clock::now() + kPause;
      MutexLock lock(mutex_);
      while (!woken_ && changed_.WaitUntil(mutex_, due)) {
      }
      woken_ = false;
    }
    if (stop_.IsCancelled()) return;
    const auto leads = Try();
    if (!leads.ok()) {
      LogError("cannot take over", {{"problem", std::string(leads.status().message())}});
      options_.lost();
      return;
    }
    if (*leads) return;
  }
}

}  // namespace slipway::controller
