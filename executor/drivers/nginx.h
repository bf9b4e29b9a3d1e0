// The host's nginx: what it has loaded, and how an application's slot is changed in it with proof.
//
// Exit codes prove nothing: nginx answers 0 and keeps the old configuration when the new one cannot
// be applied. So each managed file carries a proof server on a loopback port that answers its
// generation, and nothing counts but its answer on fresh connections (see nginx_render.h for the
// file).
//
// Two proof ports in turn: generation G listens on port[G mod 2]. A switch from L to G is proven
// when port[G mod 2] answers G and port[L mod 2] is *refused*: an old worker closes all its
// listening sockets in one step, so the refusal says that no old worker accepts anywhere any more.
// It follows that G must be of the other parity than L, the generation that is *loaded*; and, so
// that an answer can never be mistaken, greater than any generation ever written, also in vain.
// After a failed G the old text with generation L is back, and the next attempt takes G + 2.
// NextGeneration() does this sum.
//
// Generation 0 means that nothing of ours serves: nothing is loaded, or the placeholder, whose server on
// port[0] answers 503 until the first switch. That switch takes an odd generation, so it has both halves
// of the proof too.
//
// The caller journals a SwitchIntent before Switch() and gives the same request to Recover() after
// a crash. Safe from several threads for different applications; calls for one application come one
// at a time.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/clock.h"
#include "common/protos.h"
#include "executor/drivers/nginx_render.h"
#include "executor/drivers/proc.h"
#include "executor/process/process_runner.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {

struct NginxOptions {
  // Must hold `-t`, in whose place -T and -v are asked too; a leading `sudo -n` is fine.
  std::vector<std::string> test = {"nginx", "-t"};
  std::vector<std::string> reload = {"nginx", "-s", "reload"};
  std::filesystem::path pid_file = "/run/nginx.pid";
  std::filesystem::path error_log = "/var/log/nginx/error.log";
  // Of the proof servers and of the applications' ports.
  std::string address = "127.0.0.1";
  // For each proof, from the return of the reload.
  std::chrono::nanoseconds proof_deadline = std::chrono::seconds(10);
};

// What one application has in nginx.
struct NginxSite {
  std::string app;
  std::string upstream;
  std::filesystem::path file;
  uint32_t keepalive = 32;
  pb::SwitchMode mode = pb::SWITCH_MODE_RELOAD;
  // Mode marker; on a path that outlives a reboot, or the reboot would switch.
  std::filesystem::path marker;
  std::array<uint32_t, 2> proof_ports = {0, 0};
  uint32_t blue_port = 0;
  uint32_t green_port = 0;

  // Of a spec with its defaults filled in. `marker` is taken when the spec names none.
  static NginxSite Of(const pb::ApplicationSpec& spec, const std::filesystem::path& marker);

  uint32_t PortOfSlot(pb::Slot slot) const;
  uint32_t ProofPort(uint64_t generation) const { return proof_ports[generation % 2]; }
  // The managed file for a slot; an adopted version has none, and a port of its own.
  ManagedFile FileFor(uint64_t generation, pb::Slot slot, absl::string_view address) const;
  // The file of an application that was never deployed, in either mode.
  ManagedFile Placeholder(absl::string_view address) const;
};

// What nginx's workers have loaded; generation 0: nothing of ours.
struct LoadedConfig {
  bool nginx_running = false;
  uint64_t generation = 0;
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  // Generation 0: the placeholder is loaded.
  bool placeholder = false;
  // Something that is not our proof server answers, or holds, one of the proof ports.
  std::vector<uint32_t> strange_ports;
};

struct NginxPreflight {
  LoadedConfig loaded;
  std::string nginx_version;
  // The managed file's text on disk, if any.
  std::optional<std::string> file_text;
  // The file on disk is one of ours that names another generation or slot than what serves:
  // RepairLatentSwitch().
  bool latent_switch = false;
  // Set when nothing of ours is loaded and a script's upstream file is there: where it sends the
  // requests.
  std::optional<ForeignUpstream> adoptable;
  // `nginx -t` fails for no other reason than that the managed file is not there yet; the first
  // switch cures it.
  bool waits_for_first_file = false;
};

// What became of a placeholder.
struct PlacedFile {
  // The placeholder is on disk.
  bool written = false;
  // nginx answers with it.
  bool loaded = false;
  // Why nginx has not loaded it, where it is written and not loaded; see Preflight().
  absl::Status waits_for;
};

struct SwitchRequest {
  NginxSite site;
  pb::Slot from = pb::SLOT_UNSPECIFIED;
  pb::Slot to = pb::SLOT_UNSPECIFIED;
  // NextGeneration(). When `adopt` is set, generation - 1 is used too.
  uint64_t generation = 0;
  // The managed file before the switch, as journaled; empty when there was none.
  std::optional<std::string> old_text;
  // The first switch of a host where a script's file serves: that target is first written with a
  // proof server of ours, which changes no traffic, so that the switch itself has both halves of
  // the proof.
  std::optional<ForeignUpstream> adopt;
  std::optional<pb::FrontDoor> front_door;
};

struct SwitchOutcome {
  // OK, or why not; on failure the evidence says whether the old text is back and proven.
  absl::Status status;
  pb::SwitchEvidence evidence;
  // What is loaded now, as proven last. After a failed adoption this may be generation - 1.
  LoadedConfig loaded;
  // Workers that had the old configuration loaded; Drain waits for them. Empty in mode marker
  // without a reload.
  std::vector<ProcessId> old_workers;
};

// Greater than `highest_written` and of the other parity than `loaded` (0 when nothing of ours
// serves). With `adopt`, leaves room for generation - 1.
uint64_t NextGeneration(uint64_t loaded, uint64_t highest_written, bool adopt = false);

class ErrorLogTail;

class NginxDriver {
 public:
  NginxDriver(ProcessRunner& runner, Clock& clock, NginxOptions options,
              ProcReader proc = ProcReader());

  // Asks both proof ports. UNAVAILABLE when nginx is up and stays in between two generations, or
  // does not answer.
  absl::StatusOr<LoadedConfig> Loaded(const NginxSite& site);

  // Touches nothing. Failures: FOREIGN_NGINX_FILE (the file at fault is the detail's subject),
  // PORT_TAKEN, PREFLIGHT.
  absl::StatusOr<NginxPreflight> Preflight(const NginxSite& site);

  // Writes the placeholder where there is no file yet, so that sites that name the upstream can be
  // loaded, and loads it. Where another file keeps nginx from loading it, it stays on disk: two new
  // applications whose sites wait for each other's upstream each write theirs. On any other failure it is
  // removed again. Does nothing where there is a file already, or where something of ours serves.
  absl::StatusOr<PlacedFile> PlacePlaceholder(const NginxSite& site);

  // One local transaction: steps 6 and 7 of the protocol. It either ends with `to` proven, or puts
  // the old text back and proves that. It cannot be cancelled half way; it is bounded by its own
  // deadlines.
  SwitchOutcome Switch(const SwitchRequest& request);

  // After a crash inside Switch(): finishes it when the new generation is on disk, loaded and fully
  // proven; goes back, proven, otherwise (also when it was going back when it was killed). May be
  // repeated. An OK status means that `to` serves.
  SwitchOutcome Recover(const SwitchRequest& request);

  // When the file on disk is not what is loaded: puts back what serves, reloads and proves, so that
  // no foreign reload can carry the switch out behind our back. `text` is what to put back if it has
  // the loaded generation; otherwise it is rendered from what is loaded. True when there was
  // something to repair.
  absl::StatusOr<bool> RepairLatentSwitch(const NginxSite& site,
                                          const std::optional<std::string>& text = std::nullopt);

  // Where the configuration on disk sends requests to one of these ports past the managed file, as
  // `FILE:LINE: DIRECTIVE`; empty also for a user who may not ask nginx for its configuration.
  std::vector<std::string> FixedPasses(const NginxSite& site, const std::vector<uint32_t>& ports);

  // Removes the placeholder of `site` where its file is no longer the application's; another file stays.
  absl::Status RemovePlaceholder(const NginxSite& site);

  // Workers that are shutting down, of whatever reload.
  uint32_t OldWorkers();

  // Reloads since the start by outcome: ok, test_failed, exit_failed, not_effective.
  std::map<std::string, uint64_t> ReloadCounters() const;

 private:
  friend class NginxTransaction;

  struct PortAnswer {
    enum class Kind { kOurs, kRefused, kStranger, kSilent } kind = Kind::kSilent;
    ProofText proof;
  };
  // What must become true after a reload.
  struct Expectation {
    // 0: nothing of ours.
    uint64_t generation = 0;
    pb::Slot slot = pb::SLOT_UNSPECIFIED;
    // Workers that must be gone or shutting down, for when the ports alone cannot tell the reload
    // from none.
    std::vector<ProcessId> retired;
    // nginx's error log since the reload, where it says that it refuses.
    const ErrorLogTail* log = nullptr;
    // Generation 0: the placeholder must answer.
    bool placeholder = false;
  };
  struct Proof {
    bool proven = false;
    std::chrono::nanoseconds first_answer{0};
    std::chrono::nanoseconds complete{0};
    std::string missing;
  };

  // nginx_proof.cc
  PortAnswer AskPort(const NginxSite& site, uint32_t port);
  bool PortIsFree(uint32_t port) const;
  std::vector<ProcessId> ServingWorkers() const;
  bool AllRetired(const std::vector<ProcessId>& workers) const;
  Proof WaitForProof(const NginxSite& site, const Expectation& expected);

  // nginx_preflight.cc
  absl::StatusOr<ProcessResult> RunTest(absl::string_view flag);
  absl::Status Test();
  absl::Status Reload();
  absl::Status NotRunning() const;
  absl::Status CheckIncluded(const NginxSite& site, const NginxPreflight& found);
  // Synced; one that is not there is fine.
  static absl::Status RemoveFile(const std::filesystem::path& path);
  // nginx_placeholder.cc
  absl::Status LoadPlaceholder(const NginxSite& site, PlacedFile& placed);

  ProcessRunner& runner_;
  Clock& clock_;
  const NginxOptions options_;
  const ProcReader proc_;
  enum Outcome { kOk, kTestFailed, kExitFailed, kNotEffective, kOutcomes };
  std::array<std::atomic<uint64_t>, kOutcomes> reloads_{};
};

}  // namespace slipway::executor
