// The text of HTTP/1.1: requests written, answers read piece by piece. Pure. Used by
// http_client.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "executor/drivers/http_client.h"

namespace slipway::executor {

// INVALID_ARGUMENT when a part holds a control character or a space that would end it early.
absl::StatusOr<std::string> FormatHttpRequest(const HttpRequest& request);

// Takes the bytes of an answer as they come. Bodies by Content-Length, chunked, or until the
// connection ends.
class HttpResponseParser {
 public:
  // False from the sink stops the parser for good.
  using Sink = std::function<bool(absl::string_view)>;

  HttpResponseParser(bool head_only, Sink sink) : head_only_(head_only), sink_(std::move(sink)) {}

  // INTERNAL when it is not HTTP.
  absl::Status Take(absl::string_view bytes);
  // The connection has ended; ABORTED when the answer is not complete.
  absl::Status End();

  bool done() const { return state_ == State::kDone; }
  bool has_head() const { return state_ != State::kHead; }
  const HttpResponse& response() const { return response_; }

 private:
  enum class State { kHead, kCounted, kUntilEnd, kChunkSize, kChunk, kChunkEnd, kTrailer, kDone };

  absl::Status TakeHead();
  absl::Status TakeLine(absl::string_view line);
  void ChooseBody();
  void Deliver(absl::string_view bytes);

  const bool head_only_;
  const Sink sink_;
  State state_ = State::kHead;
  // Bytes of a head or of a chunk's line that is not complete yet.
  std::string pending_;
  // Of the body or of the chunk.
  uint64_t left_ = 0;
  HttpResponse response_;
};

}  // namespace slipway::executor
