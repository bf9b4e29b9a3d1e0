#include "tests/walk/simulated_nginx.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "executor/drivers/nginx_render.h"
#include "executor/steps/local_port.h"

namespace slipway::testing {
namespace {

namespace fs = std::filesystem;
using executor::ManagedFile;
using executor::ProcessResult;

constexpr int kMaster = 4242;

std::string UpstreamOf(const std::string& app) { return absl::StrCat(app, "_backend"); }

std::string AppOf(const std::string& path) { return fs::path(path).stem().string(); }

bool GreenIsMarked(const ManagedFile& file) { return fs::exists(file.marker); }

TinyServer::Answer Answer(const ManagedFile& file) {
  const pb::Slot slot = file.mode != pb::SWITCH_MODE_MARKER ? file.slot
                        : GreenIsMarked(file)               ? pb::SLOT_GREEN
                                                            : pb::SLOT_BLUE;
  const std::string word = slot == pb::SLOT_BLUE    ? "blue"
                           : slot == pb::SLOT_GREEN ? "green"
                                                    : "none";
  return {200, absl::StrCat(file.app, " ", file.generation, " ", word, "\n"), "", "", false};
}

}  // namespace

SimulatedNginx::SimulatedNginx(fs::path folder, std::string address, EffectGate gate)
    : folder_(std::move(folder)), address_(std::move(address)), gate_(std::move(gate)) {
  fs::create_directories(folder_ / "conf.d");
  fs::create_directories(folder_ / "proc/net");
  std::ofstream(folder_ / "proc/net/tcp") << "  sl  local_address rem_address   st\n";
  std::ofstream(folder_ / "nginx.pid") << kMaster << "\n";
  std::ofstream(folder_ / "error.log").flush();
}

executor::NginxOptions SimulatedNginx::Options() const {
  executor::NginxOptions options;
  options.pid_file = folder_ / "nginx.pid";
  options.error_log = folder_ / "error.log";
  options.address = address_;
  return options;
}

fs::path SimulatedNginx::FileOf(const std::string& app) const {
  return folder_ / "conf.d" / absl::StrCat(app, ".conf");
}

SimulatedNginx::Files SimulatedNginx::ReadFiles() const {
  Files files;
  for (const auto& entry : fs::directory_iterator(folder_ / "conf.d")) {
    if (entry.path().extension() != ".conf") continue;
    files[entry.path().string()] = ReadFile(entry.path()).value_or("");
  }
  return files;
}

std::string SimulatedNginx::Complaint(const Files& files) const {
  for (const auto& [path, text] : files) {
    if (executor::ParseManagedFile(text).ok()) continue;
    if (executor::ParseForeignUpstream(text, UpstreamOf(AppOf(path))).ok()) continue;
    return absl::StrCat("nginx: [emerg] unknown directive \"x\" in ", path, ":1\n");
  }
  return "";
}

absl::StatusOr<ProcessResult> SimulatedNginx::Run(const executor::Command& command) {
  const std::string flag = command.argv.back();
  const bool reload = flag == "reload";
  if (!gate_(reload ? "nginx reload" : absl::StrCat("nginx ", flag))) {
    return absl::UnavailableError("the program was not started");
  }
  ProcessResult result;
  if (flag == "-v") {
    result.standard_error = "nginx version: nginx/1.22.1\n";
    return result;
  }
  const Files files = ReadFiles();
  result.standard_error = Complaint(files);
  if (!result.standard_error.empty() || (reload && !running_)) {
    result.exit_code = 1;
    return result;
  }
  if (flag == "-T") {
    for (const auto& [path, text] : files) {
      absl::StrAppend(&result.standard_output, "# configuration file ", path, ":\n", text);
      const std::string upstream = UpstreamOf(AppOf(path));
      absl::StrAppend(&result.standard_output, "server { location / { proxy_pass http://", upstream,
                      "; } location /m { proxy_pass http://", upstream, "_$slot; } }\n");
    }
  }
  if (reload && !refuse_ && !Load(files)) Log("[emerg] still could not bind()");
  if (reload && refuse_) Log("[emerg] still could not bind()");
  return result;
}

bool SimulatedNginx::Load(const Files& files) {
  std::map<uint32_t, ManagedFile> wanted;
  for (const auto& [path, text] : files) {
    const auto file = executor::ParseManagedFile(text);
    if (file.ok()) wanted[file->proof_port] = *file;
  }
  for (const auto& [port, file] : wanted) {
    if (!proofs_.contains(port) && !executor::PortIsFree(address_, port)) return false;
  }
  // A generation's port is never another's too, so that what listens already says the same, unless
  // the file was replaced by hand.
  proofs_.clear();
  for (const auto& [port, file] : wanted) {
    proofs_[port] =
        std::make_unique<TinyServer>(address_, static_cast<uint16_t>(port),
                                     [file = file](const std::string&) { return Answer(file); });
  }
  loaded_ = files;
  return true;
}

void SimulatedNginx::Start() {
  const Files files = ReadFiles();
  if (running_ || !Complaint(files).empty() || !Load(files)) return;
  running_ = true;
  const fs::path process = folder_ / "proc" / absl::StrCat(kMaster);
  fs::create_directories(process);
  std::ofstream(process / "stat") << kMaster
                                  << " (nginx) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0\n";
  std::ofstream(process / "cmdline") << "nginx: master process";
}

void SimulatedNginx::Stop() {
  running_ = false;
  proofs_.clear();
  loaded_.clear();
  fs::remove_all(folder_ / "proc" / absl::StrCat(kMaster));
}

void SimulatedNginx::ReloadByOthers() {
  const Files files = ReadFiles();
  if (running_ && !refuse_ && Complaint(files).empty()) Load(files);
}

uint32_t SimulatedNginx::PortFor(const std::string& app) const {
  const auto found = loaded_.find(FileOf(app).string());
  if (!running_ || found == loaded_.end()) return 0;
  const auto file = executor::ParseManagedFile(found->second);
  if (!file.ok()) {
    const auto foreign = executor::ParseForeignUpstream(found->second, UpstreamOf(app));
    return foreign.ok() ? foreign->port : 0;
  }
  if (file->mode != pb::SWITCH_MODE_MARKER) return file->port;
  return GreenIsMarked(*file) ? file->green_port : file->blue_port;
}

void SimulatedNginx::Log(const std::string& line) const {
  std::ofstream(folder_ / "error.log", std::ios::app)
      << "2026/01/01 00:00:00 " << line << " 4242#4242: reload\n";
}

}  // namespace slipway::testing
