#include "common/manifest.h"

#include <fstream>
#include <limits>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::TemporaryFolder;

pb::ManifestEntry File(const std::string& path, const std::string& content = "x") {
  pb::ManifestEntry entry;
  entry.set_path(path);
  entry.set_type(pb::FILE_TYPE_REGULAR);
  entry.set_digest(Sha256Of(content));
  entry.set_size(content.size());
  return entry;
}

pb::ManifestEntry Link(const std::string& path, const std::string& target) {
  pb::ManifestEntry entry;
  entry.set_path(path);
  entry.set_type(pb::FILE_TYPE_SYMLINK);
  entry.set_link_target(target);
  return entry;
}

pb::Manifest Of(const std::vector<pb::ManifestEntry>& entries) {
  pb::Manifest manifest;
  for (const auto& entry : entries) *manifest.add_entries() = entry;
  return manifest;
}

void ExpectRefused(const pb::Manifest& manifest, const std::string& what) {
  const absl::Status status = ValidateManifest(manifest);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
  EXPECT_EQ(DetailOf(status).reason(), "INVALID_RELEASE") << what;
}

TEST(Manifest, TakesAnOrdinaryTree) {
  EXPECT_TRUE(ValidateManifest(Of({})).ok());
  const absl::Status status =
      ValidateManifest(Of({File(".env.example"), File("a..b"), File("a/b/c"), Link("a/up", "../b"),
                           File("b"), Link("current", "a/b"), File("\xC3\xA4.txt")}));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Manifest, RefusesHostilePaths) {
  const std::string paths[] = {
      "",
      "/",
      "/etc/passwd",
      "../x",
      "a/../x",
      "a/../../x",
      "a/..",
      "..",
      ".",
      "./x",
      "a/./b",
      "a//b",
      "a/",
      std::string("a\0b", 3),
      std::string("\0", 1),
      "a\xFF",
      "a\xC3",
      "\xC0\xAE\xC0\xAE/x",  // `..` spelt too long
      "\xED\xA0\x80",        // half a surrogate pair
      "\xF5\x80\x80\x80",    // beyond Unicode
      std::string(256, 'a'),
      std::string(1025, 'a'),
      absl::StrCat(std::string(255, 'a'), "/", std::string(255, 'b'), "/", std::string(255, 'c'),
                   "/", std::string(255, 'd'), "/e"),
  };
  for (const std::string& path : paths) {
    ExpectRefused(Of({File(path)}), path);
    ExpectRefused(Of({Link(path, "x")}), path);
  }
}

TEST(Manifest, RefusesLinksThatLeaveTheRelease) {
  const std::pair<const char*, std::string> links[] = {
      {"l", "/etc/passwd"},
      {"l", ".."},
      {"l", "../x"},
      {"l", "a/../../x"},
      {"a/l", "../../x"},
      {"a/l", "../b/../../x"},
      {"l", ""},
      {"l", std::string("a\0b", 3)},
      {"l", std::string(1025, 'a')},
  };
  for (const auto& [path, target] : links) {
    ExpectRefused(Of({Link(path, target)}), absl::StrCat(path, " -> ", target));
  }
}

// Step by step each target stays inside, as text; followed, `d/l/..` is the folder above the
// release.
TEST(Manifest, RefusesLinksThatLeaveTheReleaseThroughOtherLinks) {
  ExpectRefused(Of({Link("d/l", ".."), Link("m", "d/l/../..")}), "one link up");
  ExpectRefused(Of({Link("d/l", ".."), Link("m", "d/l/..")}), "to the folder above");
  ExpectRefused(Of({Link("a", "d/l/../x"), Link("d/l", "..")}), "named before it");
  ExpectRefused(Of({Link("d/e/l", "../.."), Link("m", "d/n/../../.."), Link("d/n", "e/l")}),
                "out of order");
  const absl::Status harmless = ValidateManifest(
      Of({Link("d/l", ".."), File("d/x"), Link("m", "d/l/d/x"), Link("n", "d/../m")}));
  EXPECT_TRUE(harmless.ok()) << harmless;
}

TEST(Manifest, RefusesTheSamePathTwiceAndAnyOtherOrder) {
  ExpectRefused(Of({File("a"), File("a")}), "twice");
  ExpectRefused(Of({File("a"), Link("a", "b")}), "file and link");
  ExpectRefused(Of({File("b"), File("a")}), "order");
  ExpectRefused(Of({File("a"), File("A")}), "order of case");
}

TEST(Manifest, RefusesNamesThatDifferOnlyInCase) {
  ExpectRefused(Of({File("A"), File("a")}), "A a");
  ExpectRefused(Of({File("X/readme"), File("x/README")}), "whole path");
}

TEST(Manifest, RefusesAFileThatIsAlsoAFolder) {
  ExpectRefused(Of({File("a"), File("a/b")}), "file");
  ExpectRefused(Of({Link("a", "b"), File("a/b")}), "link");
  ExpectRefused(Of({File("a"), File("a-b"), File("a/b/c")}), "with one between");
  ExpectRefused(Of({Link("a/b", ".."), File("a/b/c/d")}), "deeper");
}

TEST(Manifest, RefusesEntriesThatContradictThemselves) {
  pb::ManifestEntry entry = File("a");
  entry.set_digest("short");
  ExpectRefused(Of({entry}), "digest");
  entry = File("a");
  entry.set_link_target("b");
  ExpectRefused(Of({entry}), "file with target");
  entry = File("a");
  entry.set_type(pb::FILE_TYPE_UNSPECIFIED);
  ExpectRefused(Of({entry}), "no type");
  entry = File("a");
  entry.set_type(static_cast<pb::FileType>(77));
  ExpectRefused(Of({entry}), "unknown type");
  entry = Link("a", "b");
  entry.set_digest(Sha256Of(""));
  ExpectRefused(Of({entry}), "link with content");
  entry = Link("a", "b");
  entry.set_size(1);
  ExpectRefused(Of({entry}), "link with size");
}

TEST(Manifest, RefusesMoreThanTheLimits) {
  pb::ManifestEntry a = File("a");
  pb::ManifestEntry b = File("b");
  a.set_size(kMaxReleaseBytes);
  EXPECT_TRUE(ValidateManifest(Of({a})).ok());
  b.set_size(1);
  ExpectRefused(Of({a, b}), "sum");
  a.set_size(std::numeric_limits<uint64_t>::max());
  ExpectRefused(Of({a, b}), "a sum that wraps around");
  pb::Manifest many;
  for (int i = 0; i <= kMaxReleaseFiles; ++i) many.add_entries();
  ExpectRefused(many, "files");
}

TEST(Manifest, ComesOutOfItsBytesAsItWentIn) {
  const pb::Manifest manifest = Of({File("a", "1"), Link("b", "a")});
  const std::string bytes = SerializeManifest(manifest);
  const auto parsed = ParseManifest(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(SerializeManifest(*parsed), bytes);
  EXPECT_EQ(ParseManifest("\xFF\xFFgarbage").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(ParseManifest(SerializeManifest(Of({File("../a")}))).ok());
}

TEST(Manifest, AddsUpItsBytes) {
  EXPECT_EQ(TotalBytes(Of({File("a", "123"), File("b", ""), Link("c", "a")})), 3u);
}

void Write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  ASSERT_TRUE(WriteFileAtomically(path, text).ok());
}

std::vector<std::string> PathsOf(const pb::Manifest& manifest) {
  std::vector<std::string> paths;
  for (const auto& entry : manifest.entries()) paths.push_back(entry.path());
  return paths;
}

TEST(ScanFolder, ListsFilesLinksAndModesInOrder) {
  TemporaryFolder folder;
  Write(folder.path() / "src" / "b.py", "bee");
  Write(folder.path() / "src-extra", "");
  Write(folder.path() / "run.sh", "#!");
  fs::permissions(folder.path() / "run.sh", fs::perms::owner_exec, fs::perm_options::add);
  fs::create_symlink("src/b.py", folder.path() / "link");
  fs::create_directory(folder.path() / "empty");
  const auto manifest = ScanFolder(folder.path(), IgnoreRules::Parse(""));
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  // In the order of bytes, where `-` comes before `/`.
  EXPECT_THAT(PathsOf(*manifest), ElementsAre("link", "run.sh", "src-extra", "src/b.py"));
  EXPECT_EQ(manifest->entries(0).type(), pb::FILE_TYPE_SYMLINK);
  EXPECT_EQ(manifest->entries(0).link_target(), "src/b.py");
  EXPECT_EQ(manifest->entries(1).type(), pb::FILE_TYPE_EXECUTABLE);
  EXPECT_EQ(manifest->entries(3).digest(), Sha256Of("bee"));
  EXPECT_EQ(manifest->entries(3).size(), 3u);
}

TEST(ScanFolder, GivesTheSameBytesForTheSameTree) {
  TemporaryFolder one;
  TemporaryFolder other;
  for (const char* name : {"z", "a", "m/n"}) Write(one.path() / name, name);
  for (const char* name : {"m/n", "a", "z"}) Write(other.path() / name, name);
  EXPECT_EQ(SerializeManifest(*ScanFolder(one.path(), IgnoreRules::Parse(""))),
            SerializeManifest(*ScanFolder(other.path(), IgnoreRules::Parse(""))));
}

TEST(ScanFolder, LeavesOutWhatTheRulesSay) {
  TemporaryFolder folder;
  for (const char* name : {".git/config", "a.pyc", "src/b.pyc", "src/b.py", "build/x",
                           "src/build/y", "docs/build", "top.txt", "src/top.txt", "src/gen/x",
                           "node_modules/m/i.js", "#odd", ".env", ".gitignore"}) {
    Write(folder.path() / name, "x");
  }
  IgnoreRules rules =
      IgnoreRules::Parse("# a comment\n\n*.pyc\nbuild/\n/top.txt\nsrc/gen\n  node_modules  \r\n");
  rules.Add("/.env");
  const auto manifest = ScanFolder(folder.path(), rules);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_THAT(PathsOf(*manifest),
              ElementsAre("#odd", ".gitignore", "docs/build", "src/b.py", "src/top.txt"));
}

TEST(ScanFolder, NeverOpensWhatItIgnores) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(ScanFolder(folder.path(), IgnoreRules::Parse("")).ok());
  EXPECT_TRUE(ScanFolder(folder.path(), IgnoreRules::Parse("pipe")).ok());
}

TEST(ScanFolder, RefusesWhatAReleaseCannotHold) {
  TemporaryFolder folder;
  fs::create_symlink("/etc/hostname", folder.path() / "absolute");
  auto manifest = ScanFolder(folder.path(), IgnoreRules::Parse(""));
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(manifest.status().message().find("'absolute'"), std::string::npos);
  fs::remove(folder.path() / "absolute");
  std::ofstream((folder.path() / "bad\xFFname").string()) << "x";
  manifest = ScanFolder(folder.path(), IgnoreRules::Parse(""));
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ScanFolder, DoesNotFollowALinkToAFolder) {
  TemporaryFolder folder;
  Write(folder.path() / "real" / "x", "x");
  fs::create_symlink("real", folder.path() / "alias");
  const auto manifest = ScanFolder(folder.path(), IgnoreRules::Parse(""));
  ASSERT_TRUE(manifest.ok());
  EXPECT_THAT(PathsOf(*manifest), ElementsAre("alias", "real/x"));
}

TEST(ScanFolder, OfAnAbsentFolderNamesIt) {
  const auto manifest = ScanFolder("/nonexistent-folder", IgnoreRules::Parse(""));
  EXPECT_FALSE(manifest.ok());
  EXPECT_NE(manifest.status().message().find("/nonexistent-folder"), std::string::npos);
}

std::vector<std::string> Changes(const pb::Manifest& before, const pb::Manifest& after,
                                 uint32_t* unchanged) {
  std::vector<std::string> lines;
  for (const auto& change : CompareManifests(before, after, unchanged)) {
    lines.push_back(absl::StrCat(change.change(), " ", change.path()));
  }
  return lines;
}

TEST(CompareManifests, SaysWhatIsAddedChangedAndRemovedInOrder) {
  uint32_t unchanged = 77;
  pb::ManifestEntry runnable = File("mode");
  runnable.set_type(pb::FILE_TYPE_EXECUTABLE);
  EXPECT_THAT(
      Changes(
          Of({File("a"), File("b", "1"), File("d"), Link("l", "a"), File("mode"), File("same")}),
          Of({File("b", "2"), File("c"), Link("l", "b"), runnable, File("same"), File("z")}),
          &unchanged),
      ElementsAre("removed a", "changed b", "added c", "removed d", "changed l", "changed mode",
                  "added z"));
  EXPECT_EQ(unchanged, 1u);
}

TEST(CompareManifests, HandlesEmptyAndEqualTrees) {
  uint32_t unchanged = 77;
  EXPECT_TRUE(Changes(Of({}), Of({}), &unchanged).empty());
  EXPECT_EQ(unchanged, 0u);
  EXPECT_THAT(Changes(Of({}), Of({File("a")}), &unchanged), ElementsAre("added a"));
  EXPECT_THAT(Changes(Of({File("a")}), Of({}), &unchanged), ElementsAre("removed a"));
  EXPECT_TRUE(Changes(Of({File("a")}), Of({File("a")}), &unchanged).empty());
  EXPECT_EQ(unchanged, 1u);
}

}  // namespace
}  // namespace slipway
