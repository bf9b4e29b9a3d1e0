#include "common/grpc_status.h"

#include "google/rpc/error_details.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"

#include "slipway/v1/status_details.pb.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

pb::StatusDetails DetailsOf(const absl::Status& status) {
  pb::StatusDetails details;
  EXPECT_TRUE(details.ParseFromString(ToGrpc(status).error_details()));
  return details;
}

// Nothing when it is not among them.
template <typename Message>
std::optional<Message> Find(const pb::StatusDetails& details) {
  for (const auto& one : details.details()) {
    Message message;
    if (one.UnpackTo(&message)) return message;
  }
  return std::nullopt;
}

const absl::Status kBusy = Error(absl::StatusCode::kFailedPrecondition, "BUSY", "gifty is busy",
                                 "wait for it", "applications/gifty");

TEST(GrpcStatus, ComesBackAsItWasSent) {
  const absl::Status back = FromGrpc(ToGrpc(kBusy));
  EXPECT_EQ(back.code(), kBusy.code());
  EXPECT_EQ(back.message(), kBusy.message());
  EXPECT_EQ(DetailOf(back).reason(), "BUSY");
  EXPECT_EQ(DetailOf(back).cure(), "wait for it");
  EXPECT_EQ(DetailOf(back).subject(), "applications/gifty");
}

TEST(GrpcStatus, IsReadByTheMessagesOfGoogleRpc) {
  const pb::StatusDetails details = DetailsOf(kBusy);
  EXPECT_EQ(details.code(), static_cast<int>(kBusy.code()));
  EXPECT_EQ(details.message(), "gifty is busy");
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  const auto info = Find<google::rpc::ErrorInfo>(details);
  EXPECT_EQ(info->reason(), "BUSY");
  EXPECT_EQ(info->domain(), "slipway");
  EXPECT_EQ(info->metadata().at("subject"), "applications/gifty");
  EXPECT_EQ(info->metadata().at("cure"), "wait for it");
  const auto failure = Find<google::rpc::PreconditionFailure>(details);
  ASSERT_EQ(failure->violations_size(), 1);
  EXPECT_EQ(failure->violations(0).type(), "BUSY");
  EXPECT_EQ(failure->violations(0).subject(), "applications/gifty");
  EXPECT_EQ(failure->violations(0).description(), "gifty is busy");
  EXPECT_FALSE(Find<google::rpc::BadRequest>(details));
}

TEST(GrpcStatus, NamesTheFieldsThatWereRefused) {
  const auto request = Find<google::rpc::BadRequest>(DetailsOf(
      Error(absl::StatusCode::kInvalidArgument, "BAD_SPEC",
            "slots.blue: is no port\nhosts[0]: has a space: 'a b'\nNothing: is no path")));
  ASSERT_EQ(request->field_violations_size(), 2);
  EXPECT_EQ(request->field_violations(0).field(), "slots.blue");
  EXPECT_EQ(request->field_violations(0).description(), "is no port");
  EXPECT_EQ(request->field_violations(1).field(), "hosts[0]");
  EXPECT_EQ(request->field_violations(1).description(), "has a space: 'a b'");
}

TEST(GrpcStatus, HasNoDetailsWhereThereAreNone) {
  EXPECT_THAT(DetailsOf(absl::InternalError("no policy")).details(), IsEmpty());
  EXPECT_THAT(DetailOf(FromGrpc(ToGrpc(absl::InternalError("no policy")))).reason(), IsEmpty());
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

// Whatever an error says, it arrives: trailers above 8 KiB would be refused as a whole.
TEST(GrpcStatus, FitsIntoTrailersHoweverLongItIs) {
  for (const std::string word : {"word ", "ü", "slots.blue: is no port\n", "%"}) {
    std::string text;
    while (text.size() < 100'000) text += word;
    for (const auto code :
         {absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition}) {
      const grpc::Status sent = ToGrpc(Error(code, "LONG", text, text, "applications/gifty"));
      size_t message_bytes = 0;
      for (const char c : sent.error_message())
        message_bytes += c >= ' ' && c < 127 && c != '%' ? 1 : 3;
      EXPECT_LT(message_bytes + sent.error_details().size() * 4 / 3, 8'000u) << word;
      EXPECT_EQ(DetailOf(FromGrpc(sent)).reason(), "LONG");
      EXPECT_THAT(std::string(FromGrpc(sent).message()), HasSubstr(word.substr(0, 4)));
    }
  }
}

TEST(GrpcStatus, CutsBetweenCharacters) {
  for (size_t shift = 0; shift < 9; ++shift) {
    std::string text(shift, 'a');
    while (text.size() < 3000) text += "€";
    const std::string cut = ToGrpc(absl::InternalError(text)).error_message();
    ASSERT_EQ(cut.substr(cut.size() - 4), " ...");
    // Whole characters of three bytes after the shift.
    EXPECT_EQ((cut.size() - 4 - shift) % 3, 0u);
    EXPECT_EQ(text.substr(0, cut.size() - 4), cut.substr(0, cut.size() - 4));
  }
}

}  // namespace
}  // namespace slipway
