// Reads commands from its input, one a line, their words separated by \x1f, and prints for each what the command line of `slipway` says
// of it: `ok`, or `bad`. Nothing runs. For tests of the commands that messages print.
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

#include "clients/cli/verb_tree.h"

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::vector<std::string> words = absl::StrSplit(line, '\x1f');
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    slipway::cli::Session session;
    slipway::cli::VerbTree tree(session);
    const auto ended = tree.Parse(static_cast<int>(words.size()), arguments.data());
    std::cout << (ended ? "bad" : "ok") << std::endl;
  }
  return 0;
}
