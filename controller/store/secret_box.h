// Seals the env files that the Store holds: XChaCha20-Poly1305 (libsodium) under one key file.
//
// A sealed text is bound to its application and revision: moved to another row it does not open. The text is never logged
// and never part of an error. Safe from several threads after Open().
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway::controller {

class SecretBox {
 public:
  // Reads the key, or creates it (mode 0600, synced) when the file is absent. FAILED_PRECONDITION (reason KEY_FILE_EXPOSED)
  // when others may read it, DATA_LOSS when it is not a key.
  static absl::StatusOr<std::unique_ptr<SecretBox>> Open(const std::filesystem::path& key_file);
  ~SecretBox();
  SecretBox(const SecretBox&) = delete;
  SecretBox& operator=(const SecretBox&) = delete;

  std::string Seal(absl::string_view app, uint64_t revision, absl::string_view text) const;
  // DATA_LOSS (reason CANNOT_DECRYPT) when it was sealed for something else, with another key, or changed.
  absl::StatusOr<std::string> Unseal(absl::string_view app, uint64_t revision,
                                     absl::string_view sealed) const;
  // A keyed digest of the text, 32 bytes: equal for equal texts, and useless for guessing without the key.
  std::string Fingerprint(absl::string_view app, absl::string_view text) const;

 private:
  static constexpr size_t kKeyBytes = 32;
  SecretBox() = default;

  std::array<unsigned char, kKeyBytes> key_{};
};

}  // namespace slipway::controller
