#include "executor/drivers/compose_definition.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

#include "common/digest.h"
#include "executor/failure.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

std::string Text(const json& document) {
  return document.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string ShortDigest(absl::string_view text) {
  return absl::BytesToHexString(Sha256Of(text)).substr(0, 16);
}

// Over the build section and every file of its context: equal inputs are built once, also across
// releases.
std::string DigestOf(const CutInput& input, const BuildPlan& plan) {
  json section = plan.section;
  section["context"] = plan.context;
  std::vector<std::string> contexts = {plan.context};
  const std::string root = input.release_folder.string();
  for (const auto& [text, path] : LocalContextsIn(section, root)) {
    *text = absl::StrReplaceAll(*text, {{root, "."}});
    contexts.push_back(path);
  }
  if (input.restore) input.restore(section);
  Sha256 hash;
  hash.Update(Text(section));
  for (const std::string& context : contexts) {
    const std::string prefix = context.empty() ? "" : absl::StrCat(context, "/");
    for (const pb::ManifestEntry& entry : input.manifest->entries()) {
      if (!absl::StartsWith(entry.path(), prefix)) continue;
      hash.Update(entry.SerializeAsString());
    }
  }
  return absl::BytesToHexString(hash.Finish()).substr(0, 16);
}

absl::Status PlanImage(const CutInput& input, const std::string& name, const json& service,
                       CutResult& result) {
  const auto build = service.find("build");
  if (build == service.end() || build->is_null()) {
    result.images[name] = service.value("image", "");
    return absl::OkStatus();
  }
  BuildPlan plan;
  plan.section = build->is_string() ? json{{"context", *build}} : *build;
  const std::string root = input.release_folder.string();
  if (!plan.section.is_object() || !plan.section.value("context", json()).is_string()) {
    return WrongService(name, "build needs a context");
  }
  absl::string_view context = plan.section["context"].get_ref<const std::string&>();
  if (context != root && !absl::StartsWith(context, absl::StrCat(root, "/"))) {
    return WrongService(name, absl::StrCat("the build context ", context, " is not in the release"),
                        "move what it needs into the application's folder");
  }
  context.remove_prefix(root.size());
  while (absl::ConsumePrefix(&context, "/")) {
  }
  plan.context = std::string(context);
  plan.digest = DigestOf(input, plan);
  plan.image = BuiltImage(input.release.app, plan.digest);
  result.images[name] = plan.image;
  const bool known =
      std::any_of(result.builds.begin(), result.builds.end(),
                  [&](const BuildPlan& other) { return other.digest == plan.digest; });
  if (!known) result.builds.push_back(std::move(plan));
  return absl::OkStatus();
}

}  // namespace

absl::Status WrongService(absl::string_view service, absl::string_view what,
                          absl::string_view cure) {
  return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                 absl::StrCat("services.", service, ": ", what), cure);
}

absl::Status PlanImages(const CutInput& input, CutResult& result) {
  for (const auto& item : input.document["services"].items()) {
    if (absl::Status status = PlanImage(input, item.key(), item.value(), result); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

std::vector<std::pair<std::string*, std::string>> LocalContextsIn(
    json& section, const std::string& release_folder) {
  std::vector<std::pair<std::string*, std::string>> contexts;
  const auto found = section.find("additional_contexts");
  if (found == section.end() || !found->is_structured()) return contexts;
  for (json& entry : *found) {
    if (!entry.is_string()) continue;
    std::string& text = entry.get_ref<std::string&>();
    absl::string_view path = text;
    if (found->is_array()) path.remove_prefix(std::min(path.find('=') + 1, path.size()));
    if (path != release_folder && !absl::StartsWith(path, absl::StrCat(release_folder, "/")))
      continue;
    path.remove_prefix(release_folder.size());
    while (absl::ConsumePrefix(&path, "/")) {
    }
    contexts.emplace_back(&text, std::string(path));
  }
  return contexts;
}

json DefinitionParts(const CutInput& input, const ReleaseContent& content, const CutResult& result,
                     const std::string& service) {
  json definition = input.document["services"][service];
  if (input.restore) input.restore(definition);
  json parts = {{"text", ShortDigest(absl::StrReplaceAll(Text(definition),
                                                         {{input.release_folder.string(), "."}}))},
                {"files", json::object()}};
  if (definition.contains("build")) parts["image"] = result.images.at(service);
  const auto paths = result.shared_paths.find(service);
  if (paths != result.shared_paths.end()) {
    for (const std::string& path : paths->second) parts["files"][path] = content.DigestOf(path);
  }
  return parts;
}

std::string DefinitionOf(const json& parts) { return ShortDigest(Text(parts)); }

SharedState CompareShared(const DockerContainer& container, const CutResult& cut,
                          std::vector<std::string>* changes) {
  std::vector<std::string> found;
  const std::string service = container.Label(kLabelService);
  const auto wanted = cut.definitions.find(service);
  if (wanted == cut.definitions.end()) return SharedState::kSame;
  const std::string definition = container.Label(kLabelDefinition);
  if (definition == wanted->second) return SharedState::kSame;
  const json& parts = cut.parts.at(service);
  if (definition.empty()) {
    const std::string& image = cut.images.at(service);
    if (!parts.contains("image") && image != container.image)
      found.push_back(absl::StrCat("image ", container.image, " -> ", image));
    if (changes != nullptr) *changes = found;
    return found.empty() ? SharedState::kUnknown : SharedState::kChanged;
  }
  const json known = json::parse(container.Label(kLabelParts), nullptr, /*allow_exceptions=*/false);
  const auto part = [](const json& object, const char* key) {
    return object.is_object() ? object.value(key, json()) : json();
  };
  if (part(known, "text") != part(parts, "text"))
    found.push_back("its text in the compose file changed");
  if (part(known, "image") != part(parts, "image"))
    found.push_back("what its image is built from changed");
  const json before = part(known, "files");
  for (const auto& file : parts["files"].items()) {
    if (!before.is_object() || before.value(file.key(), json()) == file.value()) continue;
    found.push_back(
        absl::StrCat("bound ", file.key().empty() ? "release" : "file ", file.key(), " changed"));
  }
  if (changes != nullptr) *changes = std::move(found);
  return SharedState::kChanged;
}

}  // namespace slipway::executor
