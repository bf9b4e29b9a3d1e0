#include "executor/drivers/docker_stream.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace slipway::executor {
namespace {
constexpr size_t kHeader = 8;
constexpr size_t kMaxLine = 64 << 10;
}  // namespace

bool DockerFrames::Take(absl::string_view bytes) {
  if (raw_) return bytes.empty() || sink_(bytes);
  while (!bytes.empty()) {
    if (left_ == 0) {
      const absl::string_view part = bytes.substr(0, kHeader - header_.size());
      absl::StrAppend(&header_, part);
      bytes.remove_prefix(part.size());
      if (header_.size() < kHeader) return true;
      for (size_t i = 4; i < kHeader; ++i)
        left_ = left_ << 8 | static_cast<unsigned char>(header_[i]);
      header_.clear();
      continue;
    }
    const absl::string_view payload = bytes.substr(0, std::min(left_, bytes.size()));
    bytes.remove_prefix(payload.size());
    left_ -= payload.size();
    if (!sink_(payload)) return false;
  }
  return true;
}

bool LineCutter::Emit() {
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  const bool go_on = sink_(line_);
  line_.clear();
  return go_on;
}

bool LineCutter::Take(absl::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    absl::StrAppend(&line_, text.substr(0, end));
    if (end == absl::string_view::npos) return line_.size() < kMaxLine || Emit();
    if (!Emit()) return false;
    text.remove_prefix(end + 1);
  }
  return true;
}

bool LineCutter::Finish() { return line_.empty() || Emit(); }

}  // namespace slipway::executor
