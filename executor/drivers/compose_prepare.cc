// Workload::Prepare: from an unpacked release to generated projects.
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
#include "common/yaml_document.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_installation.h"
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

// What compose itself would call the project, where the file or the env file says it.
std::set<std::string> ProjectsNamedBy(const std::string& compose_text,
                                      const Environment& environment) {
  std::set<std::string> names;
  const auto root = LoadYaml(compose_text, "");
  if (root.ok() && root->IsMap()) {
    const YAML::Node name = (*root)["name"];
    if (name && name.IsScalar()) names.insert(name.Scalar());
  }
  const auto variable = environment.find("COMPOSE_PROJECT_NAME");
  if (variable != environment.end()) names.insert(variable->second);
  return names;
}

// Both refusals at once, so that who follows the one does not meet the other.
absl::Status Together(const absl::Status& one, const absl::Status& other) {
  if (one.ok()) return other;
  if (other.ok()) return one;
  return Failure(ReasonOf(one),
                 absl::StrCat(std::string(one.message()), "; and ", std::string(other.message())),
                 absl::StrCat(DetailOf(one).cure(), "; ", DetailOf(other).cure()));
}

}  // namespace

absl::Status ComposeWorkload::CheckHostOf(const StagedRelease& release, const json& document,
                                          const std::set<std::string>& named,
                                          ComposeFindings& findings) {
  DockerResources host;
  SLIPWAY_ASSIGN_OR_RETURN(host.containers, engine_.List({{kLabelProject, ""}}));
  SLIPWAY_ASSIGN_OR_RETURN(host.volumes, engine_.ListVolumes());
  SLIPWAY_ASSIGN_OR_RETURN(host.networks, engine_.ListNetworks({}));
  FindResourcesOfOthers(document, release.spec.compose().project(), host, findings);
  return Together(
      findings.Verdict(release.allowances),
      CheckOtherInstallations({document, release.spec, named}, host, release.allowances));
}

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

absl::StatusOr<EnvRedactor> ComposeWorkload::RedactorOf(const StagedRelease& release) const {
  const auto folder = paths_.Release(release.app, release.release);
  SLIPWAY_ASSIGN_OR_RETURN(const std::string env_file,
                           ReadFile(paths_.Generated(release.app, release.release) / "env"));
  SLIPWAY_ASSIGN_OR_RETURN(const Environment environment, ParseEnvFile(env_file));
  const auto compose_text = ReadFile(folder / release.spec.compose().file());
  return EnvRedactor(environment, EnvTokens(environment),
                     absl::StrCat(compose_text.value_or(""), "\n", release.spec.DebugString(), "\n",
                                  paths_.State().string()));
}

absl::Status ComposeWorkload::Prepare(const StagedRelease& release, const pb::Manifest& manifest,
                                      absl::string_view env_file, const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const Environment environment, ParseEnvFile(env_file));
  const auto generated = paths_.Generated(release.app, release.release);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(generated, 0700));
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(generated / "env", env_file, 0600));
  SLIPWAY_ASSIGN_OR_RETURN(const EnvRedactor redactor, RedactorOf(release));
  return redactor.Hide(PrepareWith(release, manifest, env_file, environment, EnvTokens(environment),
                                   redactor, call));
}

absl::Status ComposeWorkload::CheckAllowances(const StagedRelease& release) {
  SLIPWAY_ASSIGN_OR_RETURN(
      const std::string text,
      ReadFile(paths_.Generated(release.app, release.release) / "findings.json"));
  SLIPWAY_ASSIGN_OR_RETURN(
      const ComposeFindings findings,
      ComposeFindings::FromJson(json::parse(text, nullptr, /*allow_exceptions=*/false)));
  return findings.Verdict(release.allowances);
}

absl::Status ComposeWorkload::PrepareWith(const StagedRelease& release,
                                          const pb::Manifest& manifest, absl::string_view env_file,
                                          const Environment& environment, const EnvTokens& tokens,
                                          const EnvRedactor& redactor, const CallContext& call) {
  const auto folder = paths_.Release(release.app, release.release);
  const auto env_path = folder / release.spec.compose().env_file();
  if (!std::filesystem::exists(folder / release.spec.compose().file())) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   absl::StrCat("the release has no ", release.spec.compose().file()),
                   "set compose.file in slipway.yaml");
  }
  ComposeFindings findings;
  SLIPWAY_RETURN_IF_ERROR(
      FindComposeReferences(folder, release.spec.compose().file(), environment, findings));
  SLIPWAY_RETURN_IF_ERROR(findings.Verdict(release.allowances));
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
  }
  const auto profiles = environment.find("COMPOSE_PROFILES");
  input.profiles = profiles == environment.end() ? "" : profiles->second;
  std::set<std::string> kept(release.spec.compose().slotted().begin(),
                             release.spec.compose().slotted().end());
  kept.insert(release.spec.compose().workers().begin(), release.spec.compose().workers().end());
  for (const auto* hooks :
       {&release.spec.hooks().before_switch(), &release.spec.hooks().after_switch()}) {
    for (const pb::Hook& hook : *hooks) kept.insert(hook.service());
  }
  for (json* document : {&input.document, &input.green_document}) {
    if (document->is_null()) continue;
    DropInactiveServices(*document, input.profiles, kept);
    ExpandVolumesFrom(*document);
  }
  // Judged is what will run. What people read of it has no value in it, see env_redactor.h.
  json restored = input.document;
  tokens.Restore(restored);
  FindComposePolicy(restored, release.spec.compose().project(), folder, findings);
  SLIPWAY_RETURN_IF_ERROR(
      CheckHostOf(release, restored, ProjectsNamedBy(compose_text, environment), findings));
  SLIPWAY_RETURN_IF_ERROR(CheckVariableSizes(restored));
  if (!release.planned) {
    input.document = std::move(restored);
    tokens.Restore(input.green_document);
  }
  input.restore = [&tokens](json& part) { tokens.Restore(part); };
  input.release = release;
  input.release_folder = folder;
  input.manifest = &manifest;
  input.env_digest = Sha256Of(env_file);
  input.paths = paths_;
  input.executor_id = executor_id_;
  SLIPWAY_ASSIGN_OR_RETURN(input.adopted, AdoptedState(release));
  input.address = address_;
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, CutCompose(input));
  const auto generated = paths_.Generated(release.app, release.release);
  const std::pair<const char*, const json&> files[] = {{"shared.json", cut.shared},
                                                       {"blue.json", cut.blue},
                                                       {"green.json", cut.green},
                                                       {"jobs.json", cut.jobs},
                                                       {"workers.json", cut.workers}};
  for (const auto& [name, document] : files) {
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(generated / name, Dump(document), 0600));
  }
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(generated / "cut.json", Dump(ToJson(cut)), 0600));
  if (release.planned) return absl::OkStatus();
  const auto shown = [&redactor](absl::string_view text) { return redactor.Hide(text); };
  SLIPWAY_RETURN_IF_ERROR(
      WriteFileAtomically(generated / "findings.json", Dump(findings.ToJson(shown)), 0600));
  SLIPWAY_RETURN_IF_ERROR(MakeReleaseBinds(release, manifest, env_file, cut));
  SLIPWAY_RETURN_IF_ERROR(RecordAdopted(release.app, cut.binds));
  // Any user of a container may read it; the directories above let nobody else in.
  return WriteFileAtomically(env_path, env_file, 0644);
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

}  // namespace slipway::executor
