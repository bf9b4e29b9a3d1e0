#include "executor/paths.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "common/digest.h"
#include "common/spec.h"

namespace slipway::executor {

namespace fs = std::filesystem;

fs::path Paths::Releases(absl::string_view app) const {
  return Apps() / std::string(app) / "releases";
}
fs::path Paths::Release(absl::string_view app, absl::string_view release) const {
  return Releases(app) / std::string(release);
}
fs::path Paths::Generated(absl::string_view app, absl::string_view release) const {
  return Apps() / std::string(app) / "state" / std::string(release);
}
fs::path Paths::Normalised(absl::string_view app) const {
  return Apps() / std::string(app) / "normalised";
}
fs::path Paths::Detached(absl::string_view app, absl::string_view release) const {
  return Apps() / std::string(app) / "detached" / std::string(release);
}
fs::path Paths::SharedFiles(absl::string_view app) const {
  return Apps() / std::string(app) / "shared-files";
}
fs::path Paths::Data(absl::string_view app) const { return Apps() / std::string(app) / "data"; }
fs::path Paths::AdoptedData(absl::string_view app) const {
  return Apps() / std::string(app) / "data.json";
}
fs::path Paths::Marker(absl::string_view app) const {
  return state_ / "markers" / std::string(app);
}
fs::path Paths::Site(absl::string_view app) const { return sites_ / std::string(app); }
fs::path Paths::SiteCopy(absl::string_view app, pb::Slot slot) const {
  return Site(app) / SlotWord(slot);
}

std::string EncodedPath(absl::string_view relative) {
  // NAME_MAX less the suffixes of temporary files.
  constexpr size_t kLongest = 200;
  std::string encoded;
  for (const char c : relative.empty() ? "." : relative) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' ||
                       (c == '.' && !encoded.empty());
    if (plain) {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  if (encoded.size() <= kLongest) return encoded;
  return absl::StrCat(encoded.substr(0, kLongest - 33), "-",
                      absl::BytesToHexString(Sha256Of(relative)).substr(0, 32));
}

std::string SlotProject(absl::string_view app, pb::Slot slot) {
  return absl::StrCat(app, "-", SlotWord(slot));
}
std::string WorkersProject(absl::string_view app) { return absl::StrCat(app, "-workers"); }
std::string HooksProject(absl::string_view app) { return absl::StrCat(app, "-hooks"); }
std::string JobsProject(absl::string_view app) { return absl::StrCat(app, "-jobs"); }
std::string FrontNetwork(absl::string_view app) { return absl::StrCat(app, "_front"); }
std::string BuiltImage(absl::string_view app, absl::string_view digest) {
  return absl::StrCat("slipway/", app, ":b-", digest);
}

}  // namespace slipway::executor
