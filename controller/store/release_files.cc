#include "controller/store/release_files.h"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/manifest.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"

namespace slipway::controller {
namespace {

constexpr size_t kPartBytes = 1 << 20;
// So much goes into one transaction, which keeps all other writers waiting.
constexpr size_t kBatchBytes = 4 << 20;
// Of these, many come with one statement.
constexpr size_t kSmallBytes = 64 << 10;
// How many digests one statement asks for; always as many, so that it is one prepared text.
constexpr size_t kDigestsAtOnce = 64;

// Parameters for kDigestsAtOnce digests.
std::string Marks() {
  std::string marks = "?";
  for (size_t i = 1; i < kDigestsAtOnce; ++i) marks += ", ?";
  return marks;
}

// Binds those from the place on, the last one again and again; answers the next place.
size_t BindDigests(Statement& statement, const std::vector<std::string>& digests, size_t from) {
  for (size_t i = 0; i < kDigestsAtOnce; ++i) {
    statement.BindBlob(digests[std::min(from + i, digests.size() - 1)]);
  }
  return from + kDigestsAtOnce;
}

absl::StatusOr<ReleaseFiles::Digests> TreeOf(const BlobStore& folder,
                                             const std::string& manifest_digest) {
  ReleaseFiles::Digests digests = {manifest_digest};
  const absl::StatusOr<std::string> bytes = folder.Read(manifest_digest);
  if (absl::IsNotFound(bytes.status())) return digests;
  SLIPWAY_RETURN_IF_ERROR(bytes.status());
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ParseManifest(*bytes));
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.type() != pb::FILE_TYPE_SYMLINK) digests.insert(entry.digest());
  }
  return digests;
}

absl::Status WriteBlob(BlobStore& folder, const std::string& digest, absl::string_view bytes) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto writer, folder.Create(digest));
  SLIPWAY_RETURN_IF_ERROR(writer->Append(bytes));
  return writer->Commit();
}

}  // namespace

// Collects parts and writes them in transactions.
class ReleaseFiles::Upload {
 public:
  Upload(SqlStore& database, Time now) : database_(database), now_(now) {}

  absl::Status Add(const std::string& digest, const std::filesystem::path& file) {
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return ErrnoError(file.string());
    int64_t size = 0;
    for (int64_t position = 0;; ++position) {
      std::string bytes(kPartBytes, '\0');
      const ssize_t got = pread(fd.get(), bytes.data(), bytes.size(), size);
      if (got < 0) return ErrnoError(file.string());
      if (got == 0) break;
      bytes.resize(static_cast<size_t>(got));
      size += got;
      bytes_ += bytes.size();
      parts_.push_back({digest, position, std::move(bytes), -1});
      if (bytes_ >= kBatchBytes) SLIPWAY_RETURN_IF_ERROR(Write());
    }
    parts_.push_back({digest, 0, "", size});
    return parts_.size() < 1'000 ? absl::OkStatus() : Write();
  }

  absl::Status Write() {
    const std::vector<Part> parts = std::exchange(parts_, {});
    bytes_ = 0;
    if (parts.empty()) return absl::OkStatus();
    return database_.Write([&](Database& database) -> absl::Status {
      for (const Part& part : parts) SLIPWAY_RETURN_IF_ERROR(WritePart(database, part));
      return absl::OkStatus();
    });
  }

 private:
  struct Part {
    std::string digest;
    int64_t position;
    std::string bytes;
    // Of the whole blob, after its last part; -1 before.
    int64_t size;
  };

  absl::Status WritePart(Database& database, const Part& part) {
    if (part.size < 0) {
      Statement insert(database, "INSERT INTO blob_parts VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
      SLIPWAY_RETURN_IF_ERROR(
          insert.BindBlob(part.digest).Bind(part.position).BindBlob(part.bytes).Post());
      if (part.position > 0) return absl::OkStatus();
    }
    // With the first part, so that one that was cut short is swept away some day; and with its size after the last.
    Statement insert(database,
                     absl::StrCat("INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (digest) DO ",
                                  part.size < 0 ? "NOTHING"
                                                : "UPDATE SET size=excluded.size, "
                                                  "create_time=excluded.create_time"));
    return insert.BindBlob(part.digest).BindAll(part.size, ToMicros(now_)).Post();
  }

  SqlStore& database_;
  const Time now_;
  std::vector<Part> parts_;
  size_t bytes_ = 0;
};

absl::StatusOr<std::vector<std::pair<std::string, uint64_t>>> ReleaseFiles::InDatabase(
    const Digests& digests) {
  std::vector<std::pair<std::string, uint64_t>> found;
  if (digests.empty()) return found;
  const std::vector<std::string> all(digests.begin(), digests.end());
  SLIPWAY_RETURN_IF_ERROR(database_->Read([&](Database& database) -> absl::Status {
    for (size_t next = 0; next < all.size();) {
      Statement list(database, absl::StrCat("SELECT digest, size FROM blobs WHERE size >= 0 AND "
                                            "digest IN (",
                                            Marks(), ")"));
      next = BindDigests(list, all, next);
      while (true) {
        SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
        if (!row) break;
        found.emplace_back(list.Text(0), list.Unsigned(1));
      }
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::Status ReleaseFiles::Fetch(const Digests& digests) {
  if (database_ == nullptr) return absl::OkStatus();
  Digests lacking;
  for (const std::string& digest : digests) {
    if (!folder_.Has(digest)) lacking.insert(digest);
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto found, InDatabase(lacking));
  if (found.empty()) return absl::OkStatus();
  std::vector<std::string> small;
  for (const auto& [digest, size] : found) {
    if (size <= kSmallBytes && size > 0) {
      small.push_back(digest);
    } else {
      SLIPWAY_RETURN_IF_ERROR(FetchLarge(digest, size));
    }
  }
  SLIPWAY_RETURN_IF_ERROR(FetchSmall(small));
  return folder_.Sync();
}

absl::Status ReleaseFiles::FetchLarge(const std::string& digest, uint64_t size) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto writer, folder_.Create(digest));
  // A transaction for each part, so that other readers get their turn.
  for (uint64_t position = 0; position * kPartBytes < size; ++position) {
    std::string bytes;
    SLIPWAY_RETURN_IF_ERROR(database_->Read([&](Database& database) -> absl::Status {
      Statement find(database, "SELECT bytes FROM blob_parts WHERE digest=? AND position=?");
      find.BindBlob(digest).Bind(position);
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, find.Step());
      if (!row) return absl::NotFoundError("a release's file was removed meanwhile");
      bytes = find.Text(0);
      return absl::OkStatus();
    }));
    SLIPWAY_RETURN_IF_ERROR(writer->Append(bytes));
  }
  return writer->Commit();
}

absl::Status ReleaseFiles::FetchSmall(const std::vector<std::string>& digests) {
  for (size_t next = 0; next < digests.size();) {
    std::vector<std::pair<std::string, std::string>> blobs;
    SLIPWAY_RETURN_IF_ERROR(database_->Read([&](Database& database) -> absl::Status {
      Statement list(database,
                     absl::StrCat("SELECT digest, bytes FROM blob_parts WHERE position=0 AND "
                                  "digest IN (",
                                  Marks(), ")"));
      next = BindDigests(list, digests, next);
      while (true) {
        SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
        if (!row) return absl::OkStatus();
        blobs.emplace_back(list.Text(0), list.Text(1));
      }
    }));
    for (const auto& [digest, bytes] : blobs) {
      SLIPWAY_RETURN_IF_ERROR(WriteBlob(folder_, digest, bytes));
    }
  }
  return absl::OkStatus();
}

absl::Status ReleaseFiles::FetchTree(const std::string& manifest_digest) {
  if (database_ == nullptr) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(Fetch({manifest_digest}));
  SLIPWAY_ASSIGN_OR_RETURN(const Digests tree, TreeOf(folder_, manifest_digest));
  return Fetch(tree);
}

absl::Status ReleaseFiles::PublishTree(const std::string& manifest_digest) {
  if (database_ == nullptr) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const Digests tree, TreeOf(folder_, manifest_digest));
  return Publish(tree);
}

absl::Status ReleaseFiles::Publish(const Digests& digests) {
  if (database_ == nullptr) return absl::OkStatus();
  Digests lacking = digests;
  SLIPWAY_ASSIGN_OR_RETURN(const auto found, InDatabase(digests));
  for (const auto& [digest, size] : found) lacking.erase(digest);
  Upload upload(*database_, clock_.WallNow());
  for (const std::string& digest : lacking) {
    SLIPWAY_RETURN_IF_ERROR(upload.Add(digest, folder_.PathOf(digest)));
  }
  return upload.Write();
}

absl::StatusOr<ReleaseFiles::Digests> ReleaseFiles::WrittenBefore(
    std::chrono::system_clock::time_point time) {
  SLIPWAY_ASSIGN_OR_RETURN(Digests digests, folder_.WrittenBefore(time));
  if (database_ == nullptr) return digests;
  SLIPWAY_RETURN_IF_ERROR(database_->Read([&](Database& database) -> absl::Status {
    Statement list(database, "SELECT digest FROM blobs WHERE create_time < ?");
    list.Bind(ToMicros(time));
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      digests.insert(list.Text(0));
    }
  }));
  return digests;
}

absl::StatusOr<uint64_t> ReleaseFiles::Remove(const Digests& digests) {
  if (database_ != nullptr && !digests.empty()) {
    const std::vector<std::string> all(digests.begin(), digests.end());
    for (size_t next = 0; next < all.size();) {
      SLIPWAY_RETURN_IF_ERROR(database_->Write([&](Database& database) -> absl::Status {
        const size_t from = next;
        for (const char* table : {"blobs", "blob_parts"}) {
          Statement remove(database,
                           absl::StrCat("DELETE FROM ", table, " WHERE digest IN (", Marks(), ")"));
          next = BindDigests(remove, all, from);
          SLIPWAY_RETURN_IF_ERROR(remove.Post());
        }
        return absl::OkStatus();
      }));
    }
  }
  return folder_.Remove(digests);
}

}  // namespace slipway::controller
