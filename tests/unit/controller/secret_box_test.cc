#include "controller/store/secret_box.h"

#include <filesystem>
#include <string>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

class SecretBoxTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("secret_box.") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<SecretBox> Open() {
    auto box = SecretBox::Open(folder_ / "key");
    EXPECT_TRUE(box.ok()) << box.status();
    return std::move(box).value();
  }

  std::filesystem::path folder_;
};

const std::string kText = std::string("PASSWORD='a$b\\n\"#\n'\n\0tail", 24);

TEST_F(SecretBoxTest, GivesBackEveryByteAfterARestart) {
  const std::string sealed = Open()->Seal("gifty", 3, kText);
  EXPECT_EQ(sealed.find("PASSWORD"), std::string::npos);
  const auto text = Open()->Unseal("gifty", 3, sealed);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, kText);
}

TEST_F(SecretBoxTest, MakesItsKeyReadableByItsOwnerAlone) {
  Open();
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SecretBoxTest, RefusesAKeyThatOthersMayRead) {
  Open();
  ASSERT_EQ(chmod((folder_ / "key").c_str(), 0640), 0);
  const auto box = SecretBox::Open(folder_ / "key");
  EXPECT_EQ(DetailOf(box.status()).reason(), "KEY_FILE_EXPOSED");
}

TEST_F(SecretBoxTest, DoesNotOpenForAnotherApplicationRevisionOrKey) {
  const auto box = Open();
  const std::string sealed = box->Seal("gifty", 3, kText);
  EXPECT_EQ(DetailOf(box->Unseal("other", 3, sealed).status()).reason(), "CANNOT_DECRYPT");
  EXPECT_EQ(DetailOf(box->Unseal("gifty", 4, sealed).status()).reason(), "CANNOT_DECRYPT");
  std::filesystem::remove(folder_ / "key");
  EXPECT_EQ(DetailOf(Open()->Unseal("gifty", 3, sealed).status()).reason(), "CANNOT_DECRYPT");
}

TEST_F(SecretBoxTest, DoesNotOpenWhatWasChangedOrCut) {
  const auto box = Open();
  std::string sealed = box->Seal("gifty", 3, kText);
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(box->Unseal("gifty", 3, changed).ok()) << i;
    EXPECT_FALSE(box->Unseal("gifty", 3, sealed.substr(0, i)).ok()) << i;
  }
}

TEST_F(SecretBoxTest, FingerprintsAreEqualForEqualTextsOfOneApplicationOnly) {
  const auto box = Open();
  EXPECT_EQ(box->Fingerprint("gifty", kText), box->Fingerprint("gifty", kText));
  EXPECT_NE(box->Fingerprint("gifty", kText), box->Fingerprint("gifty", "x"));
  EXPECT_NE(box->Fingerprint("gifty", kText), box->Fingerprint("other", kText));
}

}  // namespace
}  // namespace slipway::controller
