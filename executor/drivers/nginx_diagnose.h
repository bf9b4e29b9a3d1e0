// What nginx's own words mean: the errors of `nginx -t`, the error log, the output of `nginx -T`.
// Pure but for the log.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {

struct NginxComplaint {
  // As nginx wrote it, without its `nginx: [emerg] `.
  std::string message;
  // Empty when nginx named no place.
  std::string file;
  int line = 0;
};
// The first [emerg] of `nginx -t`'s standard error.
std::optional<NginxComplaint> ParseComplaint(absl::string_view standard_error);

// A failed `nginx -t` as a failure that names the file at fault and the cure: FOREIGN_NGINX_FILE
// when it is another file than `our_file`, NGINX_TEST when it is ours, PREFLIGHT for an upstream
// that stands twice.
absl::Status ExplainTestFailure(absl::string_view standard_error,
                                const std::filesystem::path& our_file, absl::string_view upstream);

// True when the only complaint is that `our_file`, or the upstream in it, does not exist yet.
bool ComplainsOfMissingFile(absl::string_view standard_error, const std::filesystem::path& our_file,
                            absl::string_view upstream);

// What `nginx -T` shows of an upstream file.
struct ConfigUse {
  // The file is part of the configuration.
  bool included = false;
  // Some proxy_pass (or grpc_pass, uwsgi_pass ...) names the upstream; in mode marker by
  // `NAME_$variable` or `NAME_blue`.
  bool passed_to = false;
  // open_file_cache is on somewhere: nginx would see the marker late.
  bool caches_files = false;
};
ConfigUse ParseConfigDump(absl::string_view dump, const std::filesystem::path& our_file,
                          absl::string_view upstream, bool marker);

// A directive outside of `our_file` that sends requests to one of these ports of this host: a
// switch does not reach them.
struct FixedPass {
  // FILE:LINE
  std::string place;
  // As it stands there, such as `proxy_pass http://127.0.0.1:8000`.
  std::string directive;
};
std::vector<FixedPass> FindFixedPasses(absl::string_view dump,
                                       const std::filesystem::path& our_file,
                                       const std::vector<uint32_t>& ports);

// Lines of the error log written after its construction.
class ErrorLogTail {
 public:
  explicit ErrorLogTail(std::filesystem::path path);
  // At most 20 of level emerg, alert or crit, each as evidence text. Follows a rotation by starting
  // at the new file's top.
  std::vector<std::string> Since() const;
  // nginx has given a reload up. An address in use alone does not say so: it is tried five times.
  bool SaysRefused() const;

 private:
  std::filesystem::path path_;
  uint64_t inode_ = 0;
  uint64_t size_ = 0;
};

}  // namespace slipway::executor
