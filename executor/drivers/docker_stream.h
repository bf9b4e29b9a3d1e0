// Docker's streams as lines: output in frames of 8 bytes of header (stdout, stderr and length), or
// raw with a TTY. Pure.
#pragma once

#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace slipway::executor {

// Takes the frames' headers out; hands the payload on as it comes.
class DockerFrames {
 public:
  // False from the sink stops for good.
  using Sink = std::function<bool(absl::string_view payload)>;

  DockerFrames(bool raw, Sink sink) : raw_(raw), sink_(std::move(sink)) {}

  bool Take(absl::string_view bytes);

 private:
  const bool raw_;
  const Sink sink_;
  std::string header_;
  size_t left_ = 0;
};

// Cuts text into lines without their newline and carriage return; a line of more than 64 KiB comes
// in pieces.
class LineCutter {
 public:
  using Sink = std::function<bool(absl::string_view line)>;

  explicit LineCutter(Sink sink) : sink_(std::move(sink)) {}

  bool Take(absl::string_view text);
  // The last line, when it had no newline.
  bool Finish();

 private:
  bool Emit();

  const Sink sink_;
  std::string line_;
};

}  // namespace slipway::executor
