// The files of releases in a database that controllers share: what one has published another has.
#include "controller/store/release_files.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/manifest.h"
#include "common/status.h"
#include "tests/contract/store_contract.h"
#include "tests/support/file_tree.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temporary_folder.h"

namespace slipway::controller {
namespace {

using slipway::testing::PostgresServer;
using ::testing::SizeIs;
using Digests = ReleaseFiles::Digests;

// A controller's own folder, and the database.
struct Side {
  explicit Side(const PostgresOptions& options)
      : store(LeadingStore(options)), files(*blobs, *store, SystemClock()) {}

  std::string Put(const std::string& text) {
    const auto writer = blobs->Create(Sha256Of(text)).value();
    EXPECT_TRUE(writer->Append(text).ok());
    EXPECT_TRUE(writer->Commit().ok());
    return Sha256Of(text);
  }

  slipway::testing::TemporaryFolder folder;
  std::unique_ptr<BlobStore> blobs = BlobStore::Open(folder.path() / "blobs").value();
  std::unique_ptr<SqlStore> store;
  ReleaseFiles files;
};

class ReleaseFilesTest : public ::testing::Test {
 protected:
  PostgresServer& server_ = PostgresServer::Shared();
  const std::string database_ = server_.NewDatabase();
  Side one_{server_.Options(database_)};
  Side other_{server_.Options(database_)};
};

TEST_F(ReleaseFilesTest, AreEverybodysOncePublished) {
  const std::string text(100, 'x');
  const std::string manifest = SerializeManifest(slipway::testing::OneFileTree(text));
  one_.Put(text);
  one_.Put(manifest);
  const std::string tree = Sha256Of(manifest);
  ASSERT_TRUE(other_.files.FetchTree(tree).ok());
  EXPECT_FALSE(other_.blobs->Has(tree)) << "not published yet";
  ASSERT_TRUE(one_.files.PublishTree(tree).ok());
  ASSERT_TRUE(one_.files.PublishTree(tree).ok());
  ASSERT_TRUE(other_.files.FetchTree(tree).ok());
  EXPECT_EQ(*other_.blobs->Read(Sha256Of(text)), text);
  EXPECT_EQ(*other_.blobs->Read(tree), manifest);
}

TEST_F(ReleaseFilesTest, TravelWholeWhateverTheirSize) {
  Digests digests;
  for (const size_t size : {0u, 1u, 65'536u, 65'537u, 1u << 20, (1u << 20) + 1, 9u << 20}) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i >> 7);
    digests.insert(one_.Put(text));
  }
  for (int i = 0; i < 300; ++i) digests.insert(one_.Put(absl::StrCat("small ", i)));
  ASSERT_TRUE(one_.files.Publish(digests).ok());
  ASSERT_TRUE(other_.files.Fetch(digests).ok());
  // A blob that is not what its name says is not stored.
  for (const std::string& digest : digests) EXPECT_TRUE(other_.blobs->Has(digest));
}

TEST_F(ReleaseFilesTest, CutShortAreAsGoodAsNone) {
  const std::string text(3 << 20, 'x');
  const std::string digest = one_.Put(text);
  ASSERT_TRUE(one_.files.Publish({digest}).ok());
  // As after a kill between two transactions.
  server_.Ask(database_, "UPDATE blobs SET size=-1");
  server_.Ask(database_, "DELETE FROM blob_parts WHERE position > 0");
  ASSERT_TRUE(other_.files.Fetch({digest}).ok());
  EXPECT_FALSE(other_.blobs->Has(digest));
  ASSERT_TRUE(one_.files.Publish({digest}).ok());
  ASSERT_TRUE(other_.files.Fetch({digest}).ok());
  EXPECT_EQ(*other_.blobs->Read(digest), text);
}

TEST_F(ReleaseFilesTest, AreRemovedFromBothButOnlyByTheLeader) {
  const std::string digest = one_.Put("text");
  ASSERT_TRUE(one_.files.Publish({digest}).ok());
  EXPECT_THAT(*other_.files.WrittenBefore(SystemClock().WallNow() + std::chrono::hours(1)),
              SizeIs(1));
  EXPECT_THAT(*one_.files.WrittenBefore(SystemClock().WallNow() - std::chrono::hours(1)),
              SizeIs(0));
  const auto leadership = Leadership::Open(server_.Options(database_)).value();
  ASSERT_TRUE(leadership->Release(leadership->Current()->epoch).ok());
  EXPECT_EQ(DetailOf(one_.files.Remove({digest}).status()).reason(), "NOT_LEADER");
  EXPECT_TRUE(one_.blobs->Has(digest));
  Side leader(server_.Options(database_));
  ASSERT_TRUE(leader.files.Remove({digest}).ok());
  ASSERT_TRUE(other_.files.Fetch({digest}).ok());
  EXPECT_FALSE(other_.blobs->Has(digest));
  EXPECT_EQ(server_.Ask(database_, "SELECT 'none' WHERE NOT EXISTS (SELECT FROM blob_parts)"),
            "none");
}

}  // namespace
}  // namespace slipway::controller
