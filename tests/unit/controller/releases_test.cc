#include "controller/catalog/releases.h"

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include "common/blob_transfer.h"
#include "common/status.h"
#include "controller/catalog/upload_quota.h"
#include "controller/store/sql_store.h"
#include "tests/contract/store_contract.h"
#include "tests/support/fake_clock.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_folder.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

class ReleasesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pb::ApplicationSpec spec = SpecOf("gifty");
    spec.mutable_keep()->set_releases(2);
    ASSERT_TRUE(store_->ApplyApplication(spec, {}, "ann").ok());
  }

  // Uploads a tree of one file with this text; answers the tree's digest.
  std::string Upload(const std::string& text) {
    const std::string bytes = SerializeManifest(slipway::testing::OneFileTree(text));
    BlobReceiver receiver(*blobs_);
    const auto take = [&](const pb::UploadBlobsRequest& chunk) {
      return receiver.Take(chunk).ok();
    };
    EXPECT_TRUE(SendBytes(bytes, Sha256Of(bytes), take).ok());
    EXPECT_TRUE(SendBytes(text, Sha256Of(text), take).ok());
    EXPECT_TRUE(receiver.Finish().ok());
    return Sha256Of(bytes);
  }
  absl::StatusOr<ReleaseRecord> Make(const std::string& tree) {
    return releases_.Create({"gifty", tree, "c1", std::nullopt, ""}, {}, "ann");
  }
  void Serve(const ReleaseRecord& release, pb::DeploymentState end) {
    const auto id = store_->CreateDeployment(DeploymentOf("gifty", release.id), {});
    ASSERT_TRUE(id.ok()) << id.status();
    if (end == pb::DEPLOYMENT_STATE_RUNNING) return;
    ASSERT_TRUE(
        store_->RecordTransition(EndOf(store_->GetDeployment("gifty", id->id).value(), end)).ok());
  }
  void LetADayPass() {
    for (const auto& file : fs::recursive_directory_iterator(folder_.path() / "blobs")) {
      if (!file.is_regular_file()) continue;
      fs::last_write_time(file, fs::file_time_type::clock::now() - hours(25));
    }
  }
  bool Has(const std::string& text) { return blobs_->Has(Sha256Of(text)); }

  testing::TemporaryFolder folder_;
  std::unique_ptr<SqlStore> store_ =
      SqlStore::Open(folder_.path() / "state.db", SystemClock()).value();
  std::unique_ptr<BlobStore> blobs_ = BlobStore::Open(folder_.path() / "blobs").value();
  std::unique_ptr<SecretBox> box_ = SecretBox::Open(folder_.path() / "key").value();
  Applications applications_{*store_, *box_};
  ReleaseFiles files_{*blobs_};
  Releases releases_{*store_, files_, applications_, *box_, SystemClock()};
};

TEST_F(ReleasesTest, AreNotMadeOfWhatWasNotUploaded) {
  EXPECT_EQ(DetailOf(Make(Sha256Of("a tree")).status()).reason(), "BLOBS_MISSING");
}

TEST_F(ReleasesTest, KeepTheFilesOfTheNewestOfThoseThatServedAndOfWhatRuns) {
  std::vector<ReleaseRecord> made;
  for (const char* text :
       {"served long ago", "served", "running", "not deployed", "newest", "last"}) {
    made.push_back(Make(Upload(text)).value());
  }
  Serve(made[0], pb::DEPLOYMENT_STATE_SUCCEEDED);
  Serve(made[1], pb::DEPLOYMENT_STATE_SUCCEEDED);
  Serve(made[4], pb::DEPLOYMENT_STATE_SUCCEEDED);
  Serve(made[2], pb::DEPLOYMENT_STATE_RUNNING);
  LetADayPass();
  const auto freed = releases_.RemoveUnusedBlobs();
  ASSERT_TRUE(freed.ok()) << freed.status();
  EXPECT_GT(*freed, 0u);
  EXPECT_FALSE(Has("served long ago"));
  EXPECT_FALSE(Has("not deployed"));
  for (const char* text : {"served", "running", "newest", "last"}) EXPECT_TRUE(Has(text)) << text;
  EXPECT_EQ(releases_.RemoveUnusedBlobs().value(), 0u);
}

TEST_F(ReleasesTest, GetTheirFilesBackFromTheSameTree) {
  const ReleaseRecord first = Make(Upload("first")).value();
  for (const char* text : {"second", "third"}) ASSERT_TRUE(Make(Upload(text)).ok());
  LetADayPass();
  ASSERT_TRUE(releases_.RemoveUnusedBlobs().ok());
  ASSERT_FALSE(Has("first"));
  EXPECT_EQ(DetailOf(Make(first.manifest_digest).status()).reason(), "BLOBS_MISSING");
  EXPECT_EQ(Make(Upload("first"))->id, first.id);
  EXPECT_TRUE(Has("first"));
}

TEST_F(ReleasesTest, KeepAnUploadOfWhichNoneWasMadeYet) {
  const std::string tree = Upload("under way");
  ASSERT_TRUE(releases_.RemoveUnusedBlobs().ok());
  EXPECT_TRUE(Make(tree).ok());
}

TEST(UploadQuota, CountsTheLast24Hours) {
  slipway::testing::FakeClock clock;
  config::v1::UploadLimits limits;
  limits.set_application_bytes_per_day(1000);
  UploadQuota quota(
      limits, [] { return uint64_t{1} << 40; }, clock);
  EXPECT_TRUE(quota.Reserve("gifty", 600).ok());
  clock.SleepFor(std::chrono::hours(20));
  EXPECT_TRUE(quota.Reserve("gifty", 400).ok());
  EXPECT_EQ(DetailOf(quota.Reserve("gifty", 1)).reason(), "UPLOAD_QUOTA");
  EXPECT_TRUE(quota.Reserve("other", 1000).ok());
  clock.SleepFor(std::chrono::hours(4));
  EXPECT_TRUE(quota.Reserve("gifty", 600).ok());
  EXPECT_FALSE(quota.Reserve("gifty", 1).ok());
  quota.GiveBack("gifty", 100);
  EXPECT_TRUE(quota.Reserve("gifty", 100).ok());
  clock.SleepFor(std::chrono::hours(1000));
  EXPECT_TRUE(quota.Reserve("gifty", 1000).ok());
}

TEST(UploadQuota, HasOnlySoManyUploadsAtATime) {
  slipway::testing::FakeClock clock;
  UploadQuota quota(
      {}, [] { return uint64_t{0}; }, clock);
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(quota.Begin("gifty").ok());
  EXPECT_EQ(DetailOf(quota.Begin("gifty")).reason(), "TOO_MANY_UPLOADS");
  EXPECT_TRUE(quota.Begin("other").ok());
  quota.End("gifty");
  EXPECT_TRUE(quota.Begin("gifty").ok());
}

}  // namespace
}  // namespace slipway::controller
