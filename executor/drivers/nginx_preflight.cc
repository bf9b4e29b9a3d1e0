// nginx before anything is touched, and the commands that the switch runs.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/evidence_text.h"
#include "executor/drivers/nginx.h"
#include "executor/drivers/nginx_diagnose.h"
#include "executor/failure.h"

namespace slipway::executor {

absl::StatusOr<ProcessResult> NginxDriver::RunTest(absl::string_view flag) {
  Command command;
  command.argv = options_.test;
  std::replace(command.argv.begin(), command.argv.end(), std::string("-t"), std::string(flag));
  return runner_.Run(command);
}

absl::Status NginxDriver::Test() {
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult result, RunTest("-t"));
  if (result.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(result.standard_error);
}

absl::Status NginxDriver::Reload() {
  Command command;
  command.argv = options_.reload;
  absl::StatusOr<ProcessResult> result = runner_.Run(command);
  if (result.ok() && result->ok()) return absl::OkStatus();
  ++reloads_[kExitFailed];
  if (!result.ok()) return Annotate(result.status(), "nginx reload");
  return Failure(pb::FAILURE_REASON_RELOAD_NOT_EFFECTIVE,
                 absl::StrCat(command.ToString(), " ended with ", result->exit_code, ": ",
                              EvidenceText(result->standard_error, 512)),
                 "check that nginx runs and that the executor's user may reload it");
}

absl::Status NginxDriver::NotRunning() const {
  return Failure(pb::FAILURE_REASON_PREFLIGHT,
                 absl::StrCat("nginx is not running (", options_.pid_file.string(), ")"),
                 "start nginx, or set the path of its pid file in the executor's configuration");
}

absl::StatusOr<NginxPreflight> NginxDriver::Preflight(const NginxSite& site) {
  NginxPreflight found;
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult version, RunTest("-v"));
  const size_t slash = version.standard_error.find("nginx/");
  if (slash != std::string::npos) {
    found.nginx_version =
        EvidenceText(version.standard_error.substr(
                         slash + 6, version.standard_error.find_first_of(" \n", slash) - slash - 6),
                     64);
  }
  if (auto text = ReadFile(site.file); text.ok()) found.file_text = *std::move(text);
  if (const std::string owner = AppOfManagedFile(found.file_text.value_or(""));
      !owner.empty() && owner != site.app) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat(site.file.string(), " belongs to the application ", owner),
                   "give this one an nginx.file and an nginx.upstream of its own");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult test, RunTest("-t"));
  if (!test.ok()) {
    found.waits_for_first_file =
        !found.file_text.has_value() &&
        ComplainsOfMissingFile(test.standard_error, site.file, site.upstream);
    if (!found.waits_for_first_file) {
      return ExplainTestFailure(test.standard_error, site.file, site.upstream);
    }
  }
  if (!proc_.NginxMaster(options_.pid_file).ok()) {
    return NotRunning();
  }
  SLIPWAY_ASSIGN_OR_RETURN(found.loaded, Loaded(site));
  for (const uint32_t port : site.proof_ports) {
    const bool ours = found.loaded.generation != 0 || found.loaded.placeholder;
    const bool serves = ours && port == site.ProofPort(found.loaded.generation);
    if (!serves && !PortIsFree(port)) {
      return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                     absl::StrCat("the proof port ", options_.address, ":", port, " of ", site.app,
                                  " is taken by another program"),
                     "free it, or name two other ports in nginx.proof_ports");
    }
  }
  if (found.file_text.has_value()) {
    if (const auto ours = ParseManagedFile(*found.file_text); ours.ok()) {
      found.latent_switch =
          ours->generation != found.loaded.generation ||
          (ours->mode == pb::SWITCH_MODE_RELOAD && ours->slot != found.loaded.slot);
    } else if (found.loaded.generation == 0 && absl::IsNotFound(ours.status())) {
      const auto foreign = ParseForeignUpstream(*found.file_text, site.upstream);
      if (absl::IsInvalidArgument(foreign.status())) {
        return Failure(
            pb::FAILURE_REASON_PREFLIGHT,
            absl::StrCat(site.file.string(), " is not one that can be taken over: ",
                         std::string(foreign.status().message())),
            absl::StrCat("let it hold `upstream ", site.upstream,
                         " { server 127.0.0.1:PORT; }` and nothing else, or name another file"));
      }
      if (foreign.ok()) found.adoptable = *foreign;
    }
  }
  if (!found.waits_for_first_file) SLIPWAY_RETURN_IF_ERROR(CheckIncluded(site, found));
  return found;
}

std::vector<std::string> NginxDriver::FixedPasses(const NginxSite& site,
                                                  const std::vector<uint32_t>& ports) {
  std::vector<std::string> found;
  const auto dump = RunTest("-T");
  if (!dump.ok()) return found;
  for (const FixedPass& pass : FindFixedPasses(dump->standard_output, site.file, ports)) {
    found.push_back(absl::StrCat(pass.place, ": ", pass.directive));
  }
  return found;
}

absl::Status NginxDriver::CheckIncluded(const NginxSite& site, const NginxPreflight& found) {
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult dump, RunTest("-T"));
  // A user who may not ask nginx for its configuration learns from the proof whether the file counts, and not before.
  if (dump.standard_output.find("# configuration file ") == std::string::npos) {
    return absl::OkStatus();
  }
  const bool marker = site.mode == pb::SWITCH_MODE_MARKER;
  const ConfigUse use = ParseConfigDump(dump.standard_output, site.file, site.upstream, marker);
  if (found.file_text.has_value() && !use.included) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat("nginx's configuration does not include ", site.file.string()),
                   absl::StrCat("add `include ", site.file.string(),
                                ";` to the http block or beside the "
                                "site's server block"));
  }
  // Sites may come after the file before anything serves.
  const bool placeholder =
      found.file_text == RenderManagedFile(site.Placeholder(options_.address)).value_or("");
  if (found.file_text.has_value() && !placeholder && !use.passed_to &&
      (!marker || found.loaded.generation != 0)) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat("no site passes its requests to the upstream ", site.upstream),
                   absl::StrCat("use `proxy_pass http://", site.upstream, marker ? "_$slot" : "",
                                ";` in the site's location"));
  }
  const auto fixed =
      FindFixedPasses(dump.standard_output, site.file, {site.blue_port, site.green_port});
  if (!fixed.empty()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat(fixed.front().place, " sends requests to a slot's own port (",
                                fixed.front().directive, "), where no switch reaches them"),
                   absl::StrCat("write `proxy_pass http://", site.upstream, marker ? "_$slot" : "",
                                ";` there and reload nginx"));
  }
  if (marker && use.caches_files) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   "open_file_cache is on, so that nginx would see the marker file late",
                   "turn open_file_cache off for this site, or use nginx.mode: reload");
  }
  return absl::OkStatus();
}

}  // namespace slipway::executor
