// Workload::Prepare and Build: from an unpacked release to generated projects and images.
#include <algorithm>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/digest.h"
#include "common/env_file.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_policy.h"
#include "executor/drivers/compose_workload.h"
#include "executor/drivers/env_tokens.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

// One string of an environment may have this many bytes, its name and `=` included
// (MAX_ARG_STRLEN).
constexpr size_t kLargestVariable = 128 << 10;
// Stands for the release's folder in the kept output of `compose config`.
constexpr char kFolderToken[] = "/slipway-release-folder";

std::string Dump(const json& document) {
  return document.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

// What of the release, besides the compose file and the env file, has a part in what `compose
// config` prints: the other env files, or else every file.
std::string OtherInputs(const std::string& compose_text, const std::string& env_file,
                        const pb::Manifest& manifest) {
  const auto read = EnvFilesOf(compose_text);
  if (!read) return manifest.SerializeAsString();
  std::string inputs;
  for (const std::string& written : *read) {
    const std::string path = std::filesystem::path(written).lexically_normal().string();
    if (path == env_file) continue;
    const auto found =
        std::find_if(manifest.entries().begin(), manifest.entries().end(),
                     [&path](const pb::ManifestEntry& entry) { return entry.path() == path; });
    // Behind a link or outside of the release: who knows.
    if (found == manifest.entries().end() || found->type() == pb::FILE_TYPE_SYMLINK)
      return manifest.SerializeAsString();
    absl::StrAppend(&inputs, path, "=", found->digest());
  }
  return inputs;
}

absl::Status CheckVariableSizes(const json& document) {
  for (const auto& item : document["services"].items()) {
    const auto environment = item.value().find("environment");
    if (environment == item.value().end() || !environment->is_object()) continue;
    for (const auto& variable : environment->items()) {
      if (!variable.value().is_string()) continue;
      const size_t size =
          variable.key().size() + 2 + variable.value().get_ref<const std::string&>().size();
      if (size <= kLargestVariable) continue;
      return Failure(
          pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
          absl::StrCat("services.", item.key(), ".environment.", variable.key(), " has ", size,
                       " bytes; Linux gives no process a variable of more than 128 KiB"),
          "let the application read it from the env file in its release folder instead");
    }
  }
  return absl::OkStatus();
}

}  // namespace

ComposeCli::Project ComposeWorkload::ProjectFor(const StagedRelease& release,
                                                const std::string& name,
                                                const std::string& file) const {
  const auto folder = paths_.Generated(release.app, release.release);
  return {name, folder / file, folder};
}

absl::StatusOr<json> ComposeWorkload::Normalise(const StagedRelease& release,
                                                const pb::Manifest& manifest,
                                                const std::string& clean_env, uint32_t port,
                                                const CallContext& call) {
  const auto folder = paths_.Release(release.app, release.release);
  const pb::ComposeSpec& spec = release.spec.compose();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string compose_text, ReadFile(folder / spec.file()));

  Sha256 inputs;
  for (const std::string& part :
       {compose_.Version(), spec.SerializeAsString(), release.spec.port_variable(),
        absl::StrCat(port), Sha256Of(clean_env), Sha256Of(compose_text),
        OtherInputs(compose_text, spec.env_file(), manifest)}) {
    inputs.Update(absl::StrCat(part.size(), ":", part));
  }
  const std::string key = absl::BytesToHexString(inputs.Finish());

  const auto cache_file = absl::StrCat(paths_.Normalised(release.app).string(), "-", port);
  if (const auto kept = ReadFile(cache_file); kept.ok() && absl::StartsWith(*kept, key)) {
    json document = json::parse(
        absl::StrReplaceAll(kept->substr(key.size()), {{kFolderToken, folder.string()}}), nullptr,
        /*allow_exceptions=*/false);
    if (!document.is_discarded()) return document;
  }
  std::map<std::string, std::string> variables;
  if (!release.spec.port_variable().empty())
    variables[release.spec.port_variable()] = absl::StrCat(port);
  SLIPWAY_ASSIGN_OR_RETURN(json document,
                           compose_.Config({spec.project(), folder / spec.file(), folder},
                                           folder / spec.env_file(), variables, call));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(
      cache_file,
      absl::StrCat(key, absl::StrReplaceAll(Dump(document), {{folder.string(), kFolderToken}})),
      0600));
  return document;
}

absl::Status ComposeWorkload::Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                                      absl::string_view env_file, const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const Environment environment, ParseEnvFile(env_file));
  const EnvTokens tokens(environment);
  const auto folder = paths_.Release(release.app, release.release);
  const auto env_path = folder / release.spec.compose().env_file();
  if (!std::filesystem::exists(folder / release.spec.compose().file())) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   absl::StrCat("the release has no ", release.spec.compose().file()),
                   "set compose.file in slipway.yaml");
  }
  SLIPWAY_RETURN_IF_ERROR(CheckComposeReferences(folder, release.spec.compose().file(), environment,
                                                 release.allowances));
  // While compose reads the file, tokens stand where the values will be; see env_tokens.h.
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(env_path, tokens.CleanFile(), 0600));
  CutInput input;
  SLIPWAY_ASSIGN_OR_RETURN(input.document, Normalise(release, manifest, tokens.CleanFile(),
                                                     release.spec.slots().blue(), call));
  const std::string& variable = release.spec.port_variable();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string compose_text,
                           ReadFile(folder / release.spec.compose().file()));
  const bool used_again =
      !variable.empty() &&
      compose_text.find(variable, compose_text.find(variable) + 1) != std::string::npos;
  if (used_again) {
    SLIPWAY_ASSIGN_OR_RETURN(input.green_document, Normalise(release, manifest, tokens.CleanFile(),
                                                             release.spec.slots().green(), call));
    tokens.Restore(input.green_document);
  }
  tokens.Restore(input.document);
  SLIPWAY_RETURN_IF_ERROR(CheckComposePolicy(input.document, release.spec.compose().project(),
                                             folder, release.allowances));
  SLIPWAY_RETURN_IF_ERROR(CheckVariableSizes(input.document));
  input.release = release;
  input.release_folder = folder;
  input.manifest = &manifest;
  input.address = address_;
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, CutCompose(input));
  const auto generated = paths_.Generated(release.app, release.release);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(generated, 0700));
  const std::pair<const char*, const json&> files[] = {{"shared.json", cut.shared},
                                                       {"blue.json", cut.blue},
                                                       {"green.json", cut.green},
                                                       {"workers.json", cut.workers}};
  for (const auto& [name, document] : files) {
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(generated / name, Dump(document), 0600));
  }
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(generated / "cut.json", Dump(ToJson(cut)), 0600));
  return WriteFileAtomically(env_path, env_file, 0600);
}

absl::StatusOr<CutResult> ComposeWorkload::LoadCut(const std::string& app,
                                                   const std::string& release) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(paths_.Generated(app, release) / "cut.json"));
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded())
    return absl::DataLossError("the release's generated state is damaged");
  return CutFromJson(document);
}

// Builds from a folder of its own: neither the env file nor anything that a running version wrote
// is in it.
absl::StatusOr<std::string> ComposeWorkload::BuildImage(const StagedRelease& release,
                                                        const BuildPlan& plan,
                                                        const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string digest,
                           ReadFile(paths_.Generated(release.app, release.release) / "manifest"));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, releases_.ReadManifest(digest));
  const auto context = paths_.BuildContext(plan.digest);
  SLIPWAY_RETURN_IF_ERROR(releases_.UnpackInto(context, manifest, plan.context));
  json section = plan.section;
  section["context"] = context.string();
  const json project = {{"version", "3.9"},
                        {"services", {{"build", {{"build", section}, {"image", plan.image}}}}}};
  const auto file = paths_.Generated(release.app, release.release) / "build.json";
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(file, Dump(project), 0600));
  // Not in the context itself: compose would take settings from a .env that the release brings
  // along.
  const absl::Status built = compose_.Build(
      {absl::StrCat(release.app, "-build"), file, file.parent_path()}, {"build"}, call);
  std::error_code error;
  std::filesystem::remove_all(context, error);
  SLIPWAY_RETURN_IF_ERROR(built);
  return plan.image;
}

absl::StatusOr<pb::BuildEvidence> ComposeWorkload::Build(const StagedRelease& release,
                                                         const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  pb::BuildEvidence evidence;
  std::set<std::string> ours;
  for (const BuildPlan& plan : cut.builds) {
    ours.insert(plan.image);
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(plan.image));
    if (exists) {
      evidence.add_reused_images(plan.image);
      continue;
    }
    SLIPWAY_ASSIGN_OR_RETURN(*evidence.add_built_images(), BuildImage(release, plan, call));
  }
  // What comes from a registry, once per image; a shared service that runs already needs none.
  std::map<std::string, std::pair<std::string, std::string>> wanted;
  for (const auto& [service, image] : cut.images) {
    if (ours.contains(image) || image.empty()) continue;
    const bool shared = cut.shared_services.contains(service);
    if (shared) {
      SLIPWAY_ASSIGN_OR_RETURN(const auto running,
                               engine_.List({{kLabelProject, release.spec.compose().project()},
                                             {kLabelService, service}}));
      if (!running.empty()) continue;
    }
    const bool slotted = cut.blue["services"].contains(service);
    wanted[image] = {service, shared ? "shared.json" : slotted ? "blue.json" : "workers.json"};
  }
  for (const auto& [image, from] : wanted) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool exists, engine_.ImageExists(image));
    if (exists) {
      evidence.add_reused_images(image);
      continue;
    }
    SLIPWAY_RETURN_IF_ERROR(compose_.Pull(
        ProjectFor(release, absl::StrCat(release.app, "-build"), from.second), {from.first}, call));
    evidence.add_pulled_images(image);
  }
  return evidence;
}

absl::StatusOr<pb::PruneEvidence> ComposeWorkload::Forget(const std::string& app,
                                                          const std::vector<std::string>& releases,
                                                          const std::vector<std::string>& kept) {
  std::set<std::string> needed;
  for (const std::string& release : kept) {
    const auto cut = LoadCut(app, release);
    if (!cut.ok()) continue;
    for (const BuildPlan& plan : cut->builds) needed.insert(plan.image);
  }
  pb::PruneEvidence evidence;
  for (const std::string& release : releases) {
    const auto cut = LoadCut(app, release);
    if (!cut.ok()) continue;
    for (const BuildPlan& plan : cut->builds) {
      if (needed.contains(plan.image)) continue;
      // In use by a container that is not ours to stop: it stays, and is tried again with the next
      // prune of its release.
      const absl::Status removed = engine_.RemoveImage(plan.image);
      if (removed.ok()) evidence.add_removed_images(plan.image);
    }
  }
  return evidence;
}

}  // namespace slipway::executor
