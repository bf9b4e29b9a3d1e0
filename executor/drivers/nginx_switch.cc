#include "executor/drivers/nginx_switch.h"

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
  if (status.ok())
    status = site_.mode == pb::SWITCH_MODE_MARKER ? SwitchByMarker() : SwitchByReload();
  if (status.ok()) status = KnockAtFrontDoor();
  if (!status.ok()) status = GoBack(status);
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
  const bool holds_port = loaded != 0 || base_.loaded.placeholder;
  if (first == 0 || first <= loaded || (holds_port && first % 2 == loaded % 2)) {
    return absl::InvalidArgumentError(
        absl::StrCat("generation ", request_.generation, " cannot follow the loaded ", loaded));
  }
  if (marker && request_.adopt.has_value()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   "an older version cannot be taken over in nginx mode marker",
                   "deploy once with nginx.mode: reload, then change the site and the mode");
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
  const auto proof =
      nginx_.WaitForProof(site_, {base_.loaded.generation, request_.to, {}, nullptr});
  *outcome_.evidence.mutable_first_answer() = ToProto(proof.first_answer);
  *outcome_.evidence.mutable_proven() = ToProto(proof.complete);
  if (!proof.proven) {
    return Failure(
        pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
        absl::StrCat("nginx does not see the marker ", site_.marker.string(), ": ", proof.missing),
        "its folder must be searchable by nginx's workers");
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
                   "free it, or name two other ports in nginx.proof_ports");
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
  NginxDriver::Expectation expected{file.generation, expected_slot, {}, &log};
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

absl::Status NginxTransaction::SetMarker(pb::Slot slot) {
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(site_.marker.parent_path(), 0755));
  return slot == pb::SLOT_GREEN ? WriteFileAtomically(site_.marker, "green\n")
                                : NginxDriver::RemoveFile(site_.marker);
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

}  // namespace slipway::executor
