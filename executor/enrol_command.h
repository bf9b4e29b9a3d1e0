// How a host gets its first certificate: `slipway-executor enrol` prints a request, `slipway-executor enrol --install` reads the
// answer. Whoever carries the two texts learns nothing secret.
#pragma once

#include <filesystem>

namespace slipway::executor {

// The certificate request on standard output; the exit code.
int PrintCertificateRequest(const std::filesystem::path& state);
// Takes the certificate and then the authority's, PEM, from standard input.
int InstallFromStandardInput(const std::filesystem::path& state);

}  // namespace slipway::executor
