// Static sites: files that nginx serves by itself from SITES/APP/current, see executor/paths.h.
//
// Two copies stand beside each other, `blue` and `green`, as the slots of other applications do. `current` is a link to the one that
// serves; a switch is one rename(2) of that link, which nginx follows with each file that it opens, so that it is never reloaded and
// no request is lost. While the old copy is warm, `previous` links to it: a server block may answer from there what `current` does
// not have any more, for pages that are open in browsers. In going back the two links change places in one step, so that at every moment
// each copy is behind one of them.
//
// Each copy holds a mark, `slipway-release.txt`, of one line: APP RELEASE SLOT. It is written last, so a copy without it is not
// whole; and nginx's answer to a request for it is the proof of a switch, for a server block that does not follow `current` answers
// something else.
//
// Thread-safe for different applications; calls for one application come one at a time.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/clock.h"
#include "executor/drivers/nginx.h"
#include "executor/drivers/release_store.h"
#include "executor/drivers/workload.h"
#include "executor/paths.h"

namespace slipway::executor {

// The line in the copy's mark.
std::string SiteMark(const std::string& app, const std::string& release, pb::Slot slot);

struct SiteSwitch {
  std::string app;
  // Unspecified when nothing served before.
  pb::Slot from = pb::SLOT_UNSPECIFIED;
  pb::Slot to = pb::SLOT_UNSPECIFIED;
  uint64_t generation = 0;
  pb::FrontDoor front_door;
};

class StaticSite final : public Workload {
 public:
  // `proof_time` bounds each proof; nginx with `open_file_cache` may answer from a file that it has
  // open, for as long as its configuration says.
  StaticSite(ReleaseStore& releases, Clock& clock, Paths paths,
             std::chrono::nanoseconds proof_time = std::chrono::seconds(10))
      : releases_(releases), clock_(clock), paths_(std::move(paths)), proof_time_(proof_time) {}

  // The copy that `current` names; unspecified when there is none.
  pb::Slot Serving(const std::string& app) const;
  // PREFLIGHT when nobody answers at the front door, FRONT_DOOR when nginx serves something else than the copy that should serve
  // by now; both say what to do.
  absl::Status Preflight(const pb::ApplicationSpec& spec);
  // Reads the copy back and compares each file with the release; answers their number. RELEASE_CONTENT names the first that differs.
  absl::StatusOr<uint32_t> Verify(const StagedRelease& release, pb::Slot slot, Cancellation* stop);
  // OK when nginx answers the copy's mark at the front door; FRONT_DOOR, with the cure, otherwise.
  absl::Status Prove(const std::string& app, const pb::FrontDoor& door, pb::Slot slot);
  // Ends with `to` proven, or with the link where it was.
  SwitchOutcome Switch(const SiteSwitch& wanted);
  // After a crash inside Switch(): finishes it when the link is changed and proven, goes back otherwise. May be repeated.
  SwitchOutcome Recover(const SiteSwitch& wanted);

  absl::Status Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                       absl::string_view env_file, const CallContext& call) override;
  absl::StatusOr<pb::StartEvidence> StartSlot(const StagedRelease& release, pb::Slot slot,
                                              const CallContext& call) override;
  absl::StatusOr<std::vector<std::string>> RemoveSlot(const std::string& app, pb::Slot slot,
                                                      const CallContext& call) override;
  absl::StatusOr<std::vector<pb::Difference>> Differences(const StagedRelease& release,
                                                          pb::Slot slot, bool workers) override;
  // One entry per whole copy.
  absl::StatusOr<ObservedSlot> Observe(const std::string& app, pb::Slot slot,
                                       Cancellation* cancellation) override;

 private:
  absl::StatusOr<pb::Manifest> ManifestOf(const std::string& app, const std::string& release) const;
  // The release whose whole copy stands there; empty when there is none.
  std::string ReleaseIn(const std::string& app, pb::Slot slot) const;
  absl::Status KeepTimes(const std::string& app, pb::Slot slot, const pb::Manifest& manifest) const;
  // static_site_switch.cc
  pb::Slot LinkedTo(const std::string& app, const char* link) const;
  absl::Status PointTo(const std::string& app, const char* link, pb::Slot slot) const;
  // Both links. Where they only change places, as in going back, they do it in one step.
  absl::Status Link(const std::string& app, pb::Slot current, pb::Slot previous) const;
  // False where the file system cannot.
  bool Exchange(const std::string& app) const;
  absl::Status ProveWithin(const std::string& app, const pb::FrontDoor& door, pb::Slot slot,
                           std::chrono::nanoseconds time, pb::SwitchEvidence* evidence);
  // Both halves: the mark, and the page itself.
  absl::Status ProveSwitch(const SiteSwitch& wanted, pb::SwitchEvidence& evidence);
  // `previous` is what that link named before; answers why, and how going back went.
  absl::Status GoBack(const SiteSwitch& wanted, pb::Slot previous, const absl::Status& why,
                      SwitchOutcome& outcome);

  ReleaseStore& releases_;
  Clock& clock_;
  const Paths paths_;
  const std::chrono::nanoseconds proof_time_;
};

}  // namespace slipway::executor
