#include "common/blob_store.h"

#include <sys/stat.h>

#include "absl/strings/escaping.h"
#include <gtest/gtest.h>

#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

absl::Status Put(BlobStore& store, absl::string_view content, absl::string_view digest) {
  auto writer = store.Create(digest);
  if (!writer.ok()) return writer.status();
  // In two pieces, as they come from a stream.
  SLIPWAY_RETURN_IF_ERROR((*writer)->Append(content.substr(0, content.size() / 2)));
  SLIPWAY_RETURN_IF_ERROR((*writer)->Append(content.substr(content.size() / 2)));
  return (*writer)->Commit();
}

void Age(const fs::path& file, std::chrono::hours age) {
  fs::last_write_time(file, fs::file_time_type::clock::now() - age);
}

TEST(BlobStore, GivesBackWhatWasPutIn) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path() / "blobs");
  ASSERT_TRUE(store.ok());
  const std::string content("a\0\n\xFF", 4);
  const std::string digest = Sha256Of(content);
  EXPECT_FALSE((*store)->Has(digest));
  ASSERT_TRUE(Put(**store, content, digest).ok());
  EXPECT_TRUE((*store)->Has(digest));
  EXPECT_EQ(*(*store)->Read(digest), content);
  EXPECT_TRUE((*store)->Sync().ok());
}

TEST(BlobStore, KeepsBlobsReadOnlyUnderTheirDigest) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  ASSERT_TRUE(Put(**store, "x", Sha256Of("x")).ok());
  const std::string hex = absl::BytesToHexString(Sha256Of("x"));
  EXPECT_EQ((*store)->PathOf(Sha256Of("x")), folder.path() / hex.substr(0, 2) / hex.substr(2));
  struct stat info {};
  ASSERT_EQ(stat((*store)->PathOf(Sha256Of("x")).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0400u);
}

TEST(BlobStore, KnowsWhatWasWrittenBeforeATime) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  for (const char* content : {"old", "new"}) {
    ASSERT_TRUE(Put(**store, content, Sha256Of(content)).ok());
  }
  const auto now = std::chrono::system_clock::now();
  Age((*store)->PathOf(Sha256Of("old")), std::chrono::hours(25));
  EXPECT_EQ(*(*store)->WrittenBefore(now - std::chrono::hours(24)),
            std::set<std::string>{Sha256Of("old")});
}

TEST(BlobStore, RefusesContentThatIsNotWhatItsNameSays) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  const absl::Status status = Put(**store, "y", Sha256Of("x"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(status).reason(), "DIGEST_MISMATCH");
  EXPECT_FALSE((*store)->Has(Sha256Of("x")));
  EXPECT_FALSE((*store)->Has(Sha256Of("y")));
  EXPECT_TRUE(fs::is_empty(folder.path() / "tmp"));
}

TEST(BlobStore, RefusesADigestOfAnotherLength) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  for (const std::string& digest : {std::string(), std::string(31, 'x'), std::string(33, 'x'),
                                    std::string("../../../../etc/passwd")}) {
    EXPECT_FALSE((*store)->Has(digest));
    EXPECT_EQ((*store)->Read(digest).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ((*store)->Create(digest).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(BlobStore, LeavesNothingOfABlobThatWasGivenUp) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  {
    auto writer = (*store)->Create(Sha256Of("x"));
    ASSERT_TRUE((*writer)->Append("x").ok());
    EXPECT_FALSE(fs::is_empty(folder.path() / "tmp"));
  }
  EXPECT_TRUE(fs::is_empty(folder.path() / "tmp"));
  EXPECT_FALSE((*store)->Has(Sha256Of("x")));
}

TEST(BlobStore, RemovesLeftoversOfACrashWhenItIsOpened) {
  TemporaryFolder folder;
  {
    auto store = BlobStore::Open(folder.path());
    ASSERT_TRUE(Put(**store, "kept", Sha256Of("kept")).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "tmp" / "blob-Ab12Cd", "half").ok());
  auto store = BlobStore::Open(folder.path());
  ASSERT_TRUE(store.ok());
  EXPECT_TRUE(fs::is_empty(folder.path() / "tmp"));
  EXPECT_TRUE((*store)->Has(Sha256Of("kept")));
}

TEST(BlobStore, TakesTheSameBlobTwice) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  ASSERT_TRUE(Put(**store, "x", Sha256Of("x")).ok());
  ASSERT_TRUE(Put(**store, "x", Sha256Of("x")).ok());
  EXPECT_EQ(*(*store)->Read(Sha256Of("x")), "x");
}

TEST(BlobStore, RemovesTheNamedAndSaysWhatThatFreed) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  for (const char* content : {"one", "three", "kept"}) {
    ASSERT_TRUE(Put(**store, content, Sha256Of(content)).ok());
  }
  const auto freed =
      (*store)->Remove({Sha256Of("one"), Sha256Of("three"), Sha256Of("was never there")});
  ASSERT_TRUE(freed.ok());
  EXPECT_EQ(*freed, 8u);
  EXPECT_FALSE((*store)->Has(Sha256Of("one")));
  EXPECT_TRUE((*store)->Has(Sha256Of("kept")));
}

TEST(BlobStore, SaysWhichBlobIsAbsent) {
  TemporaryFolder folder;
  auto store = BlobStore::Open(folder.path());
  EXPECT_EQ((*store)->Read(Sha256Of("x")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace slipway
