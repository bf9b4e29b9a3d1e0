#include "executor/drivers/release_store.h"

#include <fcntl.h>
#include <set>
#include <sys/stat.h>

#include "absl/strings/escaping.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "executor/failure.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

constexpr char kApp[] = "gifty";
constexpr char kRelease[] = "0123456789ab";

class ReleaseStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { store_ = *ReleaseStore::Open(paths_); }

  std::string Put(const std::string& content) {
    auto writer = store_->Blobs().Create(Sha256Of(content));
    EXPECT_TRUE((*writer)->Append(content).ok());
    EXPECT_TRUE((*writer)->Commit().ok());
    return Sha256Of(content);
  }
  pb::ManifestEntry File(const std::string& path, const std::string& content) {
    pb::ManifestEntry entry;
    entry.set_path(path);
    entry.set_type(pb::FILE_TYPE_REGULAR);
    entry.set_digest(Put(content));
    entry.set_size(content.size());
    return entry;
  }
  static pb::ManifestEntry Link(const std::string& path, const std::string& target) {
    pb::ManifestEntry entry;
    entry.set_path(path);
    entry.set_type(pb::FILE_TYPE_SYMLINK);
    entry.set_link_target(target);
    return entry;
  }
  static pb::Manifest Of(const std::vector<pb::ManifestEntry>& entries) {
    pb::Manifest manifest;
    for (const auto& entry : entries) *manifest.add_entries() = entry;
    return manifest;
  }
  fs::path Folder() const { return paths_.Release(kApp, kRelease); }
  // Every path below the state folder's parent but for the blobs.
  std::set<std::string> Everything() const {
    std::set<std::string> paths;
    for (const auto& item : fs::recursive_directory_iterator(folder_.path())) {
      const std::string path = item.path().lexically_relative(folder_.path()).string();
      if (path.find("blobs") == std::string::npos) paths.insert(path);
    }
    return paths;
  }

  testing::TemporaryFolder folder_;
  Paths paths_{folder_.path() / "state"};
  std::unique_ptr<ReleaseStore> store_;
};

TEST_F(ReleaseStoreTest, UnpacksWhatTheManifestSays) {
  pb::ManifestEntry script = File("bin/run", "#!x");
  script.set_type(pb::FILE_TYPE_EXECUTABLE);
  const std::string large(2'000'000, 'x');
  const mode_t before = umask(0077);
  const absl::Status status = store_->Unpack(
      kApp, kRelease,
      Of({script, File("empty", ""), File("large", large), Link("link", "bin/run")}));
  umask(before);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(*ReadFile(Folder() / "empty"), "");
  EXPECT_TRUE(*ReadFile(Folder() / "large") == large);
  EXPECT_EQ(fs::read_symlink(Folder() / "link"), "bin/run");
  struct stat info {};
  ASSERT_EQ(stat((Folder() / "bin/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755u);
  ASSERT_EQ(stat((Folder() / "bin").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755u);
  ASSERT_EQ(stat((Folder() / "large").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  ASSERT_EQ(stat(paths_.Generated(kApp, kRelease).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(ReleaseStoreTest, GivesFilesOfTheirOwnAndNotTheBlobs) {
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("a", "content")})).ok());
  ASSERT_TRUE(WriteFileAtomically(Folder() / "b", "").ok());
  {
    const UniqueFd fd(open((Folder() / "a").c_str(), O_WRONLY | O_TRUNC));
    ASSERT_TRUE(WriteAll(fd.get(), "scribbled by a running version").ok());
  }
  EXPECT_EQ(*store_->Blobs().Read(Sha256Of("content")), "content");
}

// Handed over without the check that a manifest normally passes first: the second wall must hold
// alone.
TEST_F(ReleaseStoreTest, WritesNothingOutsideWhateverTheManifestSays) {
  fs::create_directories(folder_.path() / "outside");
  const std::string outside = (folder_.path() / "outside").string();
  const std::vector<std::vector<pb::ManifestEntry>> hostile = {
      {File("../evil", "x")},
      {File("../../../../../../outside/evil", "x")},
      {File(outside + "/evil", "x")},
      {File("/evil", "x")},
      {File("a/../../evil", "x")},
      {File("..", "x")},
      {File(".", "x")},
      {File("", "x")},
      {File("a/", "x")},
      {Link("l", outside), File("l/evil", "x")},
      {Link("l", "../../../../../outside"), File("l/evil", "x")},
      {Link("l", ".."), File("l/evil", "x")},
      {Link("l", outside + "/evil"), File("l", "x")},
      {Link("d/l", outside), File("d/l/deep/evil", "x")},
      {Link("l", outside), Link("l/evil", "x")},
      {Link("../evil", "x")},
      {Link(outside + "/evil", "x")},
  };
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({})).ok());
  for (const auto& entries : hostile) {
    const absl::Status status = store_->UnpackInto(Folder(), Of(entries), "");
    EXPECT_FALSE(status.ok()) << entries.back().path();
    for (const std::string& path : Everything()) {
      EXPECT_EQ(path.find("evil"), std::string::npos) << path << " of " << entries.back().path();
    }
  }
}

TEST_F(ReleaseStoreTest, FollowsNoLinkThatSomebodyPutWhereAFolderWas) {
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("a/x", "old")})).ok());
  fs::create_directories(folder_.path() / "outside");
  fs::remove_all(Folder());
  fs::create_symlink(folder_.path() / "outside", Folder());
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("a/x", "new")})).ok());
  EXPECT_TRUE(fs::is_empty(folder_.path() / "outside"));
  EXPECT_FALSE(fs::is_symlink(Folder()));
  EXPECT_EQ(*ReadFile(Folder() / "a/x"), "new");
}

TEST_F(ReleaseStoreTest, RemovesALinkAndNotWhatItPointsTo) {
  fs::create_directories(folder_.path() / "outside");
  ASSERT_TRUE(WriteFileAtomically(folder_.path() / "outside" / "precious", "x").ok());
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("a", "x")})).ok());
  fs::create_symlink(folder_.path() / "outside", Folder() / "escape");
  ASSERT_TRUE(store_->Remove(kApp, kRelease).ok());
  EXPECT_FALSE(fs::exists(Folder()));
  EXPECT_TRUE(fs::exists(folder_.path() / "outside" / "precious"));
}

TEST_F(ReleaseStoreTest, NamesTheFileWhoseBlobIsMissing) {
  pb::ManifestEntry entry = File("conf/app.ini", "x");
  entry.set_digest(Sha256Of("never uploaded"));
  const absl::Status status = store_->Unpack(kApp, kRelease, Of({entry}));
  EXPECT_EQ(ReasonOf(status), pb::FAILURE_REASON_RELEASE_CONTENT);
  EXPECT_NE(status.message().find("conf/app.ini"), std::string::npos) << status;
  EXPECT_NE(status.message().find(absl::BytesToHexString(Sha256Of("never uploaded")).substr(0, 12)),
            std::string::npos);
  EXPECT_FALSE(store_->IsSealed(kApp, kRelease));
}

TEST_F(ReleaseStoreTest, SparesTheBlobsOfAReleaseThatIsAboutToCome) {
  const pb::ManifestEntry common = File("common", "of both");
  const pb::ManifestEntry old = File("old", "of the old one alone");
  const std::string manifest = Put(Of({common}).SerializeAsString());
  EXPECT_THAT(*store_->FindMissing(manifest), ::testing::IsEmpty());
  EXPECT_EQ(*store_->RemoveBlobs({common.digest(), old.digest(), manifest}), old.size());
  EXPECT_TRUE(store_->Blobs().Has(common.digest()));
  EXPECT_FALSE(store_->Blobs().Has(old.digest()));
  EXPECT_THAT(*store_->FindMissing(manifest), ::testing::IsEmpty());
}

TEST_F(ReleaseStoreTest, RefusesABlobOfAnotherSizeThanTheManifestSays) {
  for (const uint64_t size : {6u, 8u}) {
    pb::ManifestEntry entry = File("a", "content");
    entry.set_size(size);
    EXPECT_FALSE(store_->Unpack(kApp, kRelease, Of({entry})).ok()) << size;
  }
}

TEST_F(ReleaseStoreTest, ChecksAManifestWhenItReadsIt) {
  const std::string good = SerializeManifest(Of({File("a", "x")}));
  const std::string bad = SerializeManifest(Of({File("../a", "x")}));
  Put(good);
  Put(bad);
  EXPECT_EQ(store_->ReadManifest(Sha256Of(good))->entries_size(), 1);
  EXPECT_FALSE(store_->ReadManifest(Sha256Of(bad)).ok());
  EXPECT_EQ(ReasonOf(store_->ReadManifest(Sha256Of("absent")).status()),
            pb::FAILURE_REASON_RELEASE_CONTENT);
}

TEST_F(ReleaseStoreTest, IsSealedOnlyBySealAndNotAfterUnpackingAgain) {
  const pb::Manifest manifest = Of({File("a", "x")});
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, manifest).ok());
  EXPECT_FALSE(store_->IsSealed(kApp, kRelease));
  ASSERT_TRUE(store_->Seal(kApp, kRelease).ok());
  EXPECT_TRUE(store_->IsSealed(kApp, kRelease));
  EXPECT_FALSE(store_->IsSealed("other", kRelease));
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, manifest).ok());
  EXPECT_FALSE(store_->IsSealed(kApp, kRelease));
}

TEST_F(ReleaseStoreTest, ForgetsScratchWhenItIsOpenedAgain) {
  const pb::Manifest manifest = Of({File("a", "1")});
  const std::string scratch = store_->ScratchId();
  EXPECT_NE(scratch, store_->ScratchId());
  ASSERT_TRUE(store_->Unpack(kApp, scratch, manifest).ok());
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, manifest).ok());
  EXPECT_THAT(store_->List(kApp), ::testing::ElementsAre(kRelease));
  store_ = *ReleaseStore::Open(paths_);
  EXPECT_FALSE(fs::exists(paths_.Release(kApp, scratch)));
  EXPECT_TRUE(fs::exists(paths_.Release(kApp, kRelease)));
}

TEST_F(ReleaseStoreTest, LeavesNothingOfAnEarlierTree) {
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("old", "x"), File("z/old", "x")})).ok());
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({File("new", "x")})).ok());
  EXPECT_FALSE(fs::exists(Folder() / "old"));
  EXPECT_FALSE(fs::exists(Folder() / "z"));
  EXPECT_TRUE(fs::exists(Folder() / "new"));
}

TEST_F(ReleaseStoreTest, UnpacksAPartOfTheTreeForABuild) {
  const auto context = folder_.path() / "state" / "context";
  const pb::Manifest manifest =
      Of({File("web", "no"), File("web-old/x", "no"), File("web/Dockerfile", "yes"),
          File("web/src/x", "yes"), File("x", "no")});
  ASSERT_TRUE(store_->UnpackInto(context, manifest, "web").ok());
  EXPECT_EQ(*ReadFile(context / "Dockerfile"), "yes");
  EXPECT_EQ(*ReadFile(context / "src" / "x"), "yes");
  EXPECT_FALSE(fs::exists(context / "x"));
  EXPECT_FALSE(fs::exists(context / "web-old"));
}

TEST_F(ReleaseStoreTest, ListsAndRemovesReleases) {
  EXPECT_TRUE(store_->List(kApp).empty());
  ASSERT_TRUE(store_->Unpack(kApp, kRelease, Of({})).ok());
  ASSERT_TRUE(store_->Unpack(kApp, "ba9876543210", Of({})).ok());
  EXPECT_THAT(store_->List(kApp), ::testing::UnorderedElementsAre(kRelease, "ba9876543210"));
  ASSERT_TRUE(store_->Remove(kApp, kRelease).ok());
  EXPECT_THAT(store_->List(kApp), ::testing::ElementsAre("ba9876543210"));
  EXPECT_TRUE(store_->Remove(kApp, "aaaaaaaaaaaa").ok());
}

}  // namespace
}  // namespace slipway::executor
