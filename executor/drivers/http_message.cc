#include "executor/drivers/http_message.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {
namespace {

constexpr size_t kMaxHead = 64 << 10;

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool IsToken(absl::string_view text) {
  return !text.empty() && !HasControl(text) && text.find(' ') == absl::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> FormatHttpRequest(const HttpRequest& request) {
  std::string host = request.host;
  if (host.empty())
    host = request.endpoint.unix_socket.empty() ? request.endpoint.address : "docker";
  if (!IsToken(request.method) || !IsToken(request.path) || !IsToken(host)) {
    return absl::InvalidArgumentError("the request's method, path or host is not plain text");
  }
  std::string text = absl::StrCat(request.method, " ", request.path, " HTTP/1.1\r\nHost: ", host,
                                  "\r\nConnection: close\r\nUser-Agent: slipway\r\n");
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || HasControl(value)) {
      return absl::InvalidArgumentError("a header of the request is not plain text");
    }
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  if (!request.body.empty() || request.method == "POST") {
    absl::StrAppend(&text, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&text, "\r\n", request.body);
  return text;
}

absl::Status HttpResponseParser::Take(absl::string_view bytes) {
  while (!bytes.empty() && state_ != State::kDone) {
    if (state_ == State::kUntilEnd) {
      Deliver(bytes);
      return absl::OkStatus();
    }
    if (state_ == State::kCounted || state_ == State::kChunk) {
      const absl::string_view piece =
          bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(left_, bytes.size())));
      bytes.remove_prefix(piece.size());
      left_ -= piece.size();
      const bool last = left_ == 0;
      const State next = state_ == State::kCounted ? State::kDone : State::kChunkEnd;
      Deliver(piece);
      if (last && state_ != State::kDone) state_ = next;
      continue;
    }
    const size_t end = bytes.find('\n');
    absl::StrAppend(&pending_, bytes.substr(0, end == absl::string_view::npos ? end : end + 1));
    if (pending_.size() > kMaxHead) return absl::InternalError("an answer with an endless head");
    if (end == absl::string_view::npos) return absl::OkStatus();
    bytes.remove_prefix(end + 1);
    if (state_ == State::kHead) {
      if (!absl::EndsWith(pending_, "\n\r\n") && !absl::EndsWith(pending_, "\n\n")) continue;
      if (absl::Status status = TakeHead(); !status.ok()) return status;
    } else if (absl::Status status = TakeLine(absl::StripAsciiWhitespace(pending_)); !status.ok()) {
      return status;
    }
    pending_.clear();
  }
  return absl::OkStatus();
}

absl::Status HttpResponseParser::TakeLine(absl::string_view line) {
  if (state_ == State::kChunkEnd) {
    state_ = State::kChunkSize;
    return line.empty() ? absl::OkStatus() : absl::InternalError("a chunk longer than it says");
  }
  if (state_ == State::kTrailer) {
    if (line.empty()) state_ = State::kDone;
    return absl::OkStatus();
  }
  const absl::string_view digits = line.substr(0, line.find_first_of("; "));
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    return absl::InternalError("a chunk without a size");
  }
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  return absl::OkStatus();
}

absl::Status HttpResponseParser::TakeHead() {
  const std::vector<absl::string_view> lines = absl::StrSplit(pending_, '\n');
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::StripAsciiWhitespace(lines[0]), absl::MaxSplits(' ', 2));
  int status = 0;
  if (words.size() < 2 || !absl::StartsWith(words[0], "HTTP/1.") ||
      !absl::SimpleAtoi(words[1], &status) || status < 100 || status > 999) {
    return absl::InternalError("an answer that is not HTTP");
  }
  // 100 Continue and the like come before the answer; 101 is one.
  if (status < 200 && status != 101) return absl::OkStatus();
  response_.status = status;
  for (size_t i = 1; i < lines.size(); ++i) {
    const absl::string_view line = absl::StripAsciiWhitespace(lines[i]);
    const size_t colon = line.find(':');
    if (line.empty()) continue;
    if (colon == absl::string_view::npos) return absl::InternalError("a header without a colon");
    response_.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  const auto length = response_.headers.find("content-length");
  if (length != response_.headers.end() && !absl::SimpleAtoi(length->second, &left_)) {
    return absl::InternalError("a Content-Length that is no number");
  }
  ChooseBody();
  return absl::OkStatus();
}

void HttpResponseParser::ChooseBody() {
  const auto coding = response_.headers.find("transfer-encoding");
  if (head_only_ || response_.status == 204 || response_.status == 304) {
    state_ = State::kDone;
  } else if (coding != response_.headers.end() && absl::StrContains(coding->second, "chunked")) {
    state_ = State::kChunkSize;
  } else if (response_.headers.contains("content-length")) {
    state_ = left_ == 0 ? State::kDone : State::kCounted;
  } else {
    state_ = State::kUntilEnd;
  }
}

void HttpResponseParser::Deliver(absl::string_view bytes) {
  if (sink_ ? !sink_(bytes) : false) state_ = State::kDone;
  if (!sink_) absl::StrAppend(&response_.body, bytes);
}

absl::Status HttpResponseParser::End() {
  if (state_ == State::kUntilEnd) state_ = State::kDone;
  if (state_ == State::kDone) return absl::OkStatus();
  return absl::AbortedError("the connection ended before the answer was complete");
}

}  // namespace slipway::executor
