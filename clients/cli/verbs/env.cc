// slipway env: the application's secrets. Values come from a file, standard input or the
// environment; never from the command line, where every user of the machine could read them.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"
#include "common/file.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string app;
  std::string variable;
  std::string file;
  std::string from_env;
};

absl::StatusOr<std::string> ReadStandardInput() {
  if (isatty(STDIN_FILENO) == 1) std::cerr << "value, then Ctrl-D: ";
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return text;
}

absl::StatusOr<std::string> ReadValue(const Options& options) {
  if (!options.from_env.empty()) {
    const char* value = std::getenv(options.from_env.c_str());
    if (value == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "NO_VALUE",
                   absl::StrCat("the environment has no ", options.from_env));
    }
    return std::string(value);
  }
  if (!options.file.empty() && options.file != "-") return ReadFile(options.file);
  return ReadStandardInput();
}

int Set(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  if (options.variable.find('=') != std::string::npos) {
    session.output.Error(
        "a value on the command line can be read by every user of this machine; give it on "
        "standard "
        "input: slipway env set NAME < file");
    return kExitUsage;
  }
  auto value = ReadValue(options);
  if (!value.ok()) return Fail(session, value.status());
  pb::SetEnvironmentRequest request;
  request.set_name(ApplicationName(*app));
  request.set_request_id(client::NewRequestId());
  if (options.variable.empty()) {
    request.set_env_file(*value);
  } else {
    // What a person types or pipes ends with a line end that is not part of the value.
    if (options.file.empty() && options.from_env.empty() && !value->empty() &&
        value->back() == '\n')
      value->pop_back();
    (*request.mutable_variables())[options.variable] = *value;
  }
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto set = (*controller)->SetEnvironment(request);
  if (!set.ok()) return Fail(session, set.status());
  if (session.output.json) {
    session.output.Json(*set);
  } else {
    session.output.Line(absl::StrCat(set->changed() ? "stored" : "unchanged", ", revision ",
                                     set->environment_revision(), ", ", set->names_size(),
                                     " variables; the next deployment delivers it"));
  }
  return kExitOk;
}

int List(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed = (*controller)->ListEnvironment(*app);
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
  } else {
    session.output.Line(absl::StrCat("revision ", listed->environment_revision(), ", set ",
                                     Ago(listed->update_time())));
    for (const std::string& name : listed->names()) session.output.Line(name);
  }
  return kExitOk;
}

}  // namespace

Verb EnvVerb() {
  return {"env",
          "Set and list the application's environment; values are never shown",
          {"slipway env set --from prod.env", "slipway env set --from-env PROD_ENV_FILE",
           "slipway env set DATABASE_PASSWORD < secret.txt", "slipway env list"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            CommandLine* set = app.AddCommand("set", "Replace the whole env file, or one variable");
            set->AddOption("NAME", options->variable, "One variable; default the whole file");
            set->AddOption("--from", options->file,
                           "Read from this file; - is standard input, the default");
            set->AddOption("--from-env", options->from_env, "Read from this environment variable");
            set->AddOption("--app", options->app, "Default: the application of slipway.yaml");
            CommandLine* list = app.AddCommand("list", "Names only");
            list->AddOption("--app", options->app, "Default: the application of slipway.yaml");
            app.RequireCommand();
            return [options, set](Session& session) {
              return set->Given() ? Set(session, *options) : List(session, *options);
            };
          }};
}

}  // namespace slipway::cli
