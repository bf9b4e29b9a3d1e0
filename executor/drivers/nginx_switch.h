// One switch of one application, from the first write to the proof or to the proven way back. Made
// by NginxDriver per call.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "executor/drivers/nginx.h"

namespace slipway::executor {

class NginxTransaction {
 public:
  NginxTransaction(NginxDriver& nginx, const SwitchRequest& request)
      : nginx_(nginx), request_(request), site_(request.site) {}

  SwitchOutcome Run();
  SwitchOutcome Recover();
  // Puts `text` back where `serving` is loaded, and proves it; for RepairLatentSwitch().
  absl::Status Restore(const LoadedConfig& serving, const std::optional<std::string>& text);

 private:
  // What is true, and what to go back to.
  struct Base {
    LoadedConfig loaded;
    std::optional<std::string> text;
  };

  absl::Status Check() const;
  absl::Status SwitchByReload();
  absl::Status SwitchByMarker();
  // Writes, tests, reloads and proves; leaves going back to the caller.
  absl::Status Commit(const ManagedFile& file, pb::Slot expected_slot);
  absl::Status WriteAndTest(const ManagedFile& file);
  absl::Status ReloadAndProve(const ManagedFile& file, pb::Slot expected_slot);
  absl::Status KnockAtFrontDoor();
  // After a failure; keeps its reason and says how going back went.
  absl::Status GoBack(const absl::Status& failure);
  absl::Status RestoreFile();
  absl::Status ProveRestored();
  absl::Status SetMarker(pb::Slot slot);
  pb::Slot MarkedSlot() const;
  absl::StatusOr<bool> MarkerFileIsLoaded() const;
  bool NewTextIsOnDisk() const;
  std::optional<std::string> AdoptedText() const;
  ManagedFile AdoptedFile() const;
  Base BaseForRecovery(const LoadedConfig& loaded) const;
  void Finish(const absl::Status& status, Clock::Monotonic start);
  void CollectOldWorkers();

  NginxDriver& nginx_;
  const SwitchRequest& request_;
  const NginxSite& site_;
  SwitchOutcome outcome_;
  Base base_;
  bool wrote_ = false;
  bool reloaded_ = false;
  bool flipped_ = false;
};

}  // namespace slipway::executor
