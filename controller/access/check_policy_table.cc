// Run by the build with the names of all proto files: fails when an RPC has no row in the policy table, a row names no RPC, a
// row's field is not there, or two RPCs share a request message.
#include <cstdio>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <google/protobuf/descriptor.h>

#include "common/access_policy.h"

namespace {

int problems = 0;

void Report(const std::string& text) {
  std::fprintf(stderr, "policy table: %s\n", text.c_str());
  ++problems;
}

bool HasField(const google::protobuf::Descriptor* message, absl::string_view path) {
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    const auto* field = message == nullptr ? nullptr : message->FindFieldByName(std::string(part));
    if (field == nullptr) return false;
    message = field->message_type();
  }
  return message == nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  std::set<std::string> methods;
  std::map<const google::protobuf::Descriptor*, std::string> requests;
  for (int i = 1; i < argc; ++i) {
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(argv[i]);
    if (file == nullptr) {
      Report(absl::StrCat(argv[i], " is not linked into the check"));
      continue;
    }
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        const std::string path =
            absl::StrCat("/", file->service(s)->full_name(), "/", method->name());
        methods.insert(path);
        const slipway::Rule* rule = slipway::RuleFor(path);
        if (rule == nullptr) {
          Report(absl::StrCat(path, " has no row in common/access_policy.cc"));
          continue;
        }
        if ((rule->reach == slipway::Reach::kApp) != !rule->app_field.empty() ||
            (!rule->app_field.empty() && !HasField(method->input_type(), rule->app_field))) {
          Report(absl::StrCat(path, ": field '", std::string(rule->app_field),
                              "' is not what its reach needs"));
        }
        const bool ours = absl::StartsWith(path, "/slipway.");
        if (!requests.emplace(method->input_type(), path).second && ours) {
          Report(absl::StrCat(path, " shares its request message with another RPC"));
        }
      }
    }
  }
  for (const slipway::Rule& rule : slipway::AllRules()) {
    const std::string method(rule.method);
    if (absl::StartsWith(method, "/slipway.") && methods.count(method) == 0) {
      Report(absl::StrCat(method, " is no RPC (any more)"));
    }
  }
  return problems == 0 ? 0 : 1;
}
