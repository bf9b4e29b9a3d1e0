#include "executor/drivers/proc.h"

#include <algorithm>
#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "common/file.h"
#include "common/status.h"

namespace slipway::executor {
namespace {

struct Stat {
  char state = 0;
  int parent = 0;
  uint64_t start_ticks = 0;
};

std::optional<Stat> ParseStat(absl::string_view text) {
  // The command stands in parentheses and may hold anything, parentheses and spaces too.
  const size_t end = text.rfind(')');
  if (end == absl::string_view::npos) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(end + 1), ' ', absl::SkipEmpty());
  Stat stat;
  // Fields 3, 4 and 22 of proc(5).
  if (fields.size() < 20 || fields[0].size() != 1 || !absl::SimpleAtoi(fields[1], &stat.parent) ||
      !absl::SimpleAtoi(fields[19], &stat.start_ticks)) {
    return std::nullopt;
  }
  stat.state = fields[0].front();
  return stat;
}

std::optional<Stat> ReadStat(const std::filesystem::path& root, int pid) {
  const auto text = ReadFile(root / absl::StrCat(pid) / "stat");
  if (!text.ok()) return std::nullopt;
  const std::optional<Stat> stat = ParseStat(*text);
  if (!stat.has_value() || stat->state == 'Z' || stat->state == 'X') return std::nullopt;
  return stat;
}

// Lines of /proc/net/tcp and tcp6: `sl local_address rem_address st ...`, addresses in hexadecimal.
uint32_t CountEstablished(absl::string_view table, absl::string_view remote) {
  uint32_t count = 0;
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() > 3 && fields[3] == "01" && fields[2] == remote) ++count;
  }
  return count;
}

}  // namespace

absl::StatusOr<int> ProcReader::NginxMaster(const std::filesystem::path& pid_file) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, ReadFile(pid_file));
  int pid = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &pid) || pid <= 0) {
    return absl::NotFoundError(absl::StrCat(pid_file.string(), " holds no process number"));
  }
  if (!StartTicks(pid).has_value()) {
    return absl::NotFoundError(absl::StrCat("nginx's master ", pid, " is not running"));
  }
  return pid;
}

absl::StatusOr<std::vector<NginxWorker>> ProcReader::NginxWorkers(int master) const {
  std::vector<NginxWorker> workers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root_, error), end; !error && entry != end;
       entry.increment(error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry->path().filename().string(), &pid)) continue;
    const std::optional<Stat> stat = ReadStat(root_, pid);
    if (!stat.has_value() || stat->parent != master) continue;
    const auto title = ReadFile(entry->path() / "cmdline");
    if (!title.ok() || absl::StartsWith(*title, "nginx: cache")) continue;
    workers.push_back({{pid, stat->start_ticks}, absl::StrContains(*title, "is shutting down")});
  }
  if (error) return absl::InternalError(absl::StrCat(root_.string(), ": ", error.message()));
  std::sort(workers.begin(), workers.end(),
            [](const NginxWorker& a, const NginxWorker& b) { return a.id.pid < b.id.pid; });
  return workers;
}

std::optional<uint64_t> ProcReader::StartTicks(int pid) const {
  const std::optional<Stat> stat = ReadStat(root_, pid);
  return stat.has_value() ? std::optional(stat->start_ticks) : std::nullopt;
}

absl::StatusOr<uint32_t> ProcReader::EstablishedTo(absl::string_view address, uint32_t port) const {
  in_addr binary{};
  if (inet_pton(AF_INET, std::string(address).c_str(), &binary) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an IPv4 address"));
  }
  const std::string four = absl::StrFormat("%08X:%04X", binary.s_addr, port);
  SLIPWAY_ASSIGN_OR_RETURN(const std::string table, ReadFile(root_ / "net/tcp"));
  uint32_t count = CountEstablished(table, four);
  // An IPv6 socket that speaks IPv4 shows the mapped address. A kernel without IPv6 has no such
  // table.
  if (const auto six = ReadFile(root_ / "net/tcp6"); six.ok()) {
    count += CountEstablished(*six, absl::StrCat("0000000000000000FFFF0000", four));
  }
  return count;
}

}  // namespace slipway::executor
