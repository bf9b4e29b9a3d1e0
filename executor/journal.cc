#include "executor/journal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>

#include "common/logging.h"
#include "common/status.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeaderBytes = 8;
constexpr uint32_t kMaxRecordBytes = 16 << 20;
// Results a repeated call may still ask for, per application.
constexpr size_t kKeptOperations = 128;
constexpr uint64_t kLeastRewriteBytes = 4 << 20;
constexpr uint64_t kReserveBytes = 64 << 10;

// CRC-32C, the polynomial with the best error detection for records of this size.
uint32_t Crc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78u : 0);
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

void PutFixed32(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift);
}
uint32_t GetFixed32(absl::string_view in) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i)
    value = (value << 8) | static_cast<unsigned char>(in[static_cast<size_t>(i)]);
  return value;
}

std::string EncodeRecord(const xpb::JournalRecord& record) {
  const std::string payload = record.SerializeAsString();
  std::string bytes;
  PutFixed32(bytes, static_cast<uint32_t>(payload.size()));
  PutFixed32(bytes, Crc32c(payload));
  return bytes + payload;
}

// Returns the length of the valid record at the beginning of `bytes`; 0 when there is none.
size_t DecodeRecord(absl::string_view bytes, xpb::JournalRecord& record) {
  if (bytes.size() < kHeaderBytes) return 0;
  const uint32_t length = GetFixed32(bytes);
  if (length > kMaxRecordBytes || bytes.size() < kHeaderBytes + length) return 0;
  const absl::string_view payload = bytes.substr(kHeaderBytes, length);
  if (Crc32c(payload) != GetFixed32(bytes.substr(4))) return 0;
  if (!record.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return 0;
  return record.record_case() == xpb::JournalRecord::RECORD_NOT_SET ? 0 : kHeaderBytes + length;
}

// A payload is one length-delimited field that fills it: a cheap look before the checksum is
// computed, so that the search through a damaged file takes linear time.
bool LooksLikeRecord(absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes + 2) return false;
  const uint32_t length = GetFixed32(bytes);
  if (length > kMaxRecordBytes || bytes.size() < kHeaderBytes + length) return false;
  google::protobuf::io::CodedInputStream payload(
      reinterpret_cast<const uint8_t*>(bytes.data() + kHeaderBytes), static_cast<int>(length));
  const uint32_t tag = payload.ReadTag();
  constexpr uint32_t kLengthDelimited = 2;
  uint32_t inner = 0;
  return (tag & 7) == kLengthDelimited && payload.ReadVarint32(&inner) &&
         static_cast<uint32_t>(payload.CurrentPosition()) + inner == length;
}

// Returns the offset of the first valid record; npos when there is none.
size_t FindRecord(absl::string_view bytes) {
  xpb::JournalRecord record;
  for (size_t at = 0; at + kHeaderBytes <= bytes.size(); ++at) {
    const absl::string_view candidate = bytes.substr(at);
    if (LooksLikeRecord(candidate) && DecodeRecord(candidate, record) != 0) return at;
  }
  return absl::string_view::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(fs::path path) {
  // nginx's workers look below it for the markers; what is private there closes itself.
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(path.parent_path(), 0711));
  std::unique_ptr<Journal> journal(new Journal(std::move(path)));
  MutexLock lock(journal->mutex_);
  // The lock is on a file of its own, because the journal is replaced when it is rewritten.
  const std::string lock_path = absl::StrCat(journal->path_.string(), ".lock");
  journal->lock_ = UniqueFd(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!journal->lock_) return ErrnoError(lock_path);
  if (flock(journal->lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_IN_USE",
                 absl::StrCat("another executor uses ", journal->path_.parent_path().string()),
                 "stop it, or give this one a state folder of its own");
  }
  journal->file_ = UniqueFd(open(journal->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!journal->file_) return ErrnoError(journal->path_.string());
  journal->rewrite_at_ = kLeastRewriteBytes;
  SLIPWAY_RETURN_IF_ERROR(journal->Replay());
  SLIPWAY_RETURN_IF_ERROR(SyncFolder(journal->path_.parent_path()));
  SLIPWAY_RETURN_IF_ERROR(journal->KeepReserve());
  return journal;
}

absl::Status Journal::Replay() {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_));
  absl::string_view rest = text;
  uint64_t damaged_bytes = 0;
  xpb::JournalRecord record;
  while (!rest.empty()) {
    size_t length = DecodeRecord(rest, record);
    if (length == 0) {
      const size_t next = FindRecord(rest.substr(1));
      if (next == absl::string_view::npos) break;
      damaged_bytes += next + 1;
      rest.remove_prefix(next + 1);
      length = DecodeRecord(rest, record);
    }
    Apply(record);
    rest.remove_prefix(length);
  }
  size_ = text.size() - rest.size();
  if (!rest.empty()) {
    LogWarning("journal: cut off an unfinished record", {{"bytes", absl::StrCat(rest.size())}});
    if (ftruncate(file_.get(), static_cast<off_t>(size_)) != 0 || fsync(file_.get()) != 0) {
      return ErrnoError(path_.string());
    }
  }
  if (damaged_bytes == 0) return absl::OkStatus();
  LogError("journal: damaged in the middle; the valid records around the damage are kept",
           {{"damaged_bytes", absl::StrCat(damaged_bytes)},
            {"copy", absl::StrCat(path_.string(), ".damaged")}});
  absl::Status repaired = KeepDamagedFile();
  if (repaired.ok()) repaired = Rewrite();
  // Without room for it the file is read the same way at the next start.
  if (!repaired.ok()) {
    LogWarning("journal: could not be rewritten", {{"error", std::string(repaired.message())}});
  }
  return absl::OkStatus();
}

absl::Status Journal::KeepDamagedFile() {
  std::error_code error;
  fs::copy_file(path_, absl::StrCat(path_.string(), ".damaged"),
                fs::copy_options::overwrite_existing, error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(path_.string(), ".damaged: ", error.message()));
}

absl::Status Journal::Write(int fd, absl::string_view bytes) {
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t got = pwrite(fd, bytes.data() + written, bytes.size() - written,
                               static_cast<off_t>(size_ + written));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(path_.string());
    written += static_cast<size_t>(got);
  }
  if (fdatasync(fd) != 0) return ErrnoError(path_.string());
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::Status Journal::Append(const xpb::JournalRecord& record) {
  if (record.ByteSizeLong() > kMaxRecordBytes) {
    // Replay would take it for damage, and cut off everything after it.
    return absl::InvalidArgumentError("journal: a record is larger than 16 MiB");
  }
  MutexLock lock(mutex_);
  if (absl::Status status = Write(file_.get(), EncodeRecord(record)); !status.ok()) {
    // Whatever part of it reached the file must not be found by the next replay.
    [[maybe_unused]] const int cut = ftruncate(file_.get(), static_cast<off_t>(size_));
    return Annotate(status, "journal");
  }
  Apply(record);
  if (size_ > rewrite_at_) {
    if (absl::Status status = Rewrite(); !status.ok()) {
      LogWarning("journal: could not be rewritten", {{"error", std::string(status.message())}});
    }
  }
  return absl::OkStatus();
}

void Journal::Apply(const xpb::JournalRecord& record) {
  switch (record.record_case()) {
    case xpb::JournalRecord::kFence:
      lead_ = std::max(lead_, record.fence().lead());
      if (record.fence().app().empty()) break;
      epochs_[record.fence().app()] =
          std::max(epochs_[record.fence().app()], record.fence().epoch());
      ForgetSupersededIntents(record.fence().app(), record.fence().epoch());
      break;
    case xpb::JournalRecord::kIntent: {
      Operation& operation = operations_[record.intent().operation_id()];
      operation.intent = record.intent();
      operation.order = next_order_++;
      // Also where the fence itself was lost in a damaged part of the file.
      epochs_[record.intent().app()] =
          std::max(epochs_[record.intent().app()], record.intent().epoch());
      if (record.intent().has_switch_()) {
        xpb::ApplicationFacts& facts = facts_[record.intent().app()];
        facts.set_app(record.intent().app());
        facts.set_last_generation(
            std::max(facts.last_generation(), record.intent().switch_().generation()));
      }
      ForgetOldOperations(record.intent().app());
      break;
    }
    case xpb::JournalRecord::kResult: {
      const auto found = operations_.find(record.result().operation_id());
      if (found != operations_.end()) {
        found->second.result = record.result().result();
        found->second.intent.clear_switch_();
      }
      break;
    }
    case xpb::JournalRecord::kFacts: {
      xpb::ApplicationFacts& facts = facts_[record.facts().app()];
      const uint64_t written = facts.last_generation();
      facts = record.facts();
      facts.set_last_generation(std::max(facts.last_generation(), written));
      break;
    }
    case xpb::JournalRecord::kEvent:
      events_[record.event().sequence()] = record.event();
      last_event_ = std::max(last_event_, record.event().sequence());
      break;
    case xpb::JournalRecord::kAcknowledged:
      events_.erase(events_.begin(), events_.upper_bound(record.acknowledged().sequence()));
      last_event_ = std::max(last_event_, record.acknowledged().sequence());
      break;
    case xpb::JournalRecord::kHistoryHead:
      history_head_ = record.history_head();
      break;
    case xpb::JournalRecord::RECORD_NOT_SET:
      break;
  }
}

void Journal::ForgetOldOperations(const std::string& app) {
  std::vector<std::pair<uint64_t, std::string>> finished;
  for (const auto& [id, operation] : operations_) {
    if (operation.intent.app() == app && operation.result)
      finished.emplace_back(operation.order, id);
  }
  if (finished.size() <= kKeptOperations) return;
  std::sort(finished.begin(), finished.end());
  finished.resize(finished.size() - kKeptOperations);
  for (const auto& [order, id] : finished) operations_.erase(id);
}

// Admission of an operation looks at the running one before it commits a fence, so none of these
// runs.
void Journal::ForgetSupersededIntents(const std::string& app, uint64_t epoch) {
  std::erase_if(operations_, [&](const auto& entry) {
    const Operation& operation = entry.second;
    return operation.intent.app() == app && !operation.result && operation.intent.epoch() < epoch;
  });
}

std::vector<xpb::JournalRecord> Journal::Snapshot() const {
  std::vector<xpb::JournalRecord> records;
  if (lead_ != 0) records.emplace_back().mutable_fence()->set_lead(lead_);
  for (const auto& [app, epoch] : epochs_) {
    xpb::Fence& fence = *records.emplace_back().mutable_fence();
    fence.set_app(app);
    fence.set_epoch(epoch);
  }
  for (const auto& [app, facts] : facts_) *records.emplace_back().mutable_facts() = facts;
  std::vector<const Operation*> in_order;
  for (const auto& [id, operation] : operations_) in_order.push_back(&operation);
  std::sort(in_order.begin(), in_order.end(), [](auto* a, auto* b) { return a->order < b->order; });
  for (const Operation* operation : in_order) {
    *records.emplace_back().mutable_intent() = operation->intent;
    if (!operation->result) continue;
    xpb::Result& result = *records.emplace_back().mutable_result();
    result.set_app(operation->intent.app());
    result.set_operation_id(operation->intent.operation_id());
    *result.mutable_result() = *operation->result;
  }
  records.emplace_back().mutable_acknowledged()->set_sequence(
      events_.empty() ? last_event_ : events_.begin()->first - 1);
  for (const auto& [sequence, event] : events_) *records.emplace_back().mutable_event() = event;
  if (history_head_) *records.emplace_back().mutable_history_head() = *history_head_;
  return records;
}

absl::Status Journal::Rewrite() {
  const std::string temporary = absl::StrCat(path_.string(), ".new");
  UniqueFd fresh(open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fresh) return ErrnoError(temporary);
  std::string bytes;
  for (const xpb::JournalRecord& record : Snapshot()) bytes += EncodeRecord(record);
  const uint64_t old_size = size_;
  size_ = 0;
  if (absl::Status status = Write(fresh.get(), bytes); !status.ok()) {
    size_ = old_size;
    unlink(temporary.c_str());
    return status;
  }
  if (rename(temporary.c_str(), path_.c_str()) != 0) {
    size_ = old_size;
    return ErrnoError(path_.string());
  }
  file_ = std::move(fresh);
  rewrite_at_ = std::max(kLeastRewriteBytes, 2 * size_);
  return SyncFolder(path_.parent_path());
}

absl::Status Journal::KeepReserve() {
  const std::string path = absl::StrCat(path_.string(), ".reserve");
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError(path);
  if (const int error = posix_fallocate(fd.get(), 0, kReserveBytes); error != 0) {
    LogWarning("journal: no room for the reserve", {{"error", std::strerror(error)}});
  }
  return absl::OkStatus();
}

void Journal::ReleaseReserve() {
  MutexLock lock(mutex_);
  unlink(absl::StrCat(path_.string(), ".reserve").c_str());
}

uint64_t Journal::EpochOf(const std::string& app) const {
  MutexLock lock(mutex_);
  const auto found = epochs_.find(app);
  return found == epochs_.end() ? 0 : found->second;
}

uint64_t Journal::Lead() const {
  MutexLock lock(mutex_);
  return lead_;
}

std::optional<xpb::Intent> Journal::IntentOf(const std::string& operation_id) const {
  MutexLock lock(mutex_);
  const auto found = operations_.find(operation_id);
  if (found == operations_.end()) return std::nullopt;
  return found->second.intent;
}

std::optional<xpb::StepResult> Journal::ResultOf(const std::string& operation_id) const {
  MutexLock lock(mutex_);
  const auto found = operations_.find(operation_id);
  return found == operations_.end() ? std::nullopt : found->second.result;
}

std::vector<xpb::Intent> Journal::OpenIntents() const {
  MutexLock lock(mutex_);
  std::vector<const Operation*> open_operations;
  for (const auto& [id, operation] : operations_) {
    if (!operation.result) open_operations.push_back(&operation);
  }
  std::sort(open_operations.begin(), open_operations.end(),
            [](const Operation* a, const Operation* b) { return a->order < b->order; });
  std::vector<xpb::Intent> intents;
  for (const Operation* operation : open_operations) intents.push_back(operation->intent);
  return intents;
}

xpb::ApplicationFacts Journal::FactsOf(const std::string& app) const {
  MutexLock lock(mutex_);
  const auto found = facts_.find(app);
  if (found != facts_.end()) return found->second;
  xpb::ApplicationFacts facts;
  facts.set_app(app);
  return facts;
}

std::vector<std::string> Journal::Applications() const {
  MutexLock lock(mutex_);
  std::vector<std::string> apps;
  for (const auto& [app, facts] : facts_) apps.push_back(app);
  return apps;
}

std::vector<xpb::LocalEvent> Journal::UnacknowledgedEvents() const {
  MutexLock lock(mutex_);
  std::vector<xpb::LocalEvent> events;
  for (const auto& [sequence, event] : events_) events.push_back(event);
  return events;
}

std::optional<xpb::HistoryHead> Journal::HistoryHead() const {
  MutexLock lock(mutex_);
  return history_head_;
}

uint64_t Journal::LastEventSequence() const {
  MutexLock lock(mutex_);
  return last_event_;
}

}  // namespace slipway::executor
