#include "executor/paths.h"

#include "absl/strings/str_cat.h"

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
fs::path Paths::BuildContext(absl::string_view digest) const {
  return state_ / "contexts" / std::string(digest);
}
fs::path Paths::Marker(absl::string_view app) const {
  return state_ / "markers" / std::string(app);
}
fs::path Paths::Site(absl::string_view app) const { return sites_ / std::string(app); }
fs::path Paths::SiteCopy(absl::string_view app, pb::Slot slot) const {
  return Site(app) / SlotWord(slot);
}

std::string SlotProject(absl::string_view app, pb::Slot slot) {
  return absl::StrCat(app, "-", SlotWord(slot));
}
std::string WorkersProject(absl::string_view app) { return absl::StrCat(app, "-workers"); }
std::string HooksProject(absl::string_view app) { return absl::StrCat(app, "-hooks"); }
std::string FrontNetwork(absl::string_view app) { return absl::StrCat(app, "_front"); }
std::string BuiltImage(absl::string_view app, absl::string_view digest) {
  return absl::StrCat("slipway/", app, ":b-", digest);
}

}  // namespace slipway::executor
