#include "executor/drivers/nginx_switch.h"

#include <cerrno>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/http_client.h"
#include "executor/drivers/nginx_diagnose.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::seconds kFrontDoorTimeout{5};

absl::Status RemoveFile(const std::filesystem::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(path.string());
  return SyncFolder(path.parent_path());
}

}  // namespace

SwitchOutcome NginxTransaction::Run() {
  const auto start = nginx_.clock_.Now();
  absl::StatusOr<LoadedConfig> loaded = nginx_.Loaded(site_);
  if (!loaded.ok()) {
    Finish(loaded.status(), start);
    return std::move(outcome_);
  }
  base_ = {*loaded, request_.old_text};
  outcome_.loaded = *loaded;
  absl::Status status = Check();
  if (status.ok()) {
    status = site_.mode == pb::SWITCH_MODE_MARKER ? SwitchByMarker() : SwitchByReload();
    if (status.ok()) status = KnockAtFrontDoor();
    if (!status.ok()) status = GoBack(status);
  }
  Finish(status, start);
  return std::move(outcome_);
}

// Refuses what would make the proof ambiguous, before anything is touched.
absl::Status NginxTransaction::Check() const {
  const uint64_t loaded = base_.loaded.generation;
  const uint64_t first = request_.generation - (request_.adopt.has_value() ? 1 : 0);
  const bool marker = site_.mode == pb::SWITCH_MODE_MARKER;
  if (site_.PortOfSlot(request_.to) == 0 || site_.proof_ports[0] == 0 ||
      site_.proof_ports[0] % 65536 == site_.proof_ports[1] % 65536 || site_.proof_ports[1] == 0) {
    return absl::InvalidArgumentError("a switch needs a slot with a port, and two proof ports");
  }
  if (first == 0 || first <= loaded || (loaded != 0 && first % 2 == loaded % 2)) {
    return absl::InvalidArgumentError(
        absl::StrCat("generation ", request_.generation, " cannot follow the loaded ", loaded));
  }
  if (marker && request_.adopt.has_value()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   "an older version cannot be taken over in nginx mode marker",
                   "Deploy once with nginx.mode: reload, then change the site and the mode.");
  }
  if (!request_.old_text.has_value()) return absl::OkStatus();
  const auto old = ParseManagedFile(*request_.old_text);
  if (old.ok() && old->generation != loaded) {
    return absl::FailedPreconditionError(absl::StrCat("the file on disk names generation ",
                                                      old->generation, ", nginx has loaded ",
                                                      loaded, ": repair the latent switch first"));
  }
  return absl::OkStatus();
}

absl::Status NginxTransaction::SwitchByReload() {
  if (base_.loaded.generation == 0 && request_.adopt.has_value()) {
    const ManagedFile adopted = AdoptedFile();
    SLIPWAY_RETURN_IF_ERROR(Commit(adopted, adopted.slot));
    // From here on going back means the adopted text: the same target, and it can be proven.
    base_ = {outcome_.loaded, AdoptedText()};
    wrote_ = reloaded_ = false;
  }
  return Commit(site_.FileFor(request_.generation, request_.to, nginx_.options_.address),
                request_.to);
}

absl::Status NginxTransaction::SwitchByMarker() {
  SLIPWAY_ASSIGN_OR_RETURN(const bool loaded, MarkerFileIsLoaded());
  if (!loaded) {
    if (request_.from != pb::SLOT_UNSPECIFIED) SLIPWAY_RETURN_IF_ERROR(SetMarker(request_.from));
    SLIPWAY_RETURN_IF_ERROR(
        Commit(site_.FileFor(request_.generation, pb::SLOT_UNSPECIFIED, nginx_.options_.address),
               MarkedSlot()));
    base_ = {outcome_.loaded, std::nullopt};
    wrote_ = reloaded_ = false;
  }
  SLIPWAY_FAILPOINT("nginx.switch.before_flip");
  flipped_ = true;
  SLIPWAY_RETURN_IF_ERROR(SetMarker(request_.to));
  SLIPWAY_FAILPOINT("nginx.switch.after_flip");
  const auto proof = nginx_.WaitForProof(site_, {base_.loaded.generation, request_.to, {}});
  *outcome_.evidence.mutable_first_answer() = ToProto(proof.first_answer);
  *outcome_.evidence.mutable_proven() = ToProto(proof.complete);
  if (!proof.proven) {
    return Failure(
        pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
        absl::StrCat("nginx does not see the marker ", site_.marker.string(), ": ", proof.missing),
        "Its folder must be searchable by nginx's workers.");
  }
  outcome_.loaded.slot = request_.to;
  SLIPWAY_FAILPOINT("nginx.switch.after_proof");
  return absl::OkStatus();
}

absl::Status NginxTransaction::Commit(const ManagedFile& file, pb::Slot expected_slot) {
  SLIPWAY_RETURN_IF_ERROR(WriteAndTest(file));
  return ReloadAndProve(file, expected_slot);
}

absl::Status NginxTransaction::WriteAndTest(const ManagedFile& file) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, RenderManagedFile(file));
  // A taken port would be the silent refusal: nginx -t and the reload answer 0, and the old workers
  // stay.
  if (!nginx_.PortIsFree(file.proof_port)) {
    return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                   absl::StrCat("the proof port ", file.address, ":", file.proof_port,
                                " is taken by another program; nothing was changed"),
                   "Free it, or name two other ports in nginx.proof_ports.");
  }
  SLIPWAY_FAILPOINT("nginx.switch.before_write");
  wrote_ = true;
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(site_.file, text));
  SLIPWAY_FAILPOINT("nginx.switch.after_write");
  const auto start = nginx_.clock_.Now();
  const absl::Status tested = nginx_.Test();
  *outcome_.evidence.mutable_nginx_test() = ToProto(nginx_.clock_.Now() - start);
  SLIPWAY_FAILPOINT("nginx.switch.after_test");
  if (tested.ok()) return absl::OkStatus();
  ++nginx_.reloads_[NginxDriver::kTestFailed];
  if (!absl::IsFailedPrecondition(tested)) return tested;
  const absl::Status explained = ExplainTestFailure(tested.message(), site_.file, site_.upstream);
  return ReasonOf(explained) == pb::FAILURE_REASON_FOREIGN_NGINX_FILE
             ? explained
             : Failure(pb::FAILURE_REASON_NGINX_TEST, explained.message(),
                       DetailOf(explained).cure());
}

absl::Status NginxTransaction::ReloadAndProve(const ManagedFile& file, pb::Slot expected_slot) {
  const ErrorLogTail log(nginx_.options_.error_log);
  // Without a generation of ours before, no port can be refused: then the workers themselves must
  // be seen to retire.
  const std::vector<ProcessId> before = nginx_.ServingWorkers();
  const auto start = nginx_.clock_.Now();
  reloaded_ = true;
  SLIPWAY_RETURN_IF_ERROR(nginx_.Reload());
  *outcome_.evidence.mutable_reload() = ToProto(nginx_.clock_.Now() - start);
  SLIPWAY_FAILPOINT("nginx.switch.after_reload");
  NginxDriver::Expectation expected{file.generation, expected_slot, {}};
  if (outcome_.loaded.generation == 0) expected.retired = before;
  const auto proof = nginx_.WaitForProof(site_, expected);
  *outcome_.evidence.mutable_first_answer() = ToProto(proof.first_answer);
  *outcome_.evidence.mutable_proven() = ToProto(proof.complete);
  if (!proof.proven) {
    ++nginx_.reloads_[NginxDriver::kNotEffective];
    for (std::string& line : log.Since()) outcome_.evidence.add_nginx_errors(std::move(line));
    const auto& errors = outcome_.evidence.nginx_errors();
    return Failure(
        pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
        absl::StrCat("nginx accepted the reload and did not carry it out (", proof.missing,
                     errors.empty() ? ")" : absl::StrCat("): ", errors[0])));
  }
  ++nginx_.reloads_[NginxDriver::kOk];
  outcome_.loaded.generation = file.generation;
  outcome_.loaded.slot = expected_slot;
  CollectOldWorkers();
  SLIPWAY_FAILPOINT("nginx.switch.after_proof");
  return absl::OkStatus();
}

// All that are shutting down now, whoever's reload it was: a foreign reload may have started
// workers with the old text after any list made before ours, and each may still pass requests to
// the old slot.
void NginxTransaction::CollectOldWorkers() {
  outcome_.old_workers.clear();
  const auto master = nginx_.proc_.NginxMaster(nginx_.options_.pid_file);
  if (!master.ok()) return;
  const auto workers = nginx_.proc_.NginxWorkers(*master);
  if (!workers.ok()) return;
  for (const NginxWorker& worker : *workers) {
    if (worker.shutting_down) outcome_.old_workers.push_back(worker.id);
  }
}

absl::Status NginxTransaction::KnockAtFrontDoor() {
  if (!request_.front_door.has_value() || request_.front_door->url().empty())
    return absl::OkStatus();
  const pb::FrontDoor& door = *request_.front_door;
  HttpRequest request;
  SLIPWAY_ASSIGN_OR_RETURN(request.endpoint, ParseHttpUrl(door.url(), &request.path));
  request.host = door.host();
  request.endpoint.server_name = door.host();
  request.timeout = kFrontDoorTimeout;
  const absl::StatusOr<HttpResponse> response = SendHttp(request);
  const int wanted = door.status() == 0 ? 200 : static_cast<int>(door.status());
  if (response.ok())
    outcome_.evidence.set_front_door_status(static_cast<uint32_t>(response->status));
  if (response.ok() && response->status == wanted) return absl::OkStatus();
  const std::string got = response.ok() ? absl::StrCat("answered ", response->status)
                                        : std::string(response.status().message());
  return Failure(pb::FAILURE_REASON_FRONT_DOOR,
                 absl::StrCat(door.url(), " (", door.host(), ") through nginx: ", got,
                              " instead of ", wanted));
}

absl::Status NginxTransaction::GoBack(const absl::Status& failure) {
  absl::Status back = absl::OkStatus();
  if (flipped_) {
    back = SetMarker(request_.from == pb::SLOT_UNSPECIFIED ? base_.loaded.slot : request_.from);
    if (back.ok()) {
      const auto proof = nginx_.WaitForProof(site_, {base_.loaded.generation, MarkedSlot(), {}});
      if (!proof.proven) back = absl::InternalError(proof.missing);
      outcome_.loaded.slot = MarkedSlot();
    }
  } else if (wrote_) {
    back = RestoreFile();
    if (back.ok()) back = ProveRestored();
  } else {
    return failure;
  }
  outcome_.evidence.set_restored(back.ok());
  const absl::Status told(
      failure.code(),
      absl::StrCat(failure.message(),
                   back.ok() ? "; what served before serves, proven"
                             : absl::StrCat("; GOING BACK IS NOT PROVEN: ", back.message())));
  absl::Status result = told;
  SetDetail(result, DetailOf(failure));
  return result;
}

absl::Status NginxTransaction::RestoreFile() {
  SLIPWAY_FAILPOINT("nginx.restore.before_write");
  SLIPWAY_RETURN_IF_ERROR(base_.text.has_value() ? WriteFileAtomically(site_.file, *base_.text)
                                                 : RemoveFile(site_.file));
  SLIPWAY_FAILPOINT("nginx.restore.after_write");
  return absl::OkStatus();
}

// The text is back on disk. A reload that was asked for and not seen may still come about (200
// sites take seconds), so the ports alone do not prove anything: the workers from before *this*
// reload must be retired too.
absl::Status NginxTransaction::ProveRestored() {
  const uint64_t generation = base_.loaded.generation;
  if (!reloaded_) {
    // nginx -t refused the text, so nobody's reload can have loaded it; spare the clients' idle
    // connections.
    const absl::StatusOr<LoadedConfig> now = nginx_.Loaded(site_);
    if (now.ok() && now->generation == generation) return absl::OkStatus();
  }
  const absl::Status tested = nginx_.Test();
  const ErrorLogTail log(nginx_.options_.error_log);
  NginxDriver::Expectation expected{generation, base_.loaded.slot, {}};
  if (tested.ok()) expected.retired = nginx_.ServingWorkers();
  const absl::Status asked = tested.ok() ? nginx_.Reload() : absl::OkStatus();
  SLIPWAY_FAILPOINT("nginx.restore.after_reload");
  const auto proof = nginx_.WaitForProof(site_, expected);
  if (proof.proven) {
    ++nginx_.reloads_[NginxDriver::kOk];
    outcome_.loaded = base_.loaded;
    return absl::OkStatus();
  }
  ++nginx_.reloads_[NginxDriver::kNotEffective];
  const std::vector<std::string> errors = log.Since();
  for (const std::string& line : errors) outcome_.evidence.add_nginx_errors(line);
  // nginx refused this reload too and said so: then what is loaded has never changed, and the ports
  // tell what that is.
  const absl::StatusOr<LoadedConfig> now = nginx_.Loaded(site_);
  if (now.ok()) outcome_.loaded = *now;
  if (now.ok() && now->generation == generation && (!errors.empty() || !tested.ok())) {
    return absl::OkStatus();
  }
  if (!asked.ok()) return asked;
  return Failure(pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
                 absl::StrCat("after going back, ", proof.missing));
}

absl::Status NginxTransaction::SetMarker(pb::Slot slot) {
  return slot == pb::SLOT_GREEN ? WriteFileAtomically(site_.marker, "green\n")
                                : RemoveFile(site_.marker);
}

pb::Slot NginxTransaction::MarkedSlot() const {
  return access(site_.marker.c_str(), F_OK) == 0 ? pb::SLOT_GREEN : pb::SLOT_BLUE;
}

absl::StatusOr<bool> NginxTransaction::MarkerFileIsLoaded() const {
  const uint64_t loaded = base_.loaded.generation;
  if (loaded == 0) return false;
  const auto wanted =
      RenderManagedFile(site_.FileFor(loaded, pb::SLOT_UNSPECIFIED, nginx_.options_.address));
  if (!wanted.ok()) return wanted.status();
  const auto text = ReadFile(site_.file);
  return text.ok() && *text == *wanted;
}

bool NginxTransaction::NewTextIsOnDisk() const {
  const auto wanted =
      RenderManagedFile(site_.FileFor(request_.generation, request_.to, nginx_.options_.address));
  const auto text = ReadFile(site_.file);
  return wanted.ok() && text.ok() && *text == *wanted;
}

ManagedFile NginxTransaction::AdoptedFile() const {
  ManagedFile file = site_.FileFor(request_.generation - 1, request_.from, request_.adopt->address);
  file.port = request_.adopt->port;
  return file;
}

std::optional<std::string> NginxTransaction::AdoptedText() const {
  const auto text = RenderManagedFile(AdoptedFile());
  return text.ok() ? std::optional(*text) : std::nullopt;
}

NginxTransaction::Base NginxTransaction::BaseForRecovery(const LoadedConfig& loaded) const {
  Base base{loaded, request_.old_text};
  base.loaded.generation = 0;
  base.loaded.slot = pb::SLOT_UNSPECIFIED;
  if (request_.adopt.has_value() && loaded.generation + 1 >= request_.generation) {
    base.loaded.generation = request_.generation - 1;
    base.loaded.slot = request_.from;
    base.text = AdoptedText();
    return base;
  }
  if (!request_.old_text.has_value()) return base;
  if (const auto old = ParseManagedFile(*request_.old_text); old.ok()) {
    base.loaded.generation = old->generation;
    base.loaded.slot = site_.mode == pb::SWITCH_MODE_MARKER ? request_.from : old->slot;
  }
  return base;
}

SwitchOutcome NginxTransaction::Recover() {
  const auto start = nginx_.clock_.Now();
  const absl::StatusOr<LoadedConfig> loaded = nginx_.Loaded(site_);
  if (!loaded.ok()) {
    Finish(loaded.status(), start);
    return std::move(outcome_);
  }
  outcome_.loaded = *loaded;
  base_ = BaseForRecovery(*loaded);
  const bool marker = site_.mode == pb::SWITCH_MODE_MARKER;
  // The old text on disk under a loaded new generation: it was going back already when it was
  // killed.
  const bool right_file = marker ? MarkerFileIsLoaded().value_or(false)
                                 : loaded->generation == request_.generation && NewTextIsOnDisk();
  absl::Status status = absl::InternalError("the switch was interrupted");
  if (right_file && loaded->slot == request_.to &&
      nginx_.WaitForProof(site_, {loaded->generation, request_.to, {}}).proven) {
    CollectOldWorkers();
    status = KnockAtFrontDoor();
  }
  if (!status.ok()) {
    // In mode marker the marker alone says who serves, unless the crash came while the file itself
    // was changed.
    flipped_ = marker && right_file;
    wrote_ = !flipped_;
    reloaded_ = true;
    if (flipped_) base_.loaded = *loaded;
    if (wrote_ && marker && request_.from != pb::SLOT_UNSPECIFIED) {
      if (const absl::Status marked = SetMarker(request_.from); !marked.ok()) status = marked;
    }
    status = GoBack(status);
  }
  Finish(status, start);
  return std::move(outcome_);
}

absl::Status NginxTransaction::Restore(const LoadedConfig& serving,
                                       const std::optional<std::string>& text) {
  base_ = {serving, text};
  reloaded_ = true;
  SLIPWAY_RETURN_IF_ERROR(RestoreFile());
  return ProveRestored();
}

void NginxTransaction::Finish(const absl::Status& status, Clock::Monotonic start) {
  outcome_.status = status;
  outcome_.evidence.set_from(request_.from);
  outcome_.evidence.set_to(request_.to);
  outcome_.evidence.set_generation(request_.generation);
  *outcome_.evidence.mutable_total() = ToProto(nginx_.clock_.Now() - start);
}

SwitchOutcome NginxDriver::Switch(const SwitchRequest& request) {
  return NginxTransaction(*this, request).Run();
}

SwitchOutcome NginxDriver::Recover(const SwitchRequest& request) {
  return NginxTransaction(*this, request).Recover();
}

absl::StatusOr<bool> NginxDriver::RepairLatentSwitch(const NginxSite& site,
                                                     const std::optional<std::string>& text) {
  SLIPWAY_ASSIGN_OR_RETURN(const LoadedConfig loaded, Loaded(site));
  const absl::StatusOr<std::string> on_disk = ReadFile(site.file);
  const auto file = on_disk.ok() ? ParseManagedFile(*on_disk) : on_disk.status();
  const bool marker = site.mode == pb::SWITCH_MODE_MARKER;
  if (loaded.generation == 0 && !file.ok()) return false;
  if (file.ok() && file->generation == loaded.generation && (marker || file->slot == loaded.slot)) {
    return false;
  }
  std::optional<std::string> put_back = text;
  if (!put_back.has_value() && loaded.generation != 0 &&
      (marker || loaded.slot != pb::SLOT_UNSPECIFIED)) {
    SLIPWAY_ASSIGN_OR_RETURN(put_back, RenderManagedFile(site.FileFor(
                                           loaded.generation, loaded.slot, options_.address)));
  }
  if (!put_back.has_value()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat(site.file.string(),
                                " is not what nginx has loaded, and nothing says what that is"),
                   "Write the upstream that serves into the file, reload nginx, and deploy again.");
  }
  SwitchRequest request;
  request.site = site;
  SLIPWAY_RETURN_IF_ERROR(NginxTransaction(*this, request).Restore(loaded, put_back));
  return true;
}

}  // namespace slipway::executor
