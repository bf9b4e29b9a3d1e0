// slipway trust add|list|remove: which GitHub workflows are given tokens.
#include "absl/strings/str_cat.h"

#include "clients/cli/role_option.h"
#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string app;
  std::string role = "deployer";
  uint64_t repository_id = 0;
  std::string ref;
  std::string environment;
  std::string id;
};

int Add(Session& session, const Options& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::CreateTrustRequest request;
  pb::Trust& trust = *request.mutable_trust();
  trust.set_role(RoleOf(options.role));
  trust.set_app(options.app);
  trust.set_repository_id(options.repository_id);
  trust.set_ref(options.ref);
  trust.set_environment(options.environment);
  request.set_request_id(client::NewRequestId());
  const auto made = (*controller)->Call(&pb::AccessService::Stub::CreateTrust, request);
  if (!made.ok()) return Fail(session, made.status());
  if (session.output.json) {
    session.output.Json(*made);
  } else {
    session.output.Line(
        absl::StrCat(made->trust().name(), ": workflows of repository ", options.repository_id,
                     " on ", options.ref, options.environment.empty() ? "" : " in environment ",
                     options.environment, " are ", options.role, " of ", options.app));
  }
  return kExitOk;
}

int List(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed =
      (*controller)->CallForAll(&pb::AccessService::Stub::ListTrusts, pb::ListTrustsRequest());
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"TRUST", "APP", "ROLE", "REPOSITORY ID", "REF", "ENVIRONMENT", "BY", "MADE"}};
  for (const pb::Trust& trust : listed->trusts()) {
    rows.push_back({ShortName(trust.name()), trust.app(), EnumWord(trust.role()),
                    absl::StrCat(trust.repository_id()), trust.ref(),
                    trust.environment().empty() ? "-" : trust.environment(), trust.creator(),
                    Ago(trust.create_time())});
  }
  session.output.Table(rows);
  return kExitOk;
}

int Remove(Session& session, const std::string& id) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::DeleteTrustRequest request;
  request.set_name(absl::StrCat("trusts/", id));
  request.set_request_id(client::NewRequestId());
  const auto removed = (*controller)->Call(&pb::AccessService::Stub::DeleteTrust, request);
  if (!removed.ok()) return Fail(session, removed.status());
  if (!session.output.json) {
    session.output.Line("removed; tokens that were given for it end within the hour");
  }
  return kExitOk;
}

}  // namespace

Verb TrustVerb() {
  return {"trust",
          "GitHub workflows that may deploy by OIDC, without a stored secret",
          {"slipway trust add --app gifty --repository-id 4711 --ref refs/heads/main --environment "
           "production",
           "slipway trust list", "slipway trust remove 3f2c1a0b9d8e"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            CommandLine* add = app.AddCommand("add", "Bound to repository id, ref and environment");
            add->AddOption("--app", options->app).Required();
            add->AddOption("--repository-id", options->repository_id,
                           "Its number: gh api repos/OWNER/NAME --jq .id")
                .Required();
            add->AddOption("--ref", options->ref, "* stands for any text").Required();
            add->AddOption("--environment", options->environment,
                           "The GitHub environment that the job names; default none");
            AddRole(*add, options->role);
            CommandLine* list = app.AddCommand("list", "All of them");
            CommandLine* remove = app.AddCommand("remove", "No new tokens from now on");
            remove->AddOption("TRUST", options->id).Required();
            app.RequireCommand();
            return [=](Session& session) {
              if (add->Given()) return Add(session, *options);
              return list->Given() ? List(session) : Remove(session, options->id);
            };
          }};
}

}  // namespace slipway::cli
