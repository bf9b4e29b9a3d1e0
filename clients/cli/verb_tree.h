// The verbs and the global options as one command line; also what completions are generated from.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/verb.h"

namespace slipway::cli {

class VerbTree {
 public:
  // The global options write into the session.
  explicit VerbTree(Session& session);

  const CommandLine& root() const { return root_; }
  // What is wrong with the words as an exit code, and printed; nothing when they are a command.
  std::optional<int> Parse(int argc, char** argv);
  // Runs the verb that is given; its exit code.
  int Run(int argc, char** argv);

 private:
  Session& session_;
  CommandLine root_;
  std::string output_ = "text";
  std::vector<std::pair<CommandLine*, std::function<int(Session&)>>> verbs_;
};

}  // namespace slipway::cli
