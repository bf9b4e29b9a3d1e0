// The name by which this executor marks its containers (kLabelExecutor), so that two executors on
// one Docker Engine tell theirs apart.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "executor/paths.h"

namespace slipway::executor {

// The id that paths.ExecutorId() holds. Where there is none, one is made of the machine's id and the
// state folder's path and written there: an executor whose state was lost still knows its
// containers, and one whose state folder was moved keeps its id. 16 hexadecimal digits, unless
// somebody wrote another id of letters and digits there; INVALID_ARGUMENT for any other content.
absl::StatusOr<std::string> ReadOrMakeExecutorId(
    const Paths& paths, const std::string& machine_id_file = "/etc/machine-id");

}  // namespace slipway::executor
