#include "common/digest.h"

#include "absl/strings/escaping.h"
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Digest, IsTheKnownOneOfAKnownText) {
  EXPECT_EQ(absl::BytesToHexString(Sha256Of("abc")), kOfAbc);
  EXPECT_EQ(absl::BytesToHexString(Sha256Of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Digest, IsTheSameHoweverTheBytesAreCut) {
  Sha256 hash;
  hash.Update("a");
  hash.Update("");
  hash.Update("bc");
  EXPECT_EQ(absl::BytesToHexString(hash.Finish()), kOfAbc);
}

TEST(Digest, OfAFileIsThatOfItsBytes) {
  testing::TemporaryFolder folder;
  std::string text(200'001, 'x');
  text[65'536] = '\0';
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "file", text).ok());
  const auto digest = Sha256OfFile((folder.path() / "file").string());
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(*digest, Sha256Of(text));
}

TEST(Digest, NamesTheFileThatIsAbsent) {
  const auto digest = Sha256OfFile("/nonexistent/file");
  EXPECT_EQ(digest.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(digest.status().message().find("/nonexistent/file"), std::string::npos);
}

}  // namespace
}  // namespace slipway
