#include "executor/drivers/compose_binds.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

#include "common/status.h"
#include "executor/drivers/compose_findings.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

// The document is read by compose once more, so a dollar sign in it is doubled.
std::string Unescaped(absl::string_view text) { return absl::StrReplaceAll(text, {{"$$", "$"}}); }
std::string Escaped(absl::string_view text) { return absl::StrReplaceAll(text, {{"$", "$$"}}); }

std::string TextIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// A directory in place of a file lets the container fail with a message that explains nothing, so a
// missing source that must have been a file is told from a directory that is yet to be written.
bool LooksLikeFile(absl::string_view path) {
  const absl::string_view name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0) {
    return absl::StartsWith(name, ".env") || absl::StartsWith(name, ".ht") ||
           absl::EndsWith(name, "file") || absl::StartsWith(name, ".pgpass");
  }
  const absl::string_view extension = name.substr(dot + 1);
  return extension.size() >= 2 && extension.size() <= 10 &&
         std::all_of(extension.begin(), extension.end(),
                     [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }) &&
         absl::ascii_isalpha(static_cast<unsigned char>(extension.front()));
}

}  // namespace

std::optional<ComposeMount> ParseComposeMount(const json& entry) {
  ComposeMount mount;
  if (entry.is_string()) {
    const std::vector<std::string> parts = absl::StrSplit(entry.get<std::string>(), ':');
    if (parts.size() == 1) {
      mount.target = parts[0];
      return mount;
    }
    mount.source = parts[0];
    mount.target = parts[1];
    mount.bind = absl::StartsWith(mount.source, "/");
    if (parts.size() > 2) {
      const std::vector<std::string> options = absl::StrSplit(parts[2], ',');
      mount.read_only = std::find(options.begin(), options.end(), "ro") != options.end();
    }
    return mount;
  }
  if (!entry.is_object()) return std::nullopt;
  const std::string type = TextIn(entry, "type");
  if (type != "bind" && type != "volume") return std::nullopt;
  mount.bind = type == "bind";
  mount.source = TextIn(entry, "source");
  mount.target = TextIn(entry, "target");
  mount.read_only = entry.value("read_only", json(false)) == json(true);
  return mount;
}

absl::StatusOr<BindPlan> BindPlan::Make(const BindInput& input) {
  BindPlan plan(input);
  SLIPWAY_RETURN_IF_ERROR(plan.Collect());
  for (const char* section : {"secrets", "configs"}) {
    SLIPWAY_RETURN_IF_ERROR(plan.CollectFiles(section));
  }
  SLIPWAY_RETURN_IF_ERROR(plan.CollectVolumes());
  if (!plan.missing_.empty()) {
    return Failure(
        pb::FAILURE_REASON_INVALID_COMPOSE_FILE, absl::StrCat(absl::StrJoin(plan.missing_, "; ")),
        "add it to the release (is it ignored?); a directory that the application writes "
        "is named in compose.state of slipway.yaml");
  }
  SLIPWAY_RETURN_IF_ERROR(plan.Place());
  SLIPWAY_RETURN_IF_ERROR(plan.CheckAdopted());
  plan.Nest();
  return plan;
}

std::optional<std::string> BindPlan::InRelease(absl::string_view source) const {
  const std::filesystem::path path = Unescaped(source);
  if (!path.is_absolute() || !IsInside(path, input_.release_folder)) return std::nullopt;
  const std::string relative =
      path.lexically_normal().lexically_relative(input_.release_folder).string();
  return relative == "." ? "" : relative;
}

absl::Status BindPlan::Note(absl::string_view source, const std::string& where,
                            const std::string& target, Realm realm, bool read_only,
                            const std::string& service) {
  const auto relative = InRelease(source);
  if (!relative) return absl::OkStatus();
  const auto path = input_.content->Resolve(*relative);
  if (!path.ok()) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   absl::StrCat(where, ": ./", path.status().message()));
  }
  Source& noted = sources_[*path];
  noted.services.insert(service);
  noted.used[realm] = true;
  noted.writable[realm] |= !read_only;
  const bool known = input_.content->KindOf(*path) != ReleaseContent::Kind::kAbsent ||
                     input_.state.contains(*path) || input_.adopted.contains(*path);
  if (!known && (target.empty() || (LooksLikeFile(*path) && LooksLikeFile(target)))) {
    missing_.push_back(absl::StrCat(where, ": ./", *relative, " is not in the release"));
  }
  return absl::OkStatus();
}

absl::Status BindPlan::Collect() {
  for (const auto& item : (*input_.document)["services"].items()) {
    for (const json& entry : item.value().value("volumes", json::array())) {
      const auto mount = ParseComposeMount(entry);
      if (!mount || !mount->bind) continue;
      SLIPWAY_RETURN_IF_ERROR(Note(mount->source, absl::StrCat("services.", item.key(), ".volumes"),
                                   mount->target, RealmOf(item.key()), mount->read_only,
                                   item.key()));
    }
  }
  return absl::OkStatus();
}

absl::Status BindPlan::CollectFiles(const char* section) {
  const auto found = input_.document->find(section);
  if (found == input_.document->end() || !found->is_object()) return absl::OkStatus();
  for (const auto& file : found->items()) {
    if (!file.value().is_object()) continue;
    const std::string path = TextIn(file.value(), "file");
    if (path.empty()) continue;
    for (const auto& item : (*input_.document)["services"].items()) {
      bool uses = false;
      for (const json& entry : item.value().value(section, json::array())) {
        uses |= entry.is_string() ? entry == json(file.key())
                                  : entry.is_object() && TextIn(entry, "source") == file.key();
      }
      if (!uses) continue;
      SLIPWAY_RETURN_IF_ERROR(Note((input_.release_folder / Unescaped(path)).string(),
                                   absl::StrCat(section, ".", file.key(), ".file"), "",
                                   RealmOf(item.key()), /*read_only=*/true, item.key()));
    }
  }
  return absl::OkStatus();
}

absl::Status BindPlan::CollectVolumes() {
  const auto found = input_.document->find("volumes");
  if (found == input_.document->end() || !found->is_object()) return absl::OkStatus();
  for (const auto& item : found->items()) {
    if (!item.value().is_object()) continue;
    const json options = item.value().value("driver_opts", json::object());
    const auto written = options.is_object() ? InRelease(TextIn(options, "device")) : std::nullopt;
    if (!written) continue;
    const auto relative = input_.content->Resolve(*written);
    if (!relative.ok()) {
      return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                     absl::StrCat("volumes.", item.key(), ": ./", relative.status().message()));
    }
    // A volume keeps the options that it was created with, so it must outlive the release.
    const bool has_content = input_.content->KindOf(*relative) != ReleaseContent::Kind::kAbsent &&
                             !input_.content->IsPlaceholder(*relative) &&
                             !input_.state.contains(*relative);
    if (has_content) {
      return Failure(
          pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
          absl::StrCat("volumes.", item.key(), ".driver_opts: ./", *relative,
                       " is a directory of the release, and the volume would outlive it"),
          "mount it as a bind, or name it in compose.state of slipway.yaml");
    }
    Source& noted = sources_[*relative];
    for (const Realm realm : {kOfRelease, kOfShared})
      noted.used[realm] = noted.writable[realm] = true;
  }
  return absl::OkStatus();
}

absl::Status BindPlan::Place() {
  for (auto& [path, source] : sources_) {
    const auto kind = input_.content->KindOf(path);
    const bool state =
        !path.empty() && (kind == ReleaseContent::Kind::kAbsent || input_.state.contains(path) ||
                          input_.content->IsPlaceholder(path));
    for (const Realm realm : {kOfRelease, kOfShared}) {
      PlannedBind& place = source.places[realm];
      place.path = path;
      place.file = kind == ReleaseContent::Kind::kFile;
      if (!state) continue;
      const auto adopted = input_.adopted.find(path);
      place.place = BindPlace::kState;
      place.adopted = adopted != input_.adopted.end();
      place.source = place.adopted ? adopted->second
                                   : (input_.paths.Data(input_.app) / EncodedPath(path)).string();
    }
  }
  for (auto& [path, source] : sources_) {
    if (source.places[kOfRelease].place != BindPlace::kState) PlaceContent(path, source);
  }
  return absl::OkStatus();
}

void BindPlan::PlaceContent(const std::string& path, Source& source) {
  const bool inside_writable =
      std::any_of(sources_.begin(), sources_.end(), [&](const auto& outer) {
        return outer.second.writable[kOfRelease] && IsBelow(path, outer.first) &&
               outer.second.places[kOfRelease].place != BindPlace::kState;
      });
  PlannedBind& own = source.places[kOfRelease];
  own.place = inside_writable ? BindPlace::kDetached : BindPlace::kRelease;
  own.source =
      inside_writable
          ? (input_.paths.Detached(input_.app, input_.release) / EncodedPath(path)).string()
      : path.empty() ? input_.release_folder.string()
                     : (input_.release_folder / path).string();
  PlannedBind& shared = source.places[kOfShared];
  shared.place = BindPlace::kShared;
  shared.source = (input_.paths.SharedFiles(input_.app) / EncodedPath(path)).string();
  if (!source.used[kOfShared]) return;
  for (const std::string& service : source.services) {
    if (RealmOf(service) == kOfShared) shared_paths_[service].insert(path);
  }
}

// In an adopted installation the directories lie in one another as they do beside the compose file,
// where one container could replace what another mounts.
absl::Status BindPlan::CheckAdopted() const {
  for (const auto& [inner, source] : sources_) {
    if (!source.places[kOfRelease].adopted) continue;
    for (const auto& [outer, other] : sources_) {
      if (!other.places[kOfRelease].adopted || !IsBelow(inner, outer)) continue;
      if (!other.writable[kOfRelease] && !other.writable[kOfShared]) continue;
      return Failure(
          pb::FAILURE_REASON_POLICY,
          absl::StrCat("./", inner, " lies in ./", outer,
                       ", which containers may write: one of them could put a link to the host's "
                       "files there, and the next container would mount those"),
          absl::StrCat("mount ./", outer, " alone, or keep ./", inner, " outside of it"));
    }
  }
  return absl::OkStatus();
}

bool BindPlan::IsSeparateWithin(const Source& inner, const Source& outer, Realm realm) const {
  const PlannedBind& place = inner.places[realm];
  if (place.place == BindPlace::kState) return true;
  if (!inner.used[realm]) return false;
  if (realm == kOfRelease) return place.place == BindPlace::kDetached;
  return inner.writable[realm] || outer.writable[realm];
}

void BindPlan::Nest() {
  for (const auto& item : (*input_.document)["services"].items()) {
    const Realm realm = RealmOf(item.key());
    std::set<std::string> taken;
    std::vector<ComposeMount> mounts;
    for (const json& entry : item.value().value("volumes", json::array())) {
      auto mount = ParseComposeMount(entry);
      if (!mount) continue;
      taken.insert(std::filesystem::path(mount->target).lexically_normal().string());
      if (mount->bind) mounts.push_back(*std::move(mount));
    }
    for (const ComposeMount& mount : mounts) {
      const PlannedBind* outer = PlaceOf(mount.source, realm);
      if (outer == nullptr) continue;
      for (const auto& [path, inner] : sources_) {
        if (!IsBelow(path, outer->path) ||
            !IsSeparateWithin(inner, sources_.at(outer->path), realm)) {
          continue;
        }
        const PlannedBind& place = inner.places[realm];
        const std::string rest = path.substr(outer->path.empty() ? 0 : outer->path.size() + 1);
        const std::string target =
            (std::filesystem::path(mount.target) / Escaped(rest)).lexically_normal().string();
        if (!taken.insert(target).second) continue;
        extras_[item.key()].push_back({place.source, target, mount.read_only});
        if (!outer->adopted) mount_points_.insert({outer->source, rest, place.file, outer->place});
      }
    }
  }
}

const PlannedBind* BindPlan::PlaceOf(absl::string_view source, Realm realm) const {
  const auto relative = InRelease(source);
  if (!relative) return nullptr;
  const auto path = input_.content->Resolve(*relative);
  if (!path.ok()) return nullptr;
  const auto found = sources_.find(*path);
  return found == sources_.end() ? nullptr : &found->second.places[realm];
}

void BindPlan::Rewrite(const std::string& service, json& definition) const {
  const auto found = definition.find("volumes");
  if (found == definition.end() || !found->is_array()) return;
  const Realm realm = RealmOf(service);
  bool as_text = false;
  for (json& entry : *found) {
    as_text |= entry.is_string();
    const auto mount = ParseComposeMount(entry);
    if (!mount || !mount->bind) continue;
    const PlannedBind* place = PlaceOf(mount->source, realm);
    if (place == nullptr) continue;
    const std::string source = Escaped(place->source);
    if (entry.is_string()) {
      entry =
          absl::StrCat(source, entry.get_ref<const std::string&>().substr(mount->source.size()));
    } else {
      entry["source"] = source;
    }
  }
  const auto extras = extras_.find(service);
  if (extras == extras_.end()) return;
  for (const Extra& extra : extras->second) {
    const std::string source = Escaped(extra.source);
    if (as_text) {
      found->push_back(absl::StrCat(source, ":", extra.target, extra.read_only ? ":ro" : ":rw"));
    } else {
      found->push_back({{"type", "bind"},
                        {"source", source},
                        {"target", extra.target},
                        {"read_only", extra.read_only}});
    }
  }
}

void BindPlan::RewriteFiles(json& section, bool shared) const {
  if (!section.is_object()) return;
  for (json& entry : section) {
    if (!entry.is_object()) continue;
    const std::string path = TextIn(entry, "file");
    if (path.empty()) continue;
    const PlannedBind* place = PlaceOf((input_.release_folder / Unescaped(path)).string(),
                                       shared ? kOfShared : kOfRelease);
    if (place != nullptr) entry["file"] = Escaped(place->source);
  }
}

void BindPlan::RewriteVolumes(json& volumes) const {
  if (!volumes.is_object()) return;
  for (json& entry : volumes) {
    if (!entry.is_object() || !entry.contains("driver_opts")) continue;
    json& options = entry["driver_opts"];
    const PlannedBind* place =
        options.is_object() ? PlaceOf(TextIn(options, "device"), kOfShared) : nullptr;
    if (place != nullptr) options["device"] = Escaped(place->source);
  }
}

std::vector<PlannedBind> BindPlan::Separate() const {
  std::vector<PlannedBind> separate;
  for (const auto& [path, source] : sources_) {
    if (source.places[kOfRelease].place == BindPlace::kState) {
      separate.push_back(source.places[kOfRelease]);
      continue;
    }
    if (source.used[kOfRelease] && source.places[kOfRelease].place == BindPlace::kDetached)
      separate.push_back(source.places[kOfRelease]);
    if (source.used[kOfShared]) separate.push_back(source.places[kOfShared]);
  }
  return separate;
}

std::vector<std::string> BindPlan::SharedPathsOf(const std::string& service) const {
  const auto found = shared_paths_.find(service);
  if (found == shared_paths_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace slipway::executor
