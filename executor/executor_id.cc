#include "executor/executor_id.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/digest.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status.h"

namespace slipway::executor {
namespace {

constexpr size_t kDigits = 16;
constexpr size_t kLongestId = 64;

}  // namespace

absl::StatusOr<std::string> ReadOrMakeExecutorId(const Paths& paths,
                                                 const std::string& machine_id_file) {
  const std::filesystem::path file = paths.ExecutorId();
  const absl::StatusOr<std::string> written = ReadFile(file);
  if (written.ok()) {
    std::string id(absl::StripAsciiWhitespace(*written));
    const bool valid = !id.empty() && id.size() <= kLongestId &&
                       std::all_of(id.begin(), id.end(), absl::ascii_isalnum);
    if (valid) return id;
    return Error(absl::StatusCode::kInvalidArgument, "EXECUTOR_ID",
                 absl::StrCat(file.string(), " does not hold an executor's id"),
                 "remove the file; the executor makes its id again when it starts");
  }
  if (!absl::IsNotFound(written.status())) return written.status();
  const std::string machine(absl::StripAsciiWhitespace(ReadFile(machine_id_file).value_or("")));
  std::error_code error;
  const auto state = std::filesystem::weakly_canonical(paths.State(), error);
  // A container may have an empty one, as many others have.
  const std::string source =
      machine.empty() ? RandomBytes(32)
                      : absl::StrCat(machine, "\n", (error ? paths.State() : state).string());
  const std::string id = absl::BytesToHexString(Sha256Of(source)).substr(0, kDigits);
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(file, absl::StrCat(id, "\n"), 0644));
  return id;
}

}  // namespace slipway::executor
