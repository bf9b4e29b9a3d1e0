// slipway certificate create|list|revoke: for people and machines that come by tls://.
#include <filesystem>

#include "absl/strings/str_cat.h"

#include "clients/cli/role_option.h"
#include "clients/cli/verb.h"
#include "common/file.h"
#include "common/x509.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string subject;
  std::string app;
  std::string role = "operator";
  std::string folder = ".";
  std::string serial;
};

int Create(Session& session, const Options& options) {
  const std::filesystem::path folder = options.folder;
  const auto key_file = folder / absl::StrCat(options.subject, ".key");
  if (std::error_code error; std::filesystem::exists(key_file, error)) {
    session.output.Error(absl::StrCat("slipway: ", key_file.string(),
                                      " is there already\n  what to do: move it away first"));
    return kExitUsage;
  }
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto key = MakePrivateKey();
  const auto wanted = key.ok() ? MakeCertificateRequest(*key) : key.status();
  if (!wanted.ok()) return Fail(session, wanted.status());
  pb::IssueCertificateRequest request;
  request.set_certificate_request(*wanted);
  request.set_role(RoleOf(options.role));
  request.set_app(options.app);
  request.set_subject(options.subject);
  request.set_request_id(client::NewRequestId());
  const auto issued = (*controller)->Call(&pb::AccessService::Stub::IssueCertificate, request);
  if (!issued.ok()) return Fail(session, issued.status());
  const auto certificate_file = folder / absl::StrCat(options.subject, ".pem");
  const auto authority_file = folder / "authority.pem";
  absl::Status written = MakeFolders(folder);
  if (written.ok()) written = WriteFileAtomically(key_file, *key, 0600);
  if (written.ok()) written = WriteFileAtomically(certificate_file, issued->certificate_pem());
  if (written.ok()) written = WriteFileAtomically(authority_file, issued->authority_pem());
  if (!written.ok()) return Fail(session, written);
  if (session.output.json) {
    session.output.Json(issued->certificate());
    return kExitOk;
  }
  session.output.Line(absl::StrCat(key_file.string(), "\n", certificate_file.string(), "\n",
                                   authority_file.string()));
  session.output.Error(absl::StrCat(
      "good until ", UtcText(issued->certificate().expire_time()),
      " and renewed by use; SLIPWAY_KEY, SLIPWAY_CERTIFICATE and SLIPWAY_AUTHORITY name them"));
  return kExitOk;
}

int List(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed =
      (*controller)
          ->CallForAll(&pb::AccessService::Stub::ListCertificates, pb::ListCertificatesRequest());
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"CERTIFICATE", "ROLE", "APP", "OF", "MADE", "ENDS"}};
  for (const pb::Certificate& one : listed->certificates()) {
    rows.push_back({ShortName(one.name()), EnumWord(one.role()),
                    one.app().empty() ? "all" : one.app(),
                    one.subject().empty() ? "-" : one.subject(), Ago(one.create_time()),
                    one.has_revoke_time() ? session.output.Paint(Tone::kBad, "revoked")
                                          : UtcText(one.expire_time())});
  }
  session.output.Table(rows);
  return kExitOk;
}

int Revoke(Session& session, const std::string& serial) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::RevokeCertificateRequest request;
  request.set_name(absl::StrCat("certificates/", serial));
  request.set_request_id(client::NewRequestId());
  const auto revoked = (*controller)->Call(&pb::AccessService::Stub::RevokeCertificate, request);
  if (!revoked.ok()) return Fail(session, revoked.status());
  if (session.output.json) {
    session.output.Json(*revoked);
    return kExitOk;
  }
  for (const std::string& name : revoked->names()) {
    session.output.Line(absl::StrCat(ShortName(name), " revoked"));
  }
  session.output.Line(revoked->names().empty() ? "it was revoked already"
                                               : "hosts that are connected know it too");
  return kExitOk;
}

}  // namespace

Verb CertificateVerb() {
  return {"certificate",
          "Certificates for people and machines that come by tls://",
          {"slipway certificate create ann",
           "slipway certificate create bot --role deployer --app gifty", "slipway certificate list",
           "slipway certificate revoke SERIAL"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            CommandLine* create =
                app.AddCommand("create", "Makes a key here and a certificate over it");
            create->AddOption("NAME", options->subject, "Of the person or machine").Required();
            AddRole(*create, options->role);
            create->AddOption("--app", options->app, "Only this application; default all");
            create->AddOption("--folder", options->folder, "Where the files go").ShowDefault();
            CommandLine* list = app.AddCommand("list", "Everything that was made");
            CommandLine* revoke = app.AddCommand(
                "revoke", "With all that was renewed from it; at once, also for open connections");
            revoke->AddOption("CERTIFICATE", options->serial).Required();
            app.RequireCommand();
            return [=](Session& session) {
              if (create->Given()) return Create(session, *options);
              return list->Given() ? List(session) : Revoke(session, options->serial);
            };
          }};
}

}  // namespace slipway::cli
