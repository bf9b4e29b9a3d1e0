#include "controller/api/self_check.h"

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/finding.h"

namespace slipway::controller {
namespace {

constexpr uint64_t kLittleSpace = 1ULL << 30;
// As the alert has it.
constexpr std::chrono::hours kBackupLasts{48};
constexpr std::chrono::seconds kClockMayDiffer{5};
constexpr std::chrono::seconds kClockLeeway{60};

pb::Finding CheckCertificate(const Certificates& certificates, Time now) {
  const auto ends = certificates.OwnEnds();
  if (!ends || *ends <= now) {
    return Found(pb::FINDING_LEVEL_PROBLEM, "certificate",
                 ends ? "the controller's certificate has ended" : "the certificate cannot be read",
                 certificates.HasAuthority() ? "restart the controller, and look at its log"
                                             : "put a good one where tls.certificate says");
  }
  const std::string left = FormatDuration(*ends - now);
  // Renewed at two thirds of its life: what has less than a quarter left was not.
  const bool late = *ends - now < certificates.Life() / 4;
  if (late && !certificates.HasAuthority()) {
    return Found(pb::FINDING_LEVEL_WARNING, "certificate", absl::StrCat("ends in ", left),
                 "put a new one where tls.certificate says; no restart is needed");
  }
  if (late) {
    return Found(pb::FINDING_LEVEL_WARNING, "certificate",
                 absl::StrCat("ends in ", left, " and should have been renewed"),
                 "the controller's log says why it was not");
  }
  return Found(pb::FINDING_LEVEL_OK, "certificate", absl::StrCat("good for ", left));
}

}  // namespace

std::vector<pb::Finding> CheckController(const std::filesystem::path& state, bool history_intact,
                                         const Certificates& certificates, Fleet& fleet, Time now) {
  std::vector<pb::Finding> findings = {CheckCertificate(certificates, now)};
  findings.push_back(
      history_intact
          ? Found(pb::FINDING_LEVEL_OK, "history", "was whole when it was last looked at")
          : Found(pb::FINDING_LEVEL_PROBLEM, "history", "was changed by something else",
                  "`slipway audit verify` says where; compare it with a backup"));
  const uint64_t bytes = FreeBytes(state);
  const std::string space = absl::StrCat(bytes >> 20, " MiB free at ", state.string());
  findings.push_back(bytes < kLittleSpace
                         ? Found(pb::FINDING_LEVEL_WARNING, "disk", space, "make room there")
                         : Found(pb::FINDING_LEVEL_OK, "disk", space));
  const std::vector<HostConfig> hosts = fleet.Hosts();
  if (hosts.empty()) {
    findings.push_back(Found(pb::FINDING_LEVEL_WARNING, "host", "no host is known",
                             "slipway hosts add web-1 --ssh USER@HOST"));
  }
  for (const HostConfig& host : hosts) {
    const HostObservation seen = fleet.Observe(host.name);
    if (seen.connected) continue;
    findings.push_back(Found(pb::FINDING_LEVEL_PROBLEM, "host",
                             absl::StrCat(host.name, " is not connected: ", seen.problem),
                             absl::StrCat("is slipway-executor running there, and does ",
                                          host.address, " lead to it?")));
  }
  return findings;
}

pb::Finding CheckBackup(std::optional<Time> newest, Time now) {
  const char* cure = "slipway-controller backup FOLDER, every day (docs/operating.md)";
  if (!newest) return Found(pb::FINDING_LEVEL_WARNING, "backup", "none was ever made", cure);
  const std::string age = FormatDuration(now - *newest);
  if (now - *newest > kBackupLasts) {
    return Found(pb::FINDING_LEVEL_WARNING, "backup", absl::StrCat("the newest is ", age, " old"),
                 cure);
  }
  return Found(pb::FINDING_LEVEL_OK, "backup", absl::StrCat(age, " old"));
}

pb::Finding CheckClock(Time before, Time there, Time after) {
  const bool ahead = there > after;
  const auto off = ahead ? there - after : before > there ? before - there : Time::duration(0);
  if (off < kClockMayDiffer) {
    return Found(pb::FINDING_LEVEL_OK, "clock", "agrees with the controller's");
  }
  // A certificate counts from a minute before it is made.
  return Found(off < kClockLeeway ? pb::FINDING_LEVEL_WARNING : pb::FINDING_LEVEL_PROBLEM, "clock",
               absl::StrCat("is ", FormatDuration(off), ahead ? " ahead of" : " behind",
                            " the controller's, and certificates go by it"),
               "let both keep network time: timedatectl set-ntp true");
}

}  // namespace slipway::controller
