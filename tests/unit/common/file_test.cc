#include "common/file.h"

#include <atomic>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

int CountFiles(const fs::path& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& item : fs::directory_iterator(folder)) ++count;
  return count;
}

TEST(File, IsReadAsItWasWritten) {
  TemporaryFolder folder;
  std::string text(100'000, 'a');
  text += std::string("\0\n\r\xFF", 4);
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "file", text).ok());
  const auto read = ReadFile(folder.path() / "file");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, text);
}

TEST(File, ThatIsAbsentIsNotFound) {
  TemporaryFolder folder;
  EXPECT_EQ(ReadFile(folder.path() / "file").status().code(), absl::StatusCode::kNotFound);
}

TEST(File, HasTheModeAskedForWhateverTheUmask) {
  TemporaryFolder folder;
  const mode_t before = umask(0077);
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "open", "", 0644).ok());
  umask(0);
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "secret", "", 0600).ok());
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat((folder.path() / "open").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  ASSERT_EQ(stat((folder.path() / "secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

// The two texts have different lengths and letters, so that any mix shows.
TEST(File, BeingReplacedIsNeverSeenHalf) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "upstream.conf";
  const std::string texts[] = {std::string(300'000, 'a'), std::string(200'000, 'b')};
  ASSERT_TRUE(WriteFileAtomically(path, texts[0]).ok());
  std::atomic<bool> done{false};
  std::atomic<int> reads{0};
  std::atomic<int> mixes{0};
  std::thread reader([&] {
    while (!done.load()) {
      const auto text = ReadFile(path);
      if (!text.ok() || (*text != texts[0] && *text != texts[1])) ++mixes;
      ++reads;
    }
  });
  // At least so many writes, and on until the reader has had its share.
  for (int i = 0; i < 100 || reads.load() < 50; ++i) {
    ASSERT_TRUE(WriteFileAtomically(path, texts[i % 2]).ok());
  }
  done.store(true);
  reader.join();
  EXPECT_EQ(mixes.load(), 0) << "of " << reads.load() << " reads";
  EXPECT_EQ(CountFiles(folder.path()), 1);
}

TEST(File, ThatCannotBeReplacedLeavesNothingBeside) {
  TemporaryFolder folder;
  // A folder in the file's place: everything works until the rename.
  fs::create_directories(folder.path() / "file" / "occupied");
  const absl::Status status = WriteFileAtomically(folder.path() / "file", "text");
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find((folder.path() / "file").string()), std::string::npos) << status;
  EXPECT_EQ(CountFiles(folder.path()), 1);
  EXPECT_TRUE(fs::is_directory(folder.path() / "file" / "occupied"));
}

TEST(File, InAFolderThatIsAbsentNamesTheFile) {
  TemporaryFolder folder;
  const absl::Status status = WriteFileAtomically(folder.path() / "absent" / "file", "text");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("absent/file"), std::string::npos) << status;
}

// Nginx includes conf.d/*.conf; a reload must not find the temporary file.
TEST(File, BeingWrittenDoesNotMatchTheIncludePattern) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "upstream.conf";
  std::atomic<bool> done{false};
  std::atomic<int> looks{0};
  std::atomic<int> wrong{0};
  std::thread watcher([&] {
    while (!done.load()) {
      std::error_code error;
      for (const auto& item : fs::directory_iterator(folder.path(), error)) {
        if (item.path() != path && item.path().extension() == ".conf") ++wrong;
      }
      ++looks;
    }
  });
  const std::string text(50'000, 'x');
  for (int i = 0; i < 100 || looks.load() < 50; ++i) {
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
  }
  done.store(true);
  watcher.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(File, FoldersAreMadeWithTheirParents) {
  TemporaryFolder folder;
  ASSERT_TRUE(MakeFolders(folder.path() / "a" / "b" / "c", 0700).ok());
  EXPECT_TRUE(fs::is_directory(folder.path() / "a" / "b" / "c"));
  EXPECT_TRUE(MakeFolders(folder.path() / "a" / "b" / "c", 0700).ok());
  struct stat info {};
  ASSERT_EQ(stat((folder.path() / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(File, FoldersGetTheirModeWhateverTheUmask) {
  TemporaryFolder folder;
  const mode_t before = umask(0077);
  const absl::Status made = MakeFolders(folder.path() / "a" / "b", 0755);
  umask(before);
  ASSERT_TRUE(made.ok()) << made;
  for (const char* path : {"a", "a/b"}) {
    struct stat info {};
    ASSERT_EQ(stat((folder.path() / path).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0755u) << path;
  }
}

TEST(File, InTheWayOfAFolderIsAnError) {
  TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "file", "").ok());
  EXPECT_FALSE(MakeFolders(folder.path() / "file" / "below").ok());
}

TEST(File, DescriptorIsClosedOnceAndByItsLastOwner) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  UniqueFd writer(ends[1]);
  {
    UniqueFd reader(ends[0]);
    UniqueFd moved = std::move(reader);
    EXPECT_FALSE(static_cast<bool>(reader));
    EXPECT_EQ(moved.get(), ends[0]);
    EXPECT_EQ(fcntl(ends[0], F_GETFD), 0);
  }
  EXPECT_EQ(fcntl(ends[0], F_GETFD), -1);
}

}  // namespace
}  // namespace slipway
