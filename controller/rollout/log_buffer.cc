#include "controller/rollout/log_buffer.h"

#include <utility>

#include "common/logging.h"

namespace slipway::controller {
namespace {
constexpr size_t kBurst = 64;
constexpr std::chrono::milliseconds kQuiet{100};
constexpr int kMostLines = 10'000;
constexpr size_t kMostBytes = 4096;
}  // namespace

LogBuffer::LogBuffer(Store& store, EventHub& hub, std::string app, std::string deployment,
                     std::string host, std::string step)
    : store_(store),
      hub_(hub),
      app_(std::move(app)),
      deployment_(std::move(deployment)),
      host_(std::move(host)),
      step_(std::move(step)) {}

void LogBuffer::Add(const pb::LogLine& line) {
  if (++lines_ > kMostLines) return;
  pb::Event& event = waiting_.emplace_back();
  event.set_host(host_);
  event.mutable_log()->set_step(step_);
  event.mutable_log()->set_text(lines_ == kMostLines ? "(further lines are left out)"
                                                     : line.text().substr(0, kMostBytes));
  const bool quiet = std::chrono::steady_clock::now() - last_flush_ > kQuiet;
  if (quiet || waiting_.size() >= kBurst) Flush();
}

void LogBuffer::Flush() {
  if (waiting_.empty()) return;
  const auto stored = store_.AppendEvents(app_, deployment_, waiting_);
  if (!stored.ok()) {
    LogWarning("lines of output are lost",
               {{"deployment", deployment_}, {"error", std::string(stored.status().message())}});
  }
  waiting_.clear();
  last_flush_ = std::chrono::steady_clock::now();
  hub_.Publish(app_, deployment_);
}

}  // namespace slipway::controller
