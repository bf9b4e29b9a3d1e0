#include "common/blob_transfer.h"

#include <fstream>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "common/manifest.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

using testing::TemporaryFolder;
using Chunks = std::vector<pb::UploadBlobsRequest>;

constexpr size_t kChunkLimit = 256 << 10;

std::string Noise(size_t size) {
  std::mt19937_64 random(7);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

Chunks Sent(absl::string_view bytes) {
  Chunks chunks;
  const absl::Status status = SendBytes(bytes, Sha256Of(bytes), [&](const auto& chunk) {
    chunks.push_back(chunk);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  return chunks;
}

class BlobTransfer : public ::testing::Test {
 protected:
  void SetUp() override { store_ = *BlobStore::Open(folder_.path() / "blobs"); }

  absl::Status Take(const Chunks& chunks) {
    BlobReceiver receiver(*store_);
    for (const auto& chunk : chunks) {
      if (absl::Status status = receiver.Take(chunk); !status.ok()) return status;
    }
    return receiver.Finish().status();
  }

  void ExpectRefused(const Chunks& chunks, const std::string& what) {
    const absl::Status status = Take(chunks);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what << ": " << status;
    EXPECT_EQ(DetailOf(status).reason(), "BAD_UPLOAD") << what << ": " << status;
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path() / "blobs" / "tmp")) << what;
  }

  TemporaryFolder folder_;
  std::unique_ptr<BlobStore> store_;
};

TEST_F(BlobTransfer, BringsBlobsOfEverySizeAndKindAcross) {
  const std::string blobs[] = {"",
                               "x",
                               std::string(kChunkLimit - 1, 'a'),
                               std::string(kChunkLimit, 'a'),
                               std::string(kChunkLimit + 1, 'a'),
                               std::string(20 << 20, 'a'),
                               Noise(kChunkLimit - 1),
                               Noise(kChunkLimit),
                               Noise(kChunkLimit + 1),
                               Noise(3 << 20)};
  BlobReceiver receiver(*store_);
  uint64_t stored = 0;
  uint64_t received = 0;
  // One stream, one blob after another.
  for (const std::string& blob : blobs) {
    for (const auto& chunk : Sent(blob)) {
      ASSERT_LE(chunk.data().size(), kChunkLimit);
      received += chunk.data().size();
      const absl::Status status = receiver.Take(chunk);
      ASSERT_TRUE(status.ok()) << status << " of " << blob.size();
    }
    stored += blob.size();
    const auto read = store_->Read(Sha256Of(blob));
    ASSERT_TRUE(read.ok()) << blob.size();
    EXPECT_TRUE(*read == blob) << blob.size();
  }
  const auto totals = receiver.Finish();
  ASSERT_TRUE(totals.ok());
  EXPECT_EQ(totals->blobs(), std::size(blobs));
  EXPECT_EQ(totals->stored_bytes(), stored);
  EXPECT_EQ(totals->received_bytes(), received);
}

TEST_F(BlobTransfer, NamesABlobInItsFirstChunkAndClosesItInItsLast) {
  const std::string blob = Noise(3 * kChunkLimit);
  const Chunks chunks = Sent(blob);
  ASSERT_GT(chunks.size(), 2u);
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].digest(), i == 0 ? Sha256Of(blob) : "");
    EXPECT_EQ(chunks[i].size(), i == 0 ? blob.size() : 0);
    EXPECT_EQ(chunks[i].last(), i + 1 == chunks.size());
  }
}

TEST_F(BlobTransfer, SendsAFileAsItsBytes) {
  for (const size_t size : {size_t{0}, size_t{10}, kChunkLimit, kChunkLimit + 1, size_t{3} << 20}) {
    const std::string content = Noise(size);
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / "file", content).ok());
    Chunks chunks;
    ASSERT_TRUE(SendFile(folder_.path() / "file", Sha256Of(content), size, [&](const auto& chunk) {
                  chunks.push_back(chunk);
                  return true;
                }).ok());
    ASSERT_TRUE(Take(chunks).ok()) << size;
    EXPECT_TRUE(*store_->Read(Sha256Of(content)) == content) << size;
  }
}

TEST_F(BlobTransfer, NoticesAFileThatChangedWhileItWasSent) {
  ASSERT_TRUE(WriteFileAtomically(folder_.path() / "file", Noise(kChunkLimit * 2)).ok());
  const auto ignore = [](const auto&) { return true; };
  for (const size_t announced : {kChunkLimit * 2 - 1, kChunkLimit * 2 + 1}) {
    EXPECT_EQ(SendFile(folder_.path() / "file", Sha256Of(""), announced, ignore).code(),
              absl::StatusCode::kAborted);
  }
}

TEST_F(BlobTransfer, StopsWhenTheSinkDoes) {
  int calls = 0;
  const absl::Status status = SendBytes(Noise(4 * kChunkLimit), Sha256Of(""), [&](const auto&) {
    ++calls;
    return false;
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 1);
}

TEST_F(BlobTransfer, RefusesContentOfAnotherDigest) {
  Chunks chunks = Sent("content");
  chunks[0].set_digest(Sha256Of("something else"));
  const absl::Status status = Take(chunks);
  EXPECT_EQ(DetailOf(status).reason(), "DIGEST_MISMATCH") << status;
  EXPECT_FALSE(store_->Has(Sha256Of("something else")));
  chunks[0].set_digest("short");
  EXPECT_EQ(Take(chunks).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(BlobTransfer, RefusesChunksOutOfOrder) {
  const Chunks large = Sent(Noise(3 * kChunkLimit));
  const Chunks small = Sent("small");
  ASSERT_GT(large.size(), 2u);
  ExpectRefused({large[1]}, "begins in the middle");
  ExpectRefused({large[0], small[0]}, "a blob within another");
  ExpectRefused({large[0], large[0]}, "begins twice");
  ExpectRefused({large[0], large[2], large[1], large[3]}, "the middle turned round");
  ExpectRefused({large[0]}, "never ends");
  ExpectRefused({small[0], large[1]}, "goes on after its end");
  Chunks cut = {large[0], large.back()};
  ExpectRefused(cut, "a piece left out");
}

TEST_F(BlobTransfer, RefusesATruncatedFrame) {
  const std::string blob = Noise(1000);
  for (size_t cut = 1; cut < 20; ++cut) {
    Chunks chunks = Sent(blob);
    chunks[0].mutable_data()->resize(chunks[0].data().size() - cut);
    ExpectRefused(chunks, "cut by " + std::to_string(cut));
  }
}

TEST_F(BlobTransfer, RefusesWhatIsNoFrameAtAll) {
  Chunks chunks = Sent("content");
  chunks[0].set_data("this is no zstd frame");
  ExpectRefused(chunks, "garbage");
  chunks = Sent("content");
  chunks[0].mutable_data()->append("and more behind the frame");
  ExpectRefused(chunks, "more behind it");
}

TEST_F(BlobTransfer, RefusesAnotherSizeThanAnnounced) {
  for (const uint64_t size : {0u, 6u, 8u, 1'000'000'000u}) {
    Chunks chunks = Sent("content");
    chunks[0].set_size(size);
    ExpectRefused(chunks, std::to_string(size));
  }
}

TEST_F(BlobTransfer, RefusesAChunkLargerThanTheLimit) {
  Chunks chunks = Sent("content");
  chunks[0].mutable_data()->append(std::string(kChunkLimit, 'x'));
  ExpectRefused(chunks, "too large");
}

// 1 GiB of zeros, which compresses to some 32 KiB, announced as 1 MiB.
TEST_F(BlobTransfer, StopsABombAtItsAnnouncedSize) {
  std::string frame(1 << 20, '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_outBuffer output{frame.data(), frame.size(), 0};
  const std::string zeros(16 << 20, '\0');
  for (int i = 0; i < 64; ++i) {
    ZSTD_inBuffer input{zeros.data(), zeros.size(), 0};
    ASSERT_FALSE(ZSTD_isError(
        ZSTD_compressStream2(context, &output, &input, i == 63 ? ZSTD_e_end : ZSTD_e_continue)));
    ASSERT_EQ(input.pos, input.size);
  }
  ZSTD_freeCCtx(context);
  ASSERT_LT(output.pos, kChunkLimit);
  pb::UploadBlobsRequest bomb;
  bomb.set_digest(Sha256Of("whatever"));
  bomb.set_size(1 << 20);
  bomb.set_data(frame.substr(0, output.pos));
  bomb.set_last(true);

  BlobReceiver receiver(*store_);
  const absl::Status status = receiver.Take(bomb);
  EXPECT_EQ(DetailOf(status).reason(), "BAD_UPLOAD");
  EXPECT_NE(status.message().find("larger than its announced size"), std::string::npos) << status;
  // What was written until then is still there while the receiver lives.
  uintmax_t written = 0;
  for (const auto& item : std::filesystem::directory_iterator(folder_.path() / "blobs" / "tmp")) {
    written += item.file_size();
  }
  EXPECT_LE(written, uintmax_t{1 << 20});
}

TEST_F(BlobTransfer, FindsWhatAStoreLacks) {
  pb::Manifest manifest;
  for (const auto& [path, content] : {std::pair{"a", "one"}, {"b", "two"}, {"c", "one"}}) {
    pb::ManifestEntry& entry = *manifest.add_entries();
    entry.set_path(path);
    entry.set_type(pb::FILE_TYPE_REGULAR);
    entry.set_digest(Sha256Of(content));
    entry.set_size(3);
  }
  pb::ManifestEntry& link = *manifest.add_entries();
  link.set_path("d");
  link.set_type(pb::FILE_TYPE_SYMLINK);
  link.set_link_target("a");
  const std::string bytes = SerializeManifest(manifest);

  EXPECT_THAT(*FindMissing(*store_, Sha256Of(bytes)), ::testing::ElementsAre(Sha256Of(bytes)));
  ASSERT_TRUE(Take(Sent(bytes)).ok());
  EXPECT_THAT(*FindMissing(*store_, Sha256Of(bytes)),
              ::testing::ElementsAre(Sha256Of("one"), Sha256Of("two")));
  ASSERT_TRUE(Take(Sent("one")).ok());
  EXPECT_THAT(*FindMissing(*store_, Sha256Of(bytes)), ::testing::ElementsAre(Sha256Of("two")));
}

TEST_F(BlobTransfer, ChecksAManifestBeforeItAnswersWhatItLacks) {
  ASSERT_TRUE(Take(Sent("this is no manifest")).ok());
  EXPECT_EQ(FindMissing(*store_, Sha256Of("this is no manifest")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// The most memory that this process ever had.
uint64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    uint64_t kilobytes = 0;
    if (absl::StartsWith(line, "VmHWM:") &&
        absl::SimpleAtoi(absl::StripSuffix(line.substr(6), " kB"), &kilobytes)) {
      return kilobytes << 10;
    }
  }
  return 0;
}

// A frame of zeros, cut into chunks; its announced size is true.
Chunks Bomb(uint64_t size) {
  std::string frame;
  ZSTD_CCtx* context = ZSTD_createCCtx();
  const std::vector<char> zeros(1 << 20);
  std::vector<char> out(ZSTD_CStreamOutSize());
  for (uint64_t done = 0; done < size; done += zeros.size()) {
    const bool last = done + zeros.size() >= size;
    ZSTD_inBuffer input{zeros.data(), zeros.size(), 0};
    size_t left = 1;
    while (last ? left != 0 : input.pos < input.size) {
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context, &output, &input, last ? ZSTD_e_end : ZSTD_e_continue);
      frame.append(out.data(), output.pos);
    }
  }
  ZSTD_freeCCtx(context);
  Chunks chunks;
  for (size_t at = 0; at < frame.size(); at += kChunkLimit) {
    chunks.emplace_back().set_data(frame.substr(at, kChunkLimit));
  }
  chunks.front().set_digest(std::string(32, 'x'));
  chunks.front().set_size(size);
  chunks.back().set_last(true);
  return chunks;
}

TEST_F(BlobTransfer, RefusesABombWhoseSizeIsTrueBeforeItTakesMemoryOrDisk) {
  const Chunks bomb = Bomb(1536 << 20);
  size_t compressed = 0;
  for (const auto& chunk : bomb) compressed += chunk.data().size();
  ASSERT_LT(compressed, 200u << 10);
  const uint64_t before = PeakBytes();
  ExpectRefused(bomb, "a bomb");
  EXPECT_LT(PeakBytes() - before, 20u << 20);
}

TEST_F(BlobTransfer, RefusesAFrameThatWantsALargeWindow) {
  std::string frame;
  frame.resize(1 << 20);
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
  const std::vector<char> zeros(1 << 20);
  ZSTD_inBuffer input{zeros.data(), zeros.size(), 0};
  ZSTD_outBuffer output{frame.data(), frame.size(), 0};
  // Without a pledge, so that the frame does not say how little it needs.
  ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue);
  ASSERT_EQ(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  frame.resize(output.pos);
  pb::UploadBlobsRequest chunk;
  chunk.set_digest(Sha256Of({zeros.data(), zeros.size()}));
  chunk.set_size(zeros.size());
  chunk.set_data(frame);
  chunk.set_last(true);
  ExpectRefused({chunk}, "a window of 128 MiB");
}

TEST_F(BlobTransfer, TakesAFileOfZerosThatIsNotOutOfProportion) {
  const std::string zeros(60 << 20, '\0');
  EXPECT_TRUE(Take(Sent(zeros)).ok());
  EXPECT_TRUE(store_->Has(Sha256Of(zeros)));
}

TEST_F(BlobTransfer, RefusesByWhatIsAnnouncedBeforeAnythingIsUnpacked) {
  UploadLimits limits;
  limits.file_bytes = 1000;
  limits.upload_bytes = 1500;
  const auto refusal = [&](const std::vector<std::string>& files) {
    BlobReceiver receiver(*store_, limits);
    for (const std::string& file : files) {
      for (const auto& chunk : Sent(file)) {
        if (absl::Status status = receiver.Take(chunk); !status.ok()) return status;
      }
    }
    return receiver.Finish().status();
  };
  EXPECT_TRUE(refusal({Noise(1000), Noise(500)}).ok());
  EXPECT_EQ(DetailOf(refusal({Noise(1001)})).reason(), "UPLOAD_TOO_LARGE");
  EXPECT_EQ(DetailOf(refusal({Noise(1000), Noise(501)})).reason(), "UPLOAD_TOO_LARGE");
  // Nor by what does not fit into a number.
  Chunks huge = Sent(Noise(10));
  huge[0].set_size(~uint64_t{0});
  BlobReceiver receiver(*store_);
  EXPECT_EQ(DetailOf(receiver.Take(huge[0])).reason(), "UPLOAD_TOO_LARGE");
}

TEST_F(BlobTransfer, GivesBackWhatItReservedAndDidNotStore) {
  int64_t reserved = 0;
  UploadLimits limits;
  limits.reserve = [&](uint64_t bytes) {
    if (bytes > 5000) return absl::ResourceExhaustedError("the quota");
    reserved += static_cast<int64_t>(bytes);
    return absl::OkStatus();
  };
  limits.give_back = [&](uint64_t bytes) { reserved -= static_cast<int64_t>(bytes); };
  const auto take = [&](Chunks chunks) {
    BlobReceiver receiver(*store_, limits);
    for (const auto& chunk : chunks) {
      if (absl::Status status = receiver.Take(chunk); !status.ok()) return status;
    }
    return receiver.Finish().status();
  };
  EXPECT_TRUE(take(Sent(Noise(1000))).ok());
  EXPECT_EQ(reserved, 1000);
  // What is there already takes no room.
  EXPECT_TRUE(take(Sent(Noise(1000))).ok());
  EXPECT_EQ(reserved, 1000);
  Chunks broken = Sent(Noise(2000));
  broken[0].set_digest(std::string(32, 'x'));
  EXPECT_FALSE(take(broken).ok());
  broken[0].set_last(false);
  EXPECT_FALSE(take(broken).ok());
  EXPECT_EQ(reserved, 1000);
  EXPECT_TRUE(absl::IsResourceExhausted(take(Sent(Noise(6000)))));
  EXPECT_EQ(reserved, 1000);
}

TEST_F(BlobTransfer, AFileListAboveTheBoundIsRefusedAndNotRead) {
  const std::string large = Noise((32 << 20) + 1);
  ASSERT_TRUE(Take(Sent(large)).ok());
  const uint64_t before = PeakBytes();
  const absl::Status refused = FindMissing(*store_, Sha256Of(large)).status();
  EXPECT_EQ(DetailOf(refused).reason(), "FILE_LIST_TOO_LARGE") << refused;
  EXPECT_LT(PeakBytes() - before, 1u << 20);
}

}  // namespace
}  // namespace slipway
