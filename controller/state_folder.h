// What stands where in the controller's state folder.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/file.h"

namespace slipway::controller {

class StateFolder {
 public:
  explicit StateFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& Root() const { return root_; }
  std::filesystem::path Database() const { return root_ / "state.db"; }
  // Of the sealed environments.
  std::filesystem::path Key() const { return root_ / "key"; }
  // The authority, and below it the controller's own certificate.
  std::filesystem::path Tls() const { return root_ / "tls"; }
  std::filesystem::path Ssh() const { return root_ / "ssh"; }
  std::filesystem::path Blobs() const { return root_ / "blobs"; }
  // Sockets of ssh:// connections; emptied at each start.
  std::filesystem::path Relay() const { return root_ / "relay"; }

  // FAILED_PRECONDITION (reason OTHER_USER) when the folder is another user's: the daemon could not read what this one puts there.
  absl::Status CheckUser() const;

  // Makes the folder and holds it until the descriptor is closed, however the process ends. FAILED_PRECONDITION (reason
  // STATE_IN_USE) while another process does.
  absl::StatusOr<UniqueFd> Lock() const;

 private:
  std::filesystem::path root_;
};

}  // namespace slipway::controller
