// Fetching the provider's keys.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <httplib.h>

#include "controller/access/oidc.h"

namespace slipway::controller {

OidcVerifier::Fetch FetchFrom(const std::string& issuer) {
  return [issuer]() -> absl::StatusOr<std::string> {
    const bool is_loopback = absl::StartsWith(issuer, "http://127.0.0.1:") ||
                             absl::StartsWith(issuer, "http://localhost:");
    if (!is_loopback && !absl::StartsWith(issuer, "https://")) {
      return absl::InvalidArgumentError("the issuer's address is not https");
    }
    const size_t host_end = issuer.find('/', issuer.find("//") + 2);
    httplib::Client client(issuer.substr(0, host_end));
    client.set_connection_timeout(5);
    client.set_read_timeout(5);
    const std::string folder = host_end == std::string::npos ? "" : issuer.substr(host_end);
    const auto answer = client.Get((folder + "/.well-known/jwks").c_str());
    if (!answer) return absl::UnavailableError(httplib::to_string(answer.error()));
    if (answer->status != 200) {
      return absl::UnavailableError(absl::StrCat("it answers ", answer->status));
    }
    return answer->body;
  };
}

}  // namespace slipway::controller
