// What /proc says of nginx's processes and of connections. Reads only; needs no privilege.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {

// A process for as long as the machine runs: numbers are used again, a number with its start time
// is not.
struct ProcessId {
  int pid = 0;
  // Clock ticks between boot and start.
  uint64_t start_ticks = 0;

  bool operator==(const ProcessId&) const = default;
};

struct NginxWorker {
  ProcessId id;
  // It accepts no more connections and ends with the ones it has.
  bool shutting_down = false;
};

class ProcReader {
 public:
  explicit ProcReader(std::filesystem::path root = "/proc") : root_(std::move(root)) {}

  // The running master. NOT_FOUND when there is no pid file, or the process it names has ended.
  absl::StatusOr<int> NginxMaster(const std::filesystem::path& pid_file) const;
  // The master's children by a scan of the whole of /proc: /proc/PID/task/*/children is unreliable
  // while they come and go. Cache processes are left out.
  absl::StatusOr<std::vector<NginxWorker>> NginxWorkers(int master) const;
  // Nothing when the process has ended, a zombie included.
  std::optional<uint64_t> StartTicks(int pid) const;
  bool IsAlive(const ProcessId& id) const { return StartTicks(id.pid) == id.start_ticks; }
  // Sockets of this host whose other end is the IPv4 address and port and which are ESTABLISHED,
  // whoever owns them.
  absl::StatusOr<uint32_t> EstablishedTo(absl::string_view address, uint32_t port) const;

 private:
  std::filesystem::path root_;
};

}  // namespace slipway::executor
