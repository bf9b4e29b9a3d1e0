#include "executor/drivers/evidence_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {
namespace {

// Length of the valid UTF-8 sequence at the front, 0 when there is none.
size_t SequenceLength(absl::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes.front());
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : (lead == '\t' || lead == '\n' ? 1 : 0);
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(bytes[1]);
  // Overlong forms, surrogates, and what lies above U+10FFFF.
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
      (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

std::string EvidenceText(absl::string_view bytes, size_t max) {
  std::string text;
  while (!bytes.empty()) {
    const size_t length = SequenceLength(bytes);
    if (text.size() + (length == 0 ? 1 : length) > max) break;
    if (length == 0) {
      text.push_back('?');
      bytes.remove_prefix(1);
    } else {
      text.append(bytes.data(), length);
      bytes.remove_prefix(length);
    }
  }
  return text;
}

std::vector<std::string> LastLines(absl::string_view text, size_t count) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StripAsciiWhitespace(line).empty()) {
      lines.push_back(EvidenceText(absl::StripTrailingAsciiWhitespace(line), 512));
    }
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

}  // namespace slipway::executor
