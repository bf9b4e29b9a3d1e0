#include "common/metadata_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "common/status.h"
#include "common/utf8.h"

namespace slipway {
namespace {

constexpr size_t kLongestSecret = 4096;

bool IsPlain(char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)) && c != '%'; }
bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string EncodeMetadata(absl::string_view text) {
  if (text.size() > kLongestMetadataText) {
    size_t end = kLongestMetadataText;
    while (end > 0 && IsContinuation(text[end])) --end;
    text = text.substr(0, end);
  }
  std::string encoded;
  for (const char c : text) {
    if (IsPlain(c)) {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  // gRPC takes white space around a value away.
  if (!encoded.empty() && encoded.front() == ' ') encoded.replace(0, 1, "%20");
  if (!encoded.empty() && encoded.back() == ' ') encoded.replace(encoded.size() - 1, 1, "%20");
  return encoded;
}

std::string DecodeMetadata(absl::string_view encoded) {
  std::string text;
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool escape = encoded[i] == '%' && i + 2 < encoded.size() &&
                        absl::ascii_isxdigit(static_cast<unsigned char>(encoded[i + 1])) &&
                        absl::ascii_isxdigit(static_cast<unsigned char>(encoded[i + 2]));
    if (escape) {
      absl::StrAppend(&text, absl::HexStringToBytes(encoded.substr(i + 1, 2)));
      i += 2;
    } else {
      text.push_back(encoded[i]);
    }
  }
  const bool readable = IsUtf8(text);
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !readable)) c = '?';
  }
  return text.substr(0, kLongestMetadataText);
}

absl::StatusOr<std::string> CleanSecret(absl::string_view text, absl::string_view name) {
  const absl::string_view secret = absl::StripAsciiWhitespace(text);
  const bool clean = std::all_of(secret.begin(), secret.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (clean && secret.size() <= kLongestSecret) return std::string(secret);
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TOKEN_TEXT",
               absl::StrCat(name, clean ? " is longer than any token"
                                        : " holds a space, a line break or another character that "
                                          "no token has"),
               "copy the token anew; it is one word of letters, digits and `_`");
}

}  // namespace slipway
