// slipway init: a commented slipway.yaml from an existing compose file, or for a static site. Guesses
// are marked as such; nothing is overwritten.
#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/verb.h"
#include "common/env_file.h"
#include "common/file.h"
#include "common/names.h"
#include "common/status.h"
#include "common/yaml_document.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string compose;
  std::string site;
  std::string app;
  std::string host = "web-1";
};

// What the compose file suggests.
struct Guess {
  std::string compose_file;
  std::set<std::string> slotted;
  std::set<std::string> workers;
  std::set<std::string> shared;
  std::set<std::string> jobs;
  // What compose calls the project when it is told nothing.
  std::string project;
  std::string port_variable;
  uint32_t port = 8000;
  std::string health_path = "/health";
};

std::string FindComposeFile(const std::string& named) {
  if (!named.empty()) return named;
  std::error_code error;
  for (const char* name :
       {"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}) {
    if (fs::exists(name, error)) return name;
  }
  return "docker-compose.yml";
}

// 127.0.0.1:${APP_PORT:-8000}:8000 names the variable and the port.
void ReadPort(const std::string& text, Guess& guess) {
  const size_t start = text.find("${");
  const size_t end = text.find('}', start);
  if (start == std::string::npos || end == std::string::npos) {
    const size_t last = text.rfind(':');
    if (last == std::string::npos || last == 0) return;
    const size_t before = text.rfind(':', last - 1);
    const std::string host = text.substr(before == std::string::npos ? 0 : before + 1,
                                         last - (before == std::string::npos ? 0 : before + 1));
    if (!host.empty() && absl::ascii_isdigit(static_cast<unsigned char>(host[0]))) {
      guess.port = static_cast<uint32_t>(std::strtoul(host.c_str(), nullptr, 10));
    }
    return;
  }
  const std::string inside = text.substr(start + 2, end - start - 2);
  const size_t dash = inside.find_first_of(":-?+");
  if (IsVariableName(inside.substr(0, dash))) guess.port_variable = inside.substr(0, dash);
  const size_t value = inside.find_last_not_of("0123456789");
  if (value != std::string::npos && value + 1 < inside.size()) {
    guess.port = static_cast<uint32_t>(std::strtoul(inside.c_str() + value + 1, nullptr, 10));
  }
}

// The value of a key, also of one that comes by a merge key (`<<: *common`), which yaml-cpp does not
// resolve.
YAML::Node ValueOf(const YAML::Node& map, const char* key) {
  if (const YAML::Node own = map[key]) return own;
  const YAML::Node merged = map["<<"];
  if (!merged) return YAML::Node(YAML::NodeType::Undefined);
  if (merged.IsMap()) return ValueOf(merged, key);
  for (const YAML::Node& one : merged) {
    if (const YAML::Node value = ValueOf(one, key)) return value;
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

// Services that others wait for to end well.
std::set<std::string> AwaitedToEnd(const YAML::Node& services) {
  std::set<std::string> names;
  for (const auto& item : services) {
    const YAML::Node depends = ValueOf(item.second, "depends_on");
    if (!depends.IsDefined() || !depends.IsMap()) continue;
    for (const auto& one : depends) {
      const YAML::Node condition =
          one.second.IsMap() ? one.second["condition"] : YAML::Node(YAML::NodeType::Undefined);
      if (condition && condition.IsScalar() &&
          condition.Scalar() == "service_completed_successfully")
        names.insert(one.first.Scalar());
    }
  }
  return names;
}

bool RunsOnce(const YAML::Node& service) {
  const YAML::Node restart = ValueOf(service, "restart");
  return !restart.IsDefined() || !restart.IsScalar() || restart.Scalar() == "no" ||
         restart.Scalar() == "false";
}

// Compose's own rule: `name:` of the file, COMPOSE_PROJECT_NAME of the `.env` beside it, or the folder's
// name in lower case without what is no letter, digit, `-` or `_`.
std::string ComposeProject(const YAML::Node& root, const std::string& path) {
  std::string name;
  if (const YAML::Node written = root["name"]; written && written.IsScalar())
    name = written.Scalar();
  std::error_code error;
  const fs::path folder = fs::absolute(path, error).parent_path();
  if (name.empty() || absl::StrContains(name, "$")) {
    name.clear();
    const auto text = ReadFile(folder / ".env");
    const auto variables = text.ok() ? ParseEnvFile(*text) : absl::StatusOr<Environment>();
    if (variables.ok() && variables->contains("COMPOSE_PROJECT_NAME"))
      name = variables->at("COMPOSE_PROJECT_NAME");
  }
  if (name.empty()) name = folder.lexically_normal().filename().string();
  absl::AsciiStrToLower(&name);
  std::erase_if(name, [](char c) {
    return !absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_';
  });
  name.erase(0, std::min(name.find_first_not_of("-_"), name.size()));
  return name;
}

// A service that is built and publishes a port answers requests; one that is built and publishes
// none works in the background, or runs once before others; what comes as an image is a database or
// the like.
absl::StatusOr<Guess> ReadComposeFile(const std::string& path) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Guess guess;
  guess.compose_file = path;
  SLIPWAY_ASSIGN_OR_RETURN(const YAML::Node root, LoadYaml(text, path));
  try {
    const YAML::Node services = root["services"];
    if (!services || !services.IsMap())
      return absl::InvalidArgumentError(absl::StrCat(path, ": has no services"));
    guess.project = ComposeProject(root, path);
    const std::set<std::string> awaited = AwaitedToEnd(services);
    for (const auto& item : services) {
      const std::string name = item.first.Scalar();
      const YAML::Node service = item.second;
      const bool built = ValueOf(service, "build").IsDefined();
      const YAML::Node ports = ValueOf(service, "ports");
      const bool publishes = ports.IsDefined() && ports.size() > 0;
      if (awaited.contains(name) && RunsOnce(service) && !publishes) {
        guess.jobs.insert(name);
      } else if (!built) {
        guess.shared.insert(name);
      } else if (publishes) {
        guess.slotted.insert(name);
        if (ports[0].IsScalar()) ReadPort(ports[0].Scalar(), guess);
      } else {
        guess.workers.insert(name);
      }
    }
  } catch (const YAML::Exception& exception) {
    return InvalidYaml(path, exception.mark, exception.msg);
  }
  if (guess.slotted.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "NO_SLOTTED_SERVICE",
                 absl::StrCat(path, ": no service both has `build` and publishes a port"),
                 "write slipway.yaml by hand, with compose.slotted naming the service that answers "
                 "requests");
  }
  return guess;
}

std::string DefaultName() {
  std::error_code error;
  std::string name = fs::current_path(error).filename().string();
  absl::AsciiStrToLower(&name);
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '-';
  }
  return IsApplicationName(name) ? name : "app";
}

std::string Render(const std::string& app, const std::string& host, const Guess& guess) {
  const std::string upstream = absl::StrCat(absl::StrReplaceAll(app, {{"-", "_"}}), "_backend");
  std::string text = absl::StrCat(
      "# What slipway deploys, and how. `slipway apply --check` checks it, `slipway plan` shows "
      "what a deployment would do.\n"
      "app: ",
      app, "\n",
      "# Hosts by the names that the controller's configuration gives them.\n"
      "hosts: [",
      host,
      "]\n\n"
      "compose:\n  file: ",
      guess.compose_file,
      "   # used as it is\n"
      "  # One copy per slot: what answers requests.\n"
      "  slotted: [",
      absl::StrJoin(guess.slotted, ", "), "]\n");
  if (!guess.workers.empty()) {
    absl::StrAppend(&text, "  # Replaced after the switch, never two at once.\n  workers: [",
                    absl::StrJoin(guess.workers, ", "), "]\n");
  }
  if (!guess.jobs.empty()) {
    absl::StrAppend(
        &text, "  # Run to their end, once per release, before its first slot starts.\n  jobs: [",
        absl::StrJoin(guess.jobs, ", "), "]\n");
  }
  if (!guess.shared.empty()) {
    absl::StrAppend(&text, "  # Everything else is shared by both slots and left running: ",
                    absl::StrJoin(guess.shared, ", "), "\n");
  }
  absl::StrAppend(&text,
                  "  # The compose project of the shared services and their volumes. An "
                  "installation that runs already "
                  "is taken\n  # over by its project's name (`docker compose ls`); this is what "
                  "compose calls it here:\n",
                  guess.project == app || guess.project.empty() ? "  # project: " : "  project: ",
                  guess.project.empty() ? app : guess.project,
                  "\n\n"
                  "# The two host ports between which nginx switches.\n"
                  "slots: {blue: ",
                  guess.port, ", green: ", guess.port + 1, "}\n");
  if (!guess.port_variable.empty()) {
    absl::StrAppend(
        &text,
        "# The variable by which the compose file names the published port.\nport_variable: ",
        guess.port_variable, "\n");
  }
  absl::StrAppend(
      &text,
      "\n# When a new version is ready: this many parsed answers in a row, within the time.\n"
      "health:\n  http: {path: ",
      guess.health_path,
      ", status: 200}   # also json: {status: ok}, body, headers; or tcp, command, docker\n"
      "  timeout: 120s\n  successes: 3\n\n"
      "# The site's own server block keeps `proxy_pass http://",
      upstream,
      ";`. Slipway owns this file.\n"
      "nginx:\n  upstream: ",
      upstream, "\n  file: /etc/nginx/conf.d/", app,
      "_upstream.conf\n"
      "  # A request through nginx that must succeed after the switch:\n"
      "  # front_door: {url: http://127.0.0.1/health, host: example.org}\n\n"
      "# Commands of the new version before it gets traffic:\n"
      "# hooks:\n#   before_switch: [{name: migrate, service: ",
      *guess.slotted.begin(),
      ", command: [alembic, upgrade, head], once: true}]\n\n"
      "rollout: {bake: 5s, drain: 30s}\n"
      "# The old version stays up this long, for an instant `slipway rollback`.\n"
      "keep: {warm: 10m, releases: 5}\n");
  return text;
}

std::string RenderSite(const std::string& app, const Options& options) {
  return absl::StrCat(
      "# What slipway deploys, and how. `slipway apply --check` checks it, `slipway plan` shows "
      "what a deployment would do.\n"
      "app: ",
      app, "\n# Hosts by the names that `slipway hosts list` shows.\nhosts: [", options.host,
      "]\n\n"
      "site:\n"
      "  # Only what is in this folder is sent and published; build it before you deploy.\n"
      "  root: ",
      options.site,
      "\n"
      "  # Where nginx serves it. The server block there needs:\n"
      "  #   root /var/lib/slipway/executor/sites/",
      app,
      "/current;\n"
      "  front_door: {url: \"http://127.0.0.1/\", host: ",
      app,
      ".example.org}\n\n"
      "# Refs that may be deployed, and refs that are only checked:\n"
      "# policy: {deploy_from: [refs/heads/documentation], check_only: "
      "[\"refs/heads/documentation/*\", \"refs/pull/*\"]}\n\n"
      "# The old files answer for what open pages still ask for, this long.\n"
      "keep: {warm: 10m, releases: 5}\n");
}

int Write(Session& session, const std::string& text, const std::string& what) {
  if (absl::Status status = WriteFileAtomically(session.file, text); !status.ok()) {
    return Fail(session, status);
  }
  session.output.Line(absl::StrCat("wrote ", session.file, ": ", what));
  session.output.Line("read it through, then: slipway plan");
  return kExitOk;
}

int Init(Session& session, const Options& options) {
  if (std::error_code error; fs::exists(session.file, error)) {
    return Fail(session,
                Error(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
                      absl::StrCat(session.file, " is there already and was left as it is"),
                      "remove it first, or name another with --file"));
  }
  const std::string app = options.app.empty() ? DefaultName() : options.app;
  if (!IsApplicationName(app)) {
    return Fail(session, absl::InvalidArgumentError(absl::StrCat(
                             "'", app, "' is no application name: [a-z][a-z0-9-]{0,39}")));
  }
  if (!options.site.empty()) {
    return Write(session, RenderSite(app, options), absl::StrCat("a site of ", options.site, "/"));
  }
  const auto guess = ReadComposeFile(FindComposeFile(options.compose));
  if (!guess.ok()) return Fail(session, guess.status());
  const auto listed = [](const std::set<std::string>& services) {
    return services.empty() ? "none" : absl::StrJoin(services, ", ");
  };
  return Write(
      session, Render(app, options.host, *guess),
      absl::StrCat("slotted ", listed(guess->slotted), "; workers ", listed(guess->workers),
                   "; jobs ", listed(guess->jobs), "; shared ", listed(guess->shared)));
}

}  // namespace

Verb InitVerb() {
  return {"init",
          "Write a commented slipway.yaml from a compose file, or for a static site",
          {"slipway init", "slipway init --compose docker-compose.yml --app gifty --host web-1",
           "slipway init --site site --app docs"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddOption("--compose", options->compose, "Default: the compose file here");
            app.AddOption("--site", options->site, "The folder of a static site, as it is built");
            app.AddOption("--app", options->app, "Default: the folder's name");
            app.AddOption("--host", options->host, "The first host's name");
            return [options](Session& session) { return Init(session, *options); };
          }};
}

}  // namespace slipway::cli
