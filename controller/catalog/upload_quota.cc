#include "controller/catalog/upload_quota.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway::controller {
namespace {
// More than any client of ours has; each takes a thread and a window of memory.
constexpr int kUploadsAtATime = 16;
}  // namespace

UploadQuota::FreeBytes UploadQuota::FreeBytesOf(std::filesystem::path folder) {
  return [folder = std::move(folder)] {
    std::error_code error;
    const auto space = std::filesystem::space(folder, error);
    // The write itself will say what is wrong with the disk.
    return error ? ~uint64_t{0} : static_cast<uint64_t>(space.available);
  };
}

UploadQuota::Account& UploadQuota::Current(const std::string& who) {
  const int64_t hour =
      std::chrono::duration_cast<std::chrono::hours>(clock_.WallNow().time_since_epoch()).count();
  Account& account = accounts_[who];
  const int64_t passed = std::clamp<int64_t>(hour - account.hour, 0, kHours);
  for (int64_t i = 1; i <= passed; ++i) {
    account.bytes[static_cast<size_t>(account.hour + i) % kHours] = 0;
  }
  if (passed == static_cast<int64_t>(kHours)) account.bytes.fill(0);
  account.hour = std::max(account.hour, hour);
  return account;
}

absl::Status UploadQuota::Begin(const std::string& who) {
  MutexLock lock(mutex_);
  Account& account = Current(who);
  if (account.uploads >= kUploadsAtATime) {
    return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_UPLOADS",
                 absl::StrCat(who, " has ", account.uploads, " uploads under way"),
                 "try again when one of them has ended");
  }
  ++account.uploads;
  return absl::OkStatus();
}

void UploadQuota::End(const std::string& who) {
  MutexLock lock(mutex_);
  --Current(who).uploads;
}

absl::Status UploadQuota::Reserve(const std::string& who, uint64_t bytes) {
  const uint64_t free = free_bytes_();
  if (free < limits_.keep_free_bytes() || free - limits_.keep_free_bytes() < bytes) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 absl::StrCat("the controller's disk has ", free, " bytes left, of which it keeps ",
                              limits_.keep_free_bytes()),
                 "make room there; `slipway doctor` shows it");
  }
  MutexLock lock(mutex_);
  Account& account = Current(who);
  const uint64_t stored = std::accumulate(account.bytes.begin(), account.bytes.end(), uint64_t{0});
  const uint64_t quota = limits_.application_bytes_per_day();
  if (stored > quota || quota - stored < bytes) {
    return Error(absl::StatusCode::kResourceExhausted, "UPLOAD_QUOTA",
                 absl::StrCat(who, " has uploaded ", stored, " bytes within a day; with ", bytes,
                              " more it would have more than ", quota),
                 "wait, or raise `uploads.application_bytes_per_day` in controller.yaml");
  }
  account.bytes[static_cast<size_t>(account.hour) % kHours] += bytes;
  return absl::OkStatus();
}

void UploadQuota::GiveBack(const std::string& who, uint64_t bytes) {
  MutexLock lock(mutex_);
  Account& account = Current(who);
  uint64_t& now = account.bytes[static_cast<size_t>(account.hour) % kHours];
  // What was reserved an hour ago ends with its hour.
  now -= std::min(now, bytes);
}

}  // namespace slipway::controller
