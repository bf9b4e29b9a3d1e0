#include "executor/drivers/evidence_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "common/utf8.h"

namespace slipway::executor {
namespace {

// Length of the character at the front, 0 when it does not belong into evidence.
size_t CharacterLength(absl::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes.front());
  if ((lead < 0x20 && lead != '\t' && lead != '\n') || lead == 0x7f) return 0;
  return Utf8Length(bytes);
}

}  // namespace

std::string EvidenceText(absl::string_view bytes, size_t max) {
  std::string text;
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
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
