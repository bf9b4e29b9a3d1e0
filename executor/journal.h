// The executor's journal: one file of records, each committed to the disk before Append() returns.
// What is intended is written before the act, what came of it after the probe; see journal.proto.
//
// A record is: length (4 bytes, little endian), CRC-32C of the payload (4 bytes), payload
// (JournalRecord). Open() replays the file. A torn tail is cut off, for it was never acknowledged.
// Damage before the last valid record is another matter: the valid records after it are kept, the
// damaged file is kept beside as JOURNAL.damaged, and an error is logged. When the file holds far
// more than what is still true, it is rewritten beside and renamed.
//
// An operation without a result is over as soon as its application has a higher epoch: nobody may
// ask for it again, so it is forgotten.
//
// Thread-safe. One process per file: Open() locks it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/file.h"
#include "common/mutex.h"
#include "common/protos.h"

#include "slipway/executor/v1/journal.pb.h"

namespace slipway::executor {

class Journal {
 public:
  // FAILED_PRECONDITION when another process has it open.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(std::filesystem::path path);

  // Commits the record and then takes it into account. RESOURCE_EXHAUSTED on a full disk; then
  // nothing has changed.
  absl::Status Append(const xpb::JournalRecord& record);

  uint64_t EpochOf(const std::string& app) const;
  // The highest lead that a controller has shown; 0 when there has been but one.
  uint64_t Lead() const;
  // The intent or result of an operation; results of the last operations of each application are
  // kept.
  std::optional<xpb::Intent> IntentOf(const std::string& operation_id) const;
  std::optional<xpb::StepResult> ResultOf(const std::string& operation_id) const;
  // Intended and without a result, the oldest first: what a restart has to look into.
  std::vector<xpb::Intent> OpenIntents() const;
  // Empty facts for an application never seen.
  xpb::ApplicationFacts FactsOf(const std::string& app) const;
  std::vector<std::string> Applications() const;
  std::vector<xpb::LocalEvent> UnacknowledgedEvents() const;
  uint64_t LastEventSequence() const;
  // The newest that the controller gave us to keep.
  std::optional<xpb::HistoryHead> HistoryHead() const;

  // The next record is never refused for lack of space while this reserve lasts; it is given up for
  // a rollback.
  void ReleaseReserve();

 private:
  struct Operation {
    xpb::Intent intent;
    std::optional<xpb::StepResult> result;
    uint64_t order = 0;
  };

  explicit Journal(std::filesystem::path path) : path_(std::move(path)) {}
  absl::Status Replay() SLIPWAY_REQUIRES(mutex_);
  absl::Status KeepDamagedFile() SLIPWAY_REQUIRES(mutex_);
  // Writes the bytes at the end of the file and commits them.
  absl::Status Write(int fd, absl::string_view bytes) SLIPWAY_REQUIRES(mutex_);
  void Apply(const xpb::JournalRecord& record) SLIPWAY_REQUIRES(mutex_);
  void ForgetOldOperations(const std::string& app) SLIPWAY_REQUIRES(mutex_);
  void ForgetSupersededIntents(const std::string& app, uint64_t epoch) SLIPWAY_REQUIRES(mutex_);
  std::vector<xpb::JournalRecord> Snapshot() const SLIPWAY_REQUIRES(mutex_);
  absl::Status Rewrite() SLIPWAY_REQUIRES(mutex_);
  absl::Status KeepReserve() SLIPWAY_REQUIRES(mutex_);

  const std::filesystem::path path_;
  mutable Mutex mutex_;
  UniqueFd lock_ SLIPWAY_GUARDED_BY(mutex_);
  UniqueFd file_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t size_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  // Grows with what is still true, so that a large snapshot does not make every append rewrite it.
  uint64_t rewrite_at_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t next_order_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t lead_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::map<std::string, uint64_t> epochs_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<std::string, Operation> operations_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<std::string, xpb::ApplicationFacts> facts_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<uint64_t, xpb::LocalEvent> events_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t last_event_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::optional<xpb::HistoryHead> history_head_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::executor
