// Leads for as long as it lives.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

#include "common/cancellation.h"
#include "common/mutex.h"
#include "controller/store/leadership.h"

namespace slipway::controller {

// One thread renews it, and another calls `lost`, once, when it is another's by now, or at the very moment from which it may be,
// however long the database lets the renewal wait: whoever acts by it must stop at once. Never after the destructor, which releases
// it.
class HeldLead {
 public:
  static constexpr std::chrono::milliseconds kTime{12'000};

  // FAILED_PRECONDITION (reason ANOTHER_LEADS) when it is another's.
  static absl::StatusOr<std::unique_ptr<HeldLead>> Take(const PostgresOptions& options,
                                                        const std::string& holder,
                                                        const std::string& address,
                                                        std::function<void()> lost,
                                                        std::chrono::milliseconds time = kTime);
  ~HeldLead();
  HeldLead(const HeldLead&) = delete;
  HeldLead& operator=(const HeldLead&) = delete;

  uint64_t epoch() const { return epoch_; }

 private:
  HeldLead(std::unique_ptr<Leadership> leadership, std::chrono::milliseconds time,
           std::function<void()> lost)
      : leadership_(std::move(leadership)), time_(time), lost_(std::move(lost)) {}
  using Moment = std::chrono::steady_clock::time_point;
  void Renew();
  void Watch();
  bool HoldUntil(Moment end);

  const std::unique_ptr<Leadership> leadership_;
  const std::chrono::milliseconds time_;
  const std::function<void()> lost_;
  uint64_t epoch_ = 0;
  Cancellation stop_;
  Mutex mutex_;
  CondVar changed_;
  // By this machine's clock, from before it was asked for.
  Moment end_ SLIPWAY_GUARDED_BY(mutex_);
  bool stopped_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::thread renews_;
  std::thread watches_;
};

}  // namespace slipway::controller
