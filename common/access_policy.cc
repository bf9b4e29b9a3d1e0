#include "common/access_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include <google/protobuf/descriptor.h>

#include "common/enum_word.h"
#include "common/status.h"

namespace slipway {
namespace {

using enum AnsweredBy;
using enum Least;
using enum Reach;

const std::vector<Rule>& Table() {
  static const auto* const table = new std::vector<Rule>{
      {"/slipway.v1.ApplicationService/ApplyApplication", kDeployer, kApp, "spec.app"},
      {"/slipway.v1.ApplicationService/GetDrift", kViewer, kApp, "name", kEvery},
      {"/slipway.v1.ApplicationService/GetApplication", kViewer, kApp, "name", kEvery},
      // Shows a caller its own.
      {"/slipway.v1.ApplicationService/ListApplications", kViewer, kNone, "", kEvery},
      {"/slipway.v1.ApplicationService/SetEnvironment", kDeployer, kApp, "name"},
      {"/slipway.v1.ApplicationService/ListEnvironment", kDeployer, kApp, "name", kEvery},
      {"/slipway.v1.ApplicationService/SetAllowances", kOperator, kApp, "name"},

      {"/slipway.v1.ReleaseService/FindMissingBlobs", kDeployer, kNone, ""},
      {"/slipway.v1.ReleaseService/UploadBlobs", kDeployer, kNone, ""},
      {"/slipway.v1.ReleaseService/CreateRelease", kDeployer, kApp, "parent"},
      {"/slipway.v1.ReleaseService/GetRelease", kViewer, kApp, "name", kEvery},
      {"/slipway.v1.ReleaseService/ListReleases", kViewer, kApp, "parent", kEvery},
      {"/slipway.v1.ReleaseService/ReportCheck", kDeployer, kApp, "parent"},
      {"/slipway.v1.ReleaseService/ListChecks", kViewer, kApp, "parent", kEvery},

      {"/slipway.v1.DeploymentService/CreateDeployment", kDeployer, kApp, "parent"},
      {"/slipway.v1.DeploymentService/RollbackApplication", kDeployer, kApp, "name"},
      {"/slipway.v1.DeploymentService/ReconcileApplication", kDeployer, kApp, "name"},
      {"/slipway.v1.DeploymentService/GetDeployment", kViewer, kApp, "name", kEvery},
      {"/slipway.v1.DeploymentService/ListDeployments", kViewer, kApp, "parent", kEvery},
      {"/slipway.v1.DeploymentService/WatchDeployment", kViewer, kApp, "name", kEvery},
      {"/slipway.v1.DeploymentService/CancelDeployment", kDeployer, kApp, "name"},
      {"/slipway.v1.DeploymentService/ResumeDeployment", kDeployer, kApp, "name"},
      {"/slipway.v1.DeploymentService/StreamLogs", kViewer, kApp, "name", kEvery},
      {"/slipway.v1.DeploymentService/ListHistory", kViewer, kApp, "parent", kEvery},
      {"/slipway.v1.DeploymentService/VerifyHistory", kViewer, kAll, ""},

      {"/slipway.v1.HostService/ListHosts", kViewer, kNone, "", kEvery},
      {"/slipway.v1.HostService/CheckHost", kDeployer, kApp, "application", kEvery},
      {"/slipway.v1.HostService/GetServerInfo", kViewer, kNone, "", kEvery},
      {"/slipway.v1.HostService/AddHost", kOperator, kAll, ""},
      {"/slipway.v1.HostService/RemoveHost", kOperator, kAll, ""},
      {"/slipway.v1.HostService/CordonHost", kOperator, kAll, ""},
      {"/slipway.v1.HostService/UncordonHost", kOperator, kAll, ""},
      {"/slipway.v1.HostService/CreateEnrolment", kOperator, kAll, ""},
      {"/slipway.v1.HostService/EnrolHost", kAnybody, kNone, ""},

      {"/slipway.v1.AccessService/GetIdentity", kViewer, kNone, "", kEvery},
      {"/slipway.v1.AccessService/CreateToken", kOperator, kAll, ""},
      {"/slipway.v1.AccessService/ListTokens", kOperator, kAll, "", kEvery},
      {"/slipway.v1.AccessService/RevokeToken", kOperator, kAll, ""},
      {"/slipway.v1.AccessService/ExchangeToken", kAnybody, kNone, ""},
      {"/slipway.v1.AccessService/CreateTrust", kOperator, kAll, ""},
      {"/slipway.v1.AccessService/ListTrusts", kOperator, kAll, "", kEvery},
      {"/slipway.v1.AccessService/DeleteTrust", kOperator, kAll, ""},
      {"/slipway.v1.AccessService/IssueCertificate", kOperator, kAll, ""},
      // Its own, and no other.
      {"/slipway.v1.AccessService/RenewCertificate", kViewer, kNone, ""},
      {"/slipway.v1.AccessService/ListCertificates", kOperator, kAll, "", kEvery},
      {"/slipway.v1.AccessService/RevokeCertificate", kOperator, kAll, ""},

      {"/slipway.executor.v1.ExecutorService/Execute", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Cancel", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Inspect", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/FindMissingBlobs", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/UploadBlobs", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Plan", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Check", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/PlaceUpstream", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/StreamLogs", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Watch", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/Acknowledge", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/RollbackLocally", kLocal, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/CreateCertificateRequest", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/InstallCertificate", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/KeepHistoryHead", kController, kNone, ""},
      {"/slipway.executor.v1.ExecutorService/GetHistoryHead", kController, kNone, ""},

      {"/grpc.health.v1.Health/Check", kAnybody, kNone, ""},
      {"/grpc.health.v1.Health/Watch", kAnybody, kNone, ""},
      // What it shows are these files; but it is a stream, which those without an identity do not get.
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kViewer, kNone, "",
       kEvery},
  };
  return *table;
}

std::string Described(const pb::Identity& identity) {
  if (identity.role() == pb::ROLE_UNSPECIFIED) return "you have no role here";
  return absl::StrCat("you are ", EnumWord(identity.role()),
                      identity.app().empty() ? "" : absl::StrCat(" of ", identity.app()));
}

bool Reaches(Least least, pb::Role role) {
  switch (least) {
    case kAnybody:
      return true;
    case kViewer:
      return role == pb::ROLE_VIEWER || role == pb::ROLE_DEPLOYER || role == pb::ROLE_OPERATOR;
    case kDeployer:
      return role == pb::ROLE_DEPLOYER || role == pb::ROLE_OPERATOR;
    case kOperator:
      return role == pb::ROLE_OPERATOR;
    case kController:
      return role == pb::ROLE_CONTROLLER;
    case kLocal:
      return false;
  }
  return false;
}

absl::string_view Word(Least least) {
  switch (least) {
    case kAnybody:
      return "anybody";
    case kViewer:
      return "viewer";
    case kDeployer:
      return "deployer";
    case kOperator:
      return "operator";
    case kController:
      return "controller";
    case kLocal:
      return "user of the host itself";
  }
  return "";
}

// `spec.app` into the message; empty when there is nothing.
std::string FieldText(const google::protobuf::Message& message, absl::string_view path) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(path, absl::MaxSplits('.', 1));
  const auto* field = message.GetDescriptor()->FindFieldByName(std::string(parts.first));
  if (field == nullptr) return "";
  if (parts.second.empty()) return message.GetReflection()->GetString(message, field);
  return FieldText(message.GetReflection()->GetMessage(message, field), parts.second);
}

}  // namespace

const std::vector<Rule>& AllRules() { return Table(); }

const Rule* RuleFor(absl::string_view method) {
  const auto found = std::find_if(Table().begin(), Table().end(),
                                  [method](const Rule& rule) { return rule.method == method; });
  return found == Table().end() ? nullptr : &*found;
}

const Rule* RuleFor(const google::protobuf::Descriptor& request) {
  const google::protobuf::FileDescriptor* file = request.file();
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const auto* method = file->service(s)->method(m);
      if (method->input_type() != &request) continue;
      return RuleFor(absl::StrCat("/", file->service(s)->full_name(), "/", method->name()));
    }
  }
  return nullptr;
}

std::string AppOf(const Rule& rule, const google::protobuf::Message& request) {
  if (rule.app_field.empty()) return "";
  const std::string text = FieldText(request, rule.app_field);
  absl::string_view name = text;
  // Anything else is no application's name, and the handler says so to whoever may call it at all.
  if (!absl::ConsumePrefix(&name, "applications/")) return text;
  return std::string(name.substr(0, name.find('/')));
}

absl::Status Allow(const Rule& rule, const pb::Identity& identity, absl::string_view app) {
  if (rule.least == kAnybody) return absl::OkStatus();
  const std::string call(rule.method.substr(rule.method.rfind('/') + 1));
  if (!Reaches(rule.least, identity.role())) {
    return Error(absl::StatusCode::kPermissionDenied, "ROLE_TOO_LOW",
                 absl::StrCat(call, " is not for you: ", Described(identity), ", and it takes ",
                              Word(rule.least)),
                 "ask an operator for a token or certificate of that role");
  }
  if (identity.app().empty() || rule.reach == kNone) return absl::OkStatus();
  if (rule.reach == kApp && app == identity.app()) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "OTHER_APPLICATION",
               absl::StrCat(call, " is not for you: ", Described(identity), ", and this concerns ",
                            rule.reach == kAll || app.empty() ? "everything" : app),
               "ask an operator for a token or certificate that covers it");
}

}  // namespace slipway
