#include "executor/drivers/drain.h"

#include <algorithm>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/durations.h"
#include "common/file.h"
#include "common/status.h"

namespace slipway::executor {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Connections have no event of their own.
constexpr std::chrono::milliseconds kFirstPause{5};
constexpr std::chrono::milliseconds kLongestPause{50};

struct OldWorker {
  ProcessId id;
  // Readable at its end.
  UniqueFd pidfd;
};

std::vector<OldWorker> Open(const ProcReader& proc, const std::vector<ProcessId>& ids) {
  std::vector<OldWorker> workers;
  for (const ProcessId& id : ids) {
    UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, id.pid, 0)));
    // The start time is looked at after the descriptor is held: from then on the number cannot
    // change its owner unseen.
    if (pidfd && proc.IsAlive(id)) workers.push_back({id, std::move(pidfd)});
  }
  return workers;
}

}  // namespace

absl::StatusOr<pb::DrainEvidence> Drain(const ProcReader& proc, const DrainRequest& request) {
  const auto start = SteadyClock::now();
  const auto deadline = start + request.timeout;
  const UniqueFd cancel_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const CancellationHook hook(request.cancellation,
                              [fd = cancel_event.get()] { eventfd_write(fd, 1); });
  std::vector<OldWorker> workers = Open(proc, request.old_workers);
  pb::DrainEvidence evidence;
  evidence.set_old_workers_at_start(static_cast<uint32_t>(workers.size()));
  std::chrono::milliseconds pause = kFirstPause;
  for (bool first = true;; first = false) {
    SLIPWAY_ASSIGN_OR_RETURN(const uint32_t connections,
                             proc.EstablishedTo(request.address, request.port));
    if (first) evidence.set_connections_at_start(connections);
    const auto now = SteadyClock::now();
    const bool idle = workers.empty() && connections == 0;
    if (idle || now >= deadline) {
      evidence.set_old_workers_left(static_cast<uint32_t>(workers.size()));
      evidence.set_connections_left(connections);
      *evidence.mutable_waited() = ToProto(now - start);
      return evidence;
    }
    // While workers live their end is the event to wait for; a look at the connections meanwhile
    // would change nothing.
    std::vector<pollfd> polled = {{cancel_event.get(), POLLIN, 0}};
    for (const OldWorker& worker : workers) polled.push_back({worker.pidfd.get(), POLLIN, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
    const auto wait = workers.empty() ? std::min(pause, left) : left;
    poll(polled.data(), polled.size(),
         static_cast<int>(std::min<int64_t>(wait.count(), 1'000'000)));
    if (polled[0].revents != 0) return absl::CancelledError("cancelled while draining");
    if (workers.empty()) pause = std::min(pause * 2, kLongestPause);
    std::erase_if(workers, [&proc](const OldWorker& worker) { return !proc.IsAlive(worker.id); });
  }
}

}  // namespace slipway::executor
