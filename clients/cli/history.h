// The hash chain as a table.
#pragma once

#include <string>

#include "clients/cli/verb.h"

namespace slipway::cli {

// Newest first; an empty application means all.
int ListHistory(Session& session, const std::string& app, int limit);

}  // namespace slipway::cli
