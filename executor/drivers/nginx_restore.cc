// The ways back: after a failure inside a switch, after a crash, and from a latent switch.
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/failpoint.h"
#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/nginx_diagnose.h"
#include "executor/drivers/nginx_switch.h"
#include "executor/failure.h"

namespace slipway::executor {

absl::Status NginxTransaction::GoBack(const absl::Status& failure) {
  absl::Status back = absl::OkStatus();
  if (flipped_) {
    back = SetMarker(request_.from == pb::SLOT_UNSPECIFIED ? base_.loaded.slot : request_.from);
    if (back.ok()) {
      const auto proof =
          nginx_.WaitForProof(site_, {base_.loaded.generation, MarkedSlot(), {}, nullptr});
      if (!proof.proven) back = absl::InternalError(proof.missing);
      outcome_.loaded.slot = MarkedSlot();
    }
  } else if (wrote_) {
    back = RestoreFile();
    if (back.ok()) back = ProveRestored();
  } else {
    // Nothing was touched, or only by a step that changes no traffic and was proven. Whether that
    // serves is known unless nginx has lost a file of ours that it should have loaded.
    const bool lost = base_.loaded.generation == 0 && base_.text.has_value() &&
                      ParseManagedFile(*base_.text).value_or(ManagedFile()).generation != 0;
    outcome_.evidence.set_restored(!lost);
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
                                                 : NginxDriver::RemoveFile(site_.file));
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
  NginxDriver::Expectation expected{generation, base_.loaded.slot, {}, &log};
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
    // By the mode of the old text, which the switch may have been about to change.
    base.loaded.slot = old->mode == pb::SWITCH_MODE_MARKER ? request_.from : old->slot;
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
      nginx_.WaitForProof(site_, {loaded->generation, request_.to, {}, nullptr}).proven) {
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
  std::optional<std::string> put_back;
  if (text.has_value() && !text->empty()) {
    const auto proven = ParseManagedFile(*text);
    if (proven.ok() && proven->generation == loaded.generation) put_back = text;
  }
  if (!put_back.has_value() && loaded.generation != 0 &&
      (marker || loaded.slot != pb::SLOT_UNSPECIFIED)) {
    SLIPWAY_ASSIGN_OR_RETURN(put_back, RenderManagedFile(site.FileFor(
                                           loaded.generation, loaded.slot, options_.address)));
  }
  if (!put_back.has_value()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat(site.file.string(),
                                " is not what nginx has loaded, and nothing says what that is"),
                   "write the upstream that serves into the file, reload nginx, and deploy again");
  }
  SwitchRequest request;
  request.site = site;
  SLIPWAY_RETURN_IF_ERROR(NginxTransaction(*this, request).Restore(loaded, put_back));
  return true;
}

}  // namespace slipway::executor
