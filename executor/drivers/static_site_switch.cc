// The link of a static site, and nginx's word for it.
#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/durations.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/http_client.h"
#include "executor/drivers/static_site.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kLookTime{2};
constexpr milliseconds kFirstPause{2};
constexpr milliseconds kLongestPause{100};

absl::StatusOr<HttpResponse> Ask(const pb::FrontDoor& door, absl::string_view page) {
  HttpRequest request;
  SLIPWAY_ASSIGN_OR_RETURN(request.endpoint, ParseHttpUrl(door.url(), &request.path));
  absl::StrAppend(&request.path, page);
  request.host = door.host();
  request.endpoint.server_name = door.host();
  request.timeout = kLookTime;
  return SendHttp(request);
}

std::string Said(const absl::StatusOr<HttpResponse>& answer, bool with_body) {
  if (!answer.ok()) return std::string(answer.status().message());
  return absl::StrCat("answered ", answer->status,
                      with_body && answer->status == 200
                          ? absl::StrCat(" with '", answer->body.substr(0, 60), "'")
                          : "");
}

// The outermost folder of the path that is closed to others; empty when there is none.
fs::path FirstClosedFolder(const fs::path& path) {
  fs::path at;
  for (const fs::path& part : path) {
    at /= part;
    std::error_code error;
    const fs::perms mode = fs::status(at, error).permissions();
    if (!error && (mode & fs::perms::others_exec) == fs::perms::none) return at;
  }
  return "";
}

}  // namespace

pb::Slot StaticSite::Serving(const std::string& app) const { return LinkedTo(app, kSiteCurrent); }

pb::Slot StaticSite::LinkedTo(const std::string& app, const char* link) const {
  std::error_code error;
  const fs::path target = fs::read_symlink(paths_.Site(app) / link, error);
  for (const pb::Slot slot : {pb::SLOT_BLUE, pb::SLOT_GREEN}) {
    if (target == SlotWord(slot)) return slot;
  }
  return pb::SLOT_UNSPECIFIED;
}

// Made beside and renamed over the old one, so that there is always one; with no slot it is removed.
absl::Status StaticSite::PointTo(const std::string& app, const char* link, pb::Slot slot) const {
  const fs::path folder = paths_.Site(app);
  std::error_code error;
  if (slot == pb::SLOT_UNSPECIFIED) {
    fs::remove(folder / link, error);
  } else {
    const fs::path fresh = folder / absl::StrCat(link, ".new");
    fs::remove(fresh, error);
    fs::create_symlink(SlotWord(slot), fresh, error);
    if (!error) fs::rename(fresh, folder / link, error);
  }
  if (error)
    return absl::InternalError(absl::StrCat((folder / link).string(), ": ", error.message()));
  return SyncFolder(folder);
}

absl::Status StaticSite::Link(const std::string& app, pb::Slot current, pb::Slot previous) const {
  const pb::Slot serving = LinkedTo(app, kSiteCurrent);
  if (serving == previous && LinkedTo(app, kSitePrevious) == current &&
      current != pb::SLOT_UNSPECIFIED && Exchange(app)) {
    return SyncFolder(paths_.Site(app));
  }
  // Each copy that was behind a link stays behind one: what answers for the old pages goes first when it is to be what serves now.
  if (serving == previous) {
    SLIPWAY_RETURN_IF_ERROR(PointTo(app, kSitePrevious, previous));
    return PointTo(app, kSiteCurrent, current);
  }
  SLIPWAY_RETURN_IF_ERROR(PointTo(app, kSiteCurrent, current));
  return PointTo(app, kSitePrevious, previous);
}

bool StaticSite::Exchange(const std::string& app) const {
  const fs::path folder = paths_.Site(app);
  return renameat2(AT_FDCWD, (folder / kSiteCurrent).c_str(), AT_FDCWD,
                   (folder / kSitePrevious).c_str(), RENAME_EXCHANGE) == 0;
}

absl::Status StaticSite::ProveWithin(const std::string& app, const pb::FrontDoor& door,
                                     pb::Slot slot, nanoseconds time,
                                     pb::SwitchEvidence* evidence) {
  const auto start = clock_.Now();
  const std::string wanted = SiteMark(app, ReleaseIn(app, slot), slot);
  for (nanoseconds pause = kFirstPause;; pause = std::min<nanoseconds>(pause * 2, kLongestPause)) {
    const auto answer = Ask(door, kSiteMark);
    const nanoseconds waited = clock_.Now() - start;
    if (answer.ok() && answer->status == 200 && answer->body == wanted) {
      if (evidence == nullptr) return absl::OkStatus();
      *evidence->mutable_first_answer() = ToProto(waited);
      *evidence->mutable_proven() = ToProto(waited);
      return absl::OkStatus();
    }
    if (waited > time) {
      const fs::path root = paths_.Site(app) / kSiteCurrent;
      const fs::path closed = FirstClosedFolder(paths_.SiteCopy(app, slot));
      return Failure(
          pb::FAILURE_REASON_FRONT_DOOR,
          absl::StrCat(door.url(), kSiteMark, " (", door.host(), ") through nginx: ",
                       Said(answer, true), " instead of '", absl::StripSuffix(wanted, "\n"), "'"),
          closed.empty()
              ? absl::StrCat("the server block must say `root ", root.string(), ";`")
              : absl::StrCat(
                    "nginx's workers may not enter ", closed.string(),
                    ": chmod o+x there, or let the executor's `sites` name another folder"));
    }
    clock_.SleepFor(pause);
  }
}

absl::Status StaticSite::Prove(const std::string& app, const pb::FrontDoor& door, pb::Slot slot) {
  return ProveWithin(app, door, slot, std::min<nanoseconds>(kLookTime, proof_time_), nullptr);
}

absl::Status StaticSite::Preflight(const pb::ApplicationSpec& spec) {
  const pb::FrontDoor& door = spec.site().front_door();
  if (const auto answer = Ask(door, ""); !answer.ok()) {
    return Failure(
        pb::FAILURE_REASON_PREFLIGHT,
        absl::StrCat("nobody answers at ", door.url(), ": ", Said(answer, false)),
        "site.front_door names the address and port that nginx listens on; is nginx up?");
  }
  const pb::Slot serving = Serving(spec.app());
  if (serving == pb::SLOT_UNSPECIFIED || ReleaseIn(spec.app(), serving).empty()) {
    return absl::OkStatus();
  }
  return Annotate(Prove(spec.app(), door, serving), "nginx does not serve what it should by now");
}

absl::Status StaticSite::ProveSwitch(const SiteSwitch& wanted, pb::SwitchEvidence& evidence) {
  const pb::FrontDoor& door = wanted.front_door;
  SLIPWAY_RETURN_IF_ERROR(ProveWithin(wanted.app, door, wanted.to, proof_time_, &evidence));
  const auto page = Ask(door, "");
  if (page.ok()) evidence.set_front_door_status(static_cast<uint32_t>(page->status));
  if (page.ok() && page->status == static_cast<int>(door.status())) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_FRONT_DOOR,
                 absl::StrCat(door.url(), " (", door.host(), ") through nginx: ", Said(page, false),
                              " instead of ", door.status()));
}

SwitchOutcome StaticSite::Switch(const SiteSwitch& wanted) {
  SwitchOutcome outcome;
  outcome.evidence.set_from(wanted.from);
  outcome.evidence.set_to(wanted.to);
  outcome.evidence.set_generation(wanted.generation);
  const auto start = clock_.Now();
  const pb::Slot previous = LinkedTo(wanted.app, kSitePrevious);
  const auto change = [&]() -> absl::Status {
    SLIPWAY_RETURN_IF_ERROR(Link(wanted.app, wanted.to, wanted.from));
    SLIPWAY_FAILPOINT("executor.switch.linked");
    return ProveSwitch(wanted, outcome.evidence);
  };
  outcome.status = change();
  if (!outcome.status.ok()) outcome.status = GoBack(wanted, previous, outcome.status, outcome);
  *outcome.evidence.mutable_total() = ToProto(clock_.Now() - start);
  return outcome;
}

SwitchOutcome StaticSite::Recover(const SiteSwitch& wanted) {
  SwitchOutcome outcome;
  outcome.evidence.set_from(wanted.from);
  outcome.evidence.set_to(wanted.to);
  outcome.evidence.set_generation(wanted.generation);
  outcome.status = Serving(wanted.app) == wanted.to
                       ? ProveSwitch(wanted, outcome.evidence)
                       : absl::AbortedError("the link had not been changed yet");
  if (outcome.status.ok()) return outcome;
  // What `previous` named is not known any more; nobody needs it for more than old pages.
  outcome.status = GoBack(wanted, pb::SLOT_UNSPECIFIED, outcome.status, outcome);
  return outcome;
}

absl::Status StaticSite::GoBack(const SiteSwitch& wanted, pb::Slot previous,
                                const absl::Status& why, SwitchOutcome& outcome) {
  absl::Status back = Link(wanted.app, wanted.from, previous);
  if (back.ok() && wanted.from != pb::SLOT_UNSPECIFIED) {
    back = ProveWithin(wanted.app, wanted.front_door, wanted.from, proof_time_, nullptr);
  }
  outcome.evidence.set_restored(back.ok());
  if (back.ok()) return why;
  return Annotate(why, absl::StrCat("NOT TAKEN BACK (", std::string(back.message()), ")"));
}

}  // namespace slipway::executor
