// The verbs as a tree of CLI11 commands; also what completions are generated from.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "clients/cli/verb.h"

namespace slipway::cli {

class VerbTree {
 public:
  // The global options write into the session.
  explicit VerbTree(Session& session);

  CLI::App& app() { return app_; }
  // Runs the verb that was parsed; its exit code.
  int Run();

 private:
  Session& session_;
  CLI::App app_;
  std::string output_ = "text";
  std::vector<std::pair<CLI::App*, std::function<int(Session&)>>> verbs_;
};

}  // namespace slipway::cli
