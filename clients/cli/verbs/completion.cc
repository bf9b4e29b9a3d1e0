// slipway completion bash|zsh|fish: generated from the same tree that parses the command line.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/verb.h"
#include "clients/cli/verb_tree.h"

namespace slipway::cli {
namespace {

using Word = CommandLine::Word;

std::string JoinWords(const std::vector<Word>& words) {
  return absl::StrJoin(words, " ",
                       [](std::string* out, const Word& word) { absl::StrAppend(out, word.text); });
}

std::string Bash(const CommandLine& root) {
  std::string script =
      "_slipway() {\n  local current=${COMP_WORDS[COMP_CWORD]} words\n  case ${COMP_WORDS[1]} in\n";
  for (const CommandLine* verb : root.Commands()) {
    absl::StrAppend(&script, "    ", verb->Name(), ") words='", JoinWords(verb->Words()), "' ;;\n");
  }
  absl::StrAppend(
      &script, "    *) words='", JoinWords(root.Words()), "' ;;\n  esac\n",
      "  [ \"$COMP_CWORD\" -eq 1 ] && words='", JoinWords(root.Words()), "'\n",
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -F _slipway slipway\n");
  return script;
}

std::string Zsh(const CommandLine& root) {
  const auto quoted = [](const Word& word) {
    return absl::StrCat("'", word.text, ":",
                        absl::StrReplaceAll(word.description, {{"'", "'\\''"}, {":", "\\:"}}), "'");
  };
  const auto list = [&](const std::vector<Word>& words) {
    return absl::StrJoin(words, " ", [&](std::string* out, const Word& word) {
      absl::StrAppend(out, quoted(word));
    });
  };
  std::string script =
      "#compdef slipway\n_slipway() {\n  local -a words_here\n  if (( CURRENT == 2 )); then\n";
  absl::StrAppend(&script, "    words_here=(", list(root.Words()),
                  ")\n  else\n    case $words[2] in\n");
  for (const CommandLine* verb : root.Commands()) {
    absl::StrAppend(&script, "      ", verb->Name(), ") words_here=(", list(verb->Words()),
                    ") ;;\n");
  }
  // In a folder of completions this file is the function, and runs at the first call; elsewhere somebody sources it.
  absl::StrAppend(&script, "    esac\n  fi\n  _describe 'slipway' words_here\n}\n",
                  "if [[ $funcstack[1] == _slipway ]]; then\n  _slipway\nelse\n",
                  "  compdef _slipway slipway\nfi\n");
  return script;
}

std::string Fish(const CommandLine& root) {
  const auto quote = [](const std::string& text) {
    return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  };
  std::string script = "complete -c slipway -f\n";
  const auto add = [&](const std::string& condition, const std::vector<Word>& words) {
    for (const Word& word : words) {
      const bool option = word.text[0] == '-';
      absl::StrAppend(&script, "complete -c slipway -n ", quote(condition),
                      option ? " -l " : " -a ", option ? word.text.substr(2) : word.text, " -d ",
                      quote(word.description), "\n");
    }
  };
  add("__fish_use_subcommand", root.Words());
  for (const CommandLine* verb : root.Commands()) {
    add(absl::StrCat("__fish_seen_subcommand_from ", verb->Name()), verb->Words());
  }
  return script;
}

}  // namespace

Verb CompletionVerb() {
  return {"completion",
          "Print completions for bash, zsh or fish",
          {"slipway completion bash > /etc/bash_completion.d/slipway"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto shell = std::make_shared<std::string>();
            app.AddOption("SHELL", *shell).Required().OneOf({"bash", "zsh", "fish"});
            return [shell](Session& session) -> int {
              Session unused;
              VerbTree tree(unused);
              const CommandLine& root = tree.root();
              session.output.Line(*shell == "bash"  ? Bash(root)
                                  : *shell == "zsh" ? Zsh(root)
                                                    : Fish(root));
              return kExitOk;
            };
          }};
}

}  // namespace slipway::cli
