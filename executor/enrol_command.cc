#include "executor/enrol_command.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

#include "common/status.h"
#include "executor/credentials.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

constexpr char kEnd[] = "-----END CERTIFICATE-----\n";

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "slipway-executor: %s\n", std::string(status.message()).c_str());
  const std::string cure = DetailOf(status).cure();
  if (!cure.empty()) std::fprintf(stderr, "  what to do: %s\n", cure.c_str());
  return 1;
}

}  // namespace

int PrintCertificateRequest(const std::filesystem::path& state) {
  const auto request = Credentials(Paths(state).Tls()).Request();
  if (!request.ok()) return Fail(request.status());
  std::fputs(request->c_str(), stdout);
  return 0;
}

int InstallFromStandardInput(const std::filesystem::path& state) {
  const std::string text{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
  const size_t first = text.find(kEnd);
  if (first == std::string::npos) {
    return Fail(absl::InvalidArgumentError("standard input has no certificate"));
  }
  const size_t split = first + sizeof kEnd - 1;
  const absl::Status installed =
      Credentials(Paths(state).Tls()).Install(text.substr(0, split), text.substr(split));
  if (!installed.ok()) return Fail(installed);
  return 0;
}

}  // namespace slipway::executor
