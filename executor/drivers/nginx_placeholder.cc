// The managed file of an application that was never deployed here.
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/nginx.h"
#include "executor/drivers/nginx_diagnose.h"
#include "executor/failure.h"

namespace slipway::executor {

absl::Status NginxDriver::LoadPlaceholder(const NginxSite& site, PlacedFile& placed) {
  if (const absl::Status tested = Test(); !tested.ok()) {
    if (!absl::IsFailedPrecondition(tested)) return tested;
    const absl::Status explained = ExplainTestFailure(tested.message(), site.file, site.upstream);
    if (ReasonOf(explained) != pb::FAILURE_REASON_FOREIGN_NGINX_FILE) return explained;
    placed.waits_for = explained;
    return absl::OkStatus();
  }
  NginxPreflight found;
  found.file_text = ReadFile(site.file).value_or("");
  SLIPWAY_RETURN_IF_ERROR(CheckIncluded(site, found));
  if (!proc_.NginxMaster(options_.pid_file).ok()) {
    placed.waits_for = NotRunning();
    return absl::OkStatus();
  }
  const ErrorLogTail log(options_.error_log);
  SLIPWAY_RETURN_IF_ERROR(Reload());
  const Proof proof = WaitForProof(site, {0, pb::SLOT_UNSPECIFIED, {}, &log, true});
  if (!proof.proven) {
    ++reloads_[kNotEffective];
    return Failure(
        pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
        absl::StrCat("nginx accepted the reload and did not carry it out (", proof.missing, ")"));
  }
  ++reloads_[kOk];
  placed.loaded = true;
  return absl::OkStatus();
}

absl::StatusOr<PlacedFile> NginxDriver::PlacePlaceholder(const NginxSite& site) {
  PlacedFile placed;
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text,
                           RenderManagedFile(site.Placeholder(options_.address)));
  const absl::StatusOr<std::string> on_disk = ReadFile(site.file);
  if (!on_disk.ok() && !absl::IsNotFound(on_disk.status())) return on_disk.status();
  if (on_disk.ok() && *on_disk != text) return placed;
  SLIPWAY_ASSIGN_OR_RETURN(const LoadedConfig loaded, Loaded(site));
  if (loaded.generation != 0) return placed;
  placed.written = true;
  placed.loaded = loaded.placeholder;
  if (on_disk.ok() && loaded.placeholder) return placed;
  if (!loaded.placeholder && !PortIsFree(site.ProofPort(0))) {
    return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                   absl::StrCat("the proof port ", options_.address, ":", site.ProofPort(0), " of ",
                                site.app, " is taken by another program"),
                   "free it, or name two other ports in nginx.proof_ports");
  }
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(site.file, text));
  const absl::Status done = LoadPlaceholder(site, placed);
  if (done.ok()) return placed;
  // A reload that was asked for may still come about: nginx is told that the file is gone.
  const absl::Status removed = RemoveFile(site.file);
  if (!removed.ok()) return Annotate(done, removed.message());
  if (Test().ok()) Reload().IgnoreError();
  return done;
}

absl::Status NginxDriver::RemovePlaceholder(const NginxSite& site) {
  const auto file = ParseManagedFile(ReadFile(site.file).value_or(""));
  if (!file.ok() || file->generation != 0 || file->app != site.app) return absl::OkStatus();
  return RemoveFile(site.file);
}

}  // namespace slipway::executor
