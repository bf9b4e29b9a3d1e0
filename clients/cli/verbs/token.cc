// slipway token create|list|revoke|exchange.
#include <iostream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/role_option.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string title;
  std::string app;
  std::string role = "deployer";
  std::string ref;
  std::string lifetime;
  std::string id;
};

// The secret alone, so that it can be piped into where it is kept; what people want to know goes to standard error.
int ShowSecret(Session& session, const pb::Token& token, const std::string& secret) {
  session.output.Line(secret);
  session.output.Error(absl::StrCat(
      token.name(), ": ", EnumWord(token.role()), token.app().empty() ? "" : " of ", token.app(),
      " until ", UtcText(token.expire_time()), "; the line above is shown this once"));
  return kExitOk;
}

int Create(Session& session, const Options& options) {
  pb::CreateTokenRequest request;
  request.set_title(options.title);
  request.set_role(RoleOf(options.role));
  request.set_app(options.app);
  request.set_ref(options.ref);
  request.set_request_id(client::NewRequestId());
  if (!options.lifetime.empty()) {
    const auto lifetime = ParseDuration(options.lifetime);
    if (!lifetime.ok()) return Fail(session, lifetime.status());
    *request.mutable_lifetime() = ToProto(*lifetime);
  }
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto made = (*controller)->Call(&pb::AccessService::Stub::CreateToken, request);
  if (!made.ok()) return Fail(session, made.status());
  if (!session.output.json) return ShowSecret(session, made->token(), made->secret());
  session.output.Json(*made);
  return kExitOk;
}

int List(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed =
      (*controller)->CallForAll(&pb::AccessService::Stub::ListTokens, pb::ListTokensRequest());
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"TOKEN", "TITLE", "ROLE", "APP", "REF", "BY", "MADE", "ENDS"}};
  for (const pb::Token& token : listed->tokens()) {
    rows.push_back({ShortName(token.name()), token.title(), EnumWord(token.role()),
                    token.app().empty() ? "all" : token.app(),
                    token.ref().empty() ? "-" : token.ref(), token.creator(),
                    Ago(token.create_time()), UtcText(token.expire_time())});
  }
  session.output.Table(rows);
  return kExitOk;
}

int Revoke(Session& session, const std::string& id) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::RevokeTokenRequest request;
  request.set_name(absl::StrCat("tokens/", id));
  request.set_request_id(client::NewRequestId());
  const auto revoked = (*controller)->Call(&pb::AccessService::Stub::RevokeToken, request);
  if (!revoked.ok()) return Fail(session, revoked.status());
  if (!session.output.json) session.output.Line("revoked; no call with it is let in any more");
  return kExitOk;
}

int Exchange(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const std::string text{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ExchangeTokenRequest request;
  request.set_github_token(std::string(absl::StripAsciiWhitespace(text)));
  request.set_application(ApplicationName(*app));
  request.set_request_id(client::NewRequestId());
  const auto got = (*controller)->Call(&pb::AccessService::Stub::ExchangeToken, request);
  if (!got.ok()) return Fail(session, got.status());
  if (!session.output.json) return ShowSecret(session, got->token(), got->secret());
  session.output.Json(*got);
  return kExitOk;
}

}  // namespace

Verb TokenVerb() {
  return {"token",
          "Tokens for CI: scoped, expiring, shown once",
          {"slipway token create ci --app gifty",
           "slipway token create grafana --role viewer --for 365d", "slipway token list",
           "slipway token revoke 3f2c1a0b9d8e7f60"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            CommandLine* create = app.AddCommand("create", "Prints the secret, this once");
            create->AddOption("TITLE", options->title, "What you call it").Required();
            create->AddOption("--app", options->app, "Only this application; default all");
            AddRole(*create, options->role);
            create->AddOption("--ref", options->ref, "The ref that its bearer deploys");
            create->AddOption("--for", options->lifetime, "How long it is good; default 90d");
            CommandLine* list = app.AddCommand("list", "Never the secrets");
            CommandLine* revoke = app.AddCommand("revoke", "At once");
            revoke->AddOption("TOKEN", options->id).Required();
            CommandLine* exchange =
                app.AddCommand("exchange", "A GitHub OIDC token (standard input) for one of ours");
            exchange->AddOption("--app", options->app, "Default: the application of slipway.yaml");
            app.RequireCommand();
            return [=](Session& session) {
              if (create->Given()) return Create(session, *options);
              if (exchange->Given()) return Exchange(session, *options);
              return list->Given() ? List(session) : Revoke(session, options->id);
            };
          }};
}

}  // namespace slipway::cli
