#include "controller/store/store_listener.h"

#include <algorithm>
#include <chrono>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_split.h"

#include "common/file.h"
#include "common/logging.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{2'000};

StoreChange ChangeOf(const PostgresNotice& notice) {
  if (notice.channel != "slipway_events") return {StoreChange::Kind::kLeadership, "", ""};
  const std::pair<std::string, std::string> names =
      absl::StrSplit(notice.payload, absl::MaxSplits('/', 1));
  return {StoreChange::Kind::kEvents, names.first, names.second};
}

}  // namespace

StoreListener::StoreListener(PostgresOptions options,
                             std::function<void(const StoreChange&)> callback)
    : options_(std::move(options)), callback_(std::move(callback)), thread_([this] { Run(); }) {}

StoreListener::~StoreListener() {
  stop_.Cancel();
  thread_.join();
}

void StoreListener::Run() {
  const UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  const CancellationHook hook(&stop_, [&wake] {
    const uint64_t one = 1;
    static_cast<void>(write(wake.get(), &one, sizeof(one)) == sizeof(one));
  });
  // Nothing tells when a server is back.
  std::chrono::milliseconds pause = kFirstPause;
  while (!stop_.IsCancelled()) {
    const auto start = std::chrono::steady_clock::now();
    const absl::Status lost = Listen(wake.get());
    if (stop_.IsCancelled()) return;
    const bool worked = std::chrono::steady_clock::now() - start > std::chrono::seconds(10);
    if (worked) pause = kFirstPause;
    if (pause == kFirstPause) {
      LogWarning("what other controllers do is not heard",
                 {{"problem", std::string(lost.message())}});
    }
    stop_.WaitFor(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

absl::Status StoreListener::Listen(int wake) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Connect(options_));
  SLIPWAY_RETURN_IF_ERROR(connection->Execute("LISTEN slipway_events; LISTEN slipway_leadership"));
  callback_({});
  while (!stop_.IsCancelled()) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto notices, connection->AwaitNotices(wake));
    for (const PostgresNotice& notice : notices) callback_(ChangeOf(notice));
  }
  return absl::OkStatus();
}

}  // namespace slipway::controller
