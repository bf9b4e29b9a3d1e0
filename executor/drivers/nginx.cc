#include "executor/drivers/nginx.h"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {

NginxSite NginxSite::Of(const pb::ApplicationSpec& spec, const std::filesystem::path& marker) {
  NginxSite site;
  site.app = spec.app();
  site.upstream = spec.nginx().upstream();
  site.file = spec.nginx().file();
  site.keepalive = spec.nginx().keepalive();
  site.mode = spec.nginx().mode() == pb::SWITCH_MODE_MARKER ? pb::SWITCH_MODE_MARKER
                                                            : pb::SWITCH_MODE_RELOAD;
  site.marker =
      spec.nginx().marker().empty() ? marker : std::filesystem::path(spec.nginx().marker());
  for (int i = 0; i < std::min(2, spec.nginx().proof_ports_size()); ++i) {
    site.proof_ports[static_cast<size_t>(i)] = spec.nginx().proof_ports(i);
  }
  site.blue_port = spec.slots().blue();
  site.green_port = spec.slots().green();
  return site;
}

uint32_t NginxSite::PortOfSlot(pb::Slot slot) const {
  return slot == pb::SLOT_BLUE ? blue_port : slot == pb::SLOT_GREEN ? green_port : 0;
}

ManagedFile NginxSite::FileFor(uint64_t generation, pb::Slot slot,
                               absl::string_view address) const {
  ManagedFile managed;
  managed.app = app;
  managed.upstream = upstream;
  managed.address = std::string(address);
  managed.generation = generation;
  managed.proof_port = ProofPort(generation);
  managed.keepalive = keepalive;
  managed.mode = mode;
  if (mode == pb::SWITCH_MODE_MARKER) {
    managed.blue_port = blue_port;
    managed.green_port = green_port;
    managed.marker = marker.string();
  } else {
    managed.slot = slot;
    managed.port = PortOfSlot(slot);
  }
  return managed;
}

ManagedFile NginxSite::Placeholder(absl::string_view address) const {
  ManagedFile managed;
  managed.app = app;
  managed.upstream = upstream;
  managed.address = std::string(address);
  managed.proof_port = ProofPort(0);
  managed.port = managed.proof_port;
  managed.keepalive = keepalive;
  return managed;
}

uint64_t NextGeneration(uint64_t loaded, uint64_t highest_written, bool adopt) {
  uint64_t next = std::max(loaded, highest_written) + (adopt ? 2 : 1);
  if ((loaded != 0 || !adopt) && next % 2 == loaded % 2) ++next;
  return next;
}

NginxDriver::NginxDriver(ProcessRunner& runner, Clock& clock, NginxOptions options, ProcReader proc)
    : runner_(runner), clock_(clock), options_(std::move(options)), proc_(std::move(proc)) {}

absl::Status NginxDriver::RemoveFile(const std::filesystem::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(path.string());
  return SyncFolder(path.parent_path());
}

uint32_t NginxDriver::OldWorkers() {
  const auto master = proc_.NginxMaster(options_.pid_file);
  if (!master.ok()) return 0;
  const auto workers = proc_.NginxWorkers(*master);
  if (!workers.ok()) return 0;
  return static_cast<uint32_t>(std::count_if(workers->begin(), workers->end(),
                                             [](const NginxWorker& w) { return w.shutting_down; }));
}

std::map<std::string, uint64_t> NginxDriver::ReloadCounters() const {
  return {{"ok", reloads_[kOk].load()},
          {"test_failed", reloads_[kTestFailed].load()},
          {"exit_failed", reloads_[kExitFailed].load()},
          {"not_effective", reloads_[kNotEffective].load()}};
}

}  // namespace slipway::executor
