#include "controller/store/held_lead.h"

#include <utility>

#include "common/logging.h"
#include "common/status.h"

namespace slipway::controller {

absl::StatusOr<std::unique_ptr<HeldLead>> HeldLead::Take(const PostgresOptions& options,
                                                         const std::string& holder,
                                                         const std::string& address,
                                                         std::function<void()> lost,
                                                         std::chrono::milliseconds time) {
  SLIPWAY_ASSIGN_OR_RETURN(auto leadership, Leadership::Open(options));
  std::unique_ptr<HeldLead> held(new HeldLead(std::move(leadership), time, std::move(lost)));
  held->end_ = std::chrono::steady_clock::now() + time;
  SLIPWAY_ASSIGN_OR_RETURN(held->epoch_, held->leadership_->Take(holder, address, time));
  held->renews_ = std::thread([one = held.get()] { one->Renew(); });
  held->watches_ = std::thread([one = held.get()] { one->Watch(); });
  return held;
}

HeldLead::~HeldLead() {
  stop_.Cancel();
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (!renews_.joinable()) return;
  watches_.join();
  renews_.join();
  if (const absl::Status released = leadership_->Release(epoch_); !released.ok()) {
    LogWarning("the lead was not released", {{"problem", std::string(released.message())}});
  }
}

void HeldLead::Renew() {
  std::chrono::milliseconds pause = time_ / 3;
  while (!stop_.WaitFor(pause)) {
    const Moment before = std::chrono::steady_clock::now();
    const absl::Status renewed = leadership_->Renew(epoch_, time_);
    pause = renewed.ok() ? time_ / 3 : time_ / 15;
    if (renewed.ok()) {
      if (!HoldUntil(before + time_)) return;
      continue;
    }
    LogWarning("the lead is not renewed", {{"problem", std::string(renewed.message())}});
    if (!absl::IsAborted(renewed)) continue;
    HoldUntil(before);
    return;
  }
}

// False when it has ended already.
bool HeldLead::HoldUntil(Moment end) {
  MutexLock lock(mutex_);
  if (end_ <= std::chrono::steady_clock::now()) return false;
  end_ = end;
  changed_.NotifyAll();
  return true;
}

void HeldLead::Watch() {
  {
    MutexLock lock(mutex_);
    while (!stopped_ && end_ > std::chrono::steady_clock::now()) changed_.WaitUntil(mutex_, end_);
    if (stopped_) return;
  }
  lost_();
}

}  // namespace slipway::controller
