// A controller that shares its database with others: it answers reads, and takes the lead as soon as nobody has it.
//
// One thread tries until it leads, once a second and whenever the leadership is said to have changed. Who has led once never
// stands by again: a controller that loses the lead ends, and its service manager starts it anew. So nothing of what it had
// in mind as the leader is left.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "common/cancellation.h"
#include "common/mutex.h"
#include "controller/store/held_lead.h"

namespace slipway::controller {

// Safe from several threads.
class Candidate {
 public:
  struct Options {
    PostgresOptions database;
    // Of this controller, for people and for clients.
    std::string name;
    std::string address;
    // Makes it the one that acts; called once, with the lead's epoch. It leads when this has answered OK.
    std::function<absl::Status(uint64_t epoch)> take_over;
    // Another one leads; called after each attempt that found so, to learn what it did.
    std::function<void()> stand_by;
    // The lead is lost, or could not be taken over: the process must end. Called once, on any thread.
    std::function<void()> lost;
  };

  explicit Candidate(Options options) : options_(std::move(options)) {}
  // Releases the lead.
  ~Candidate();
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  // Takes the lead if nobody has it, and answers what take_over() answered; goes on trying in the background if somebody has.
  absl::Status Start();
  // No takeover begins any more, and none is under way.
  void Stop();
  // The leadership may have changed.
  void Wake();

  // UNAVAILABLE (reason NOT_LEADER), with the leader's address as the subject where it is known.
  absl::Status CheckLeads() const;

 private:
  // False when another one leads, or the database does not answer.
  absl::StatusOr<bool> Try();
  void Run();

  const Options options_;
  Cancellation stop_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool woken_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool leads_ SLIPWAY_GUARDED_BY(mutex_) = false;
  // Empty while none is known.
  std::string leader_ SLIPWAY_GUARDED_BY(mutex_);
  std::unique_ptr<HeldLead> lead_;
  std::thread thread_;
};

}  // namespace slipway::controller
