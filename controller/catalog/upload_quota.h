// How much callers may upload: by application and day, and never so much that the disk of the state is full.
//
// It is kept in memory: a restart of the controller forgets what was uploaded before.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"

#include "common/clock.h"
#include "common/mutex.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

// Safe from several threads.
class UploadQuota {
 public:
  // The bytes that are free where uploads are stored.
  using FreeBytes = std::function<uint64_t()>;

  UploadQuota(config::v1::UploadLimits limits, FreeBytes free_bytes, Clock& clock)
      : limits_(std::move(limits)), free_bytes_(std::move(free_bytes)), clock_(clock) {}
  // Of the folder's file system.
  static FreeBytes FreeBytesOf(std::filesystem::path folder);

  const config::v1::UploadLimits& limits() const { return limits_; }

  // `who` is the application, or a caller for all applications. RESOURCE_EXHAUSTED (reason TOO_MANY_UPLOADS) while it has too many
  // uploads under way; each that began must be ended.
  absl::Status Begin(const std::string& who);
  void End(const std::string& who);

  // RESOURCE_EXHAUSTED (reason UPLOAD_QUOTA or DISK_FULL) when this is too much.
  absl::Status Reserve(const std::string& who, uint64_t bytes);
  void GiveBack(const std::string& who, uint64_t bytes);

 private:
  static constexpr size_t kHours = 24;
  struct Account {
    int uploads = 0;
    // By the hour, a ring of the last 24.
    std::array<uint64_t, kHours> bytes{};
    int64_t hour = 0;
  };
  // With hours that are over a day ago emptied.
  Account& Current(const std::string& who) SLIPWAY_REQUIRES(mutex_);

  const config::v1::UploadLimits limits_;
  const FreeBytes free_bytes_;
  Clock& clock_;
  Mutex mutex_;
  std::map<std::string, Account> accounts_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
