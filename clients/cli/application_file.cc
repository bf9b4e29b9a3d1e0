#include "clients/cli/application_file.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "common/file.h"
#include "common/manifest.h"
#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/yaml_proto.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;

// The commit that a ref names, loose or packed.
std::string ResolveRef(const fs::path& git, const std::string& ref) {
  if (const auto loose = ReadFile(git / ref); loose.ok()) {
    return std::string(absl::StripAsciiWhitespace(*loose));
  }
  const auto packed = ReadFile(git / "packed-refs");
  if (!packed.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*packed, '\n')) {
    if (absl::EndsWith(line, absl::StrCat(" ", ref))) return std::string(line.substr(0, 40));
  }
  return "";
}

// Of a push's event, when it is of this commit.
std::optional<absl::Time> TimeOfHeadCommit(const fs::path& event_file, const std::string& id) {
  const auto text = ReadFile(event_file);
  google::protobuf::Struct event;
  if (!text.ok() || !google::protobuf::util::JsonStringToMessage(*text, &event).ok()) return {};
  const auto head = event.fields().find("head_commit");
  if (head == event.fields().end()) return {};
  const auto& fields = head->second.struct_value().fields();
  const auto said = fields.find("id");
  const auto timestamp = fields.find("timestamp");
  if (said == fields.end() || said->second.string_value() != id || timestamp == fields.end()) {
    return {};
  }
  absl::Time time;
  const bool good =
      absl::ParseTime(absl::RFC3339_full, timestamp->second.string_value(), &time, nullptr);
  return good ? std::optional<absl::Time>(time) : std::nullopt;
}

}  // namespace

fs::path FolderOf(const std::string& path) {
  std::error_code error;
  // What cannot be made absolute, such as the empty path, is not read either.
  const fs::path absolute = fs::absolute(path, error);
  return error ? fs::path() : absolute.parent_path();
}

absl::StatusOr<ApplicationFile> ReadApplicationFile(const std::string& path) {
  auto text = ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    return Error(
        absl::StatusCode::kNotFound, "NO_APPLICATION_FILE",
        absl::StrCat("there is no ", path, " here"),
        "run `slipway init` to write one from your compose file, or name another with --file");
  }
  SLIPWAY_RETURN_IF_ERROR(text.status());
  ApplicationFile application;
  SLIPWAY_RETURN_IF_ERROR(ParseYaml(*text, path, application.spec));
  ApplyDefaults(application.spec);
  if (absl::Status status = ValidateSpec(application.spec); !status.ok()) {
    return Annotate(status, path);
  }
  application.folder = FolderOf(path);
  application.content = application.spec.has_site()
                            ? application.folder / application.spec.site().root()
                            : application.folder;
  return application;
}

absl::StatusOr<Subject> SubjectOf(const std::string& named, const std::string& app,
                                  const std::string& file) {
  Subject subject;
  if (IsDeploymentId(named)) {
    subject.deployment = named;
  } else if (!named.empty()) {
    absl::string_view rest = named;
    absl::ConsumePrefix(&rest, "applications/");
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits('/', 1));
    absl::string_view deployment = parts.second;
    absl::ConsumePrefix(&deployment, "deployments/");
    subject.app = std::string(parts.first);
    subject.deployment = std::string(deployment);
    const bool is_whole = absl::StrContains(rest, '/') ? IsDeploymentId(deployment) : true;
    if (!IsApplicationName(subject.app) || !is_whole) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   absl::StrCat("'", named, "' names neither an application nor a deployment"),
                   "write one such as gifty or 20261122-3f2c1a; `slipway history` lists them");
    }
  }
  if (!app.empty() && !IsApplicationName(app)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                 absl::StrCat("'", app, "' is no application name"));
  }
  if (!app.empty() && !subject.app.empty() && app != subject.app) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                 absl::StrCat("two applications are named: ", subject.app, " and ", app));
  }
  if (subject.app.empty()) subject.app = app;
  if (!subject.app.empty()) return subject;
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationFile application, ReadApplicationFile(file));
  subject.app = application.spec.app();
  return subject;
}

absl::StatusOr<std::string> ApplicationOf(const std::string& named, const std::string& file) {
  SLIPWAY_ASSIGN_OR_RETURN(const Subject subject, SubjectOf(named, "", file));
  return subject.app;
}

absl::StatusOr<pb::Manifest> ScanWorkingCopy(const ApplicationFile& application) {
  const auto ignored = ReadFile(application.folder / ".slipwayignore");
  IgnoreRules rules = IgnoreRules::Parse(ignored.ok() ? *ignored : "");
  if (!application.spec.has_site()) {
    rules.Add(absl::StrCat("/", application.spec.compose().env_file()));
  } else if (std::error_code error; !fs::is_directory(application.content, error)) {
    return Error(absl::StatusCode::kNotFound, "NO_SITE",
                 absl::StrCat("there is no folder ", application.content.string()),
                 "build the site first, for example `mkdocs build --strict`, or mend `site.root`");
  }
  return ScanFolder(application.content, rules);
}

Commit ReadCommit(const fs::path& folder) {
  Commit commit;
  const char* sha = std::getenv("GITHUB_SHA");
  if (sha != nullptr && IsCommitName(sha)) {
    commit.id = sha;
    const char* ref = std::getenv("GITHUB_REF");
    if (ref != nullptr) commit.ref = ref;
    if (const char* event = std::getenv("GITHUB_EVENT_PATH")) {
      commit.time = TimeOfHeadCommit(event, commit.id);
    }
    return commit;
  }
  for (fs::path at = folder; !at.empty(); at = at.parent_path()) {
    if (const auto head = ReadFile(at / ".git" / "HEAD"); head.ok()) {
      absl::string_view text = absl::StripAsciiWhitespace(*head);
      if (absl::ConsumePrefix(&text, "ref: ")) commit.ref = std::string(text);
      commit.id = commit.ref.empty() ? std::string(text) : ResolveRef(at / ".git", commit.ref);
      if (!IsCommitName(commit.id)) commit.id.clear();
      return commit;
    }
    if (at == at.root_path()) break;
  }
  return commit;
}

}  // namespace slipway::cli
