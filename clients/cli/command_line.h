// The command line as verbs declare it: commands, options and flags that write where they are told. CLI11 stands behind it and is
// seen by one file only: it costs whoever includes it more time to compile than everything else together.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace slipway::cli {

class CommandLine {
 public:
  class Option {
   public:
    explicit Option(CLI::Option* option) : option_(option) {}

    Option& Required();
    Option& Range(int least, int most);
    Option& OneOf(std::vector<std::string> words);
    // One value may hold several, with this between them.
    Option& SeparatedBy(char separator);
    // Where it is not given, this environment variable counts.
    Option& OrFromEnvironment(const std::string& variable);
    // --help shows the value that stands there already.
    Option& ShowDefault();

   private:
    CLI::Option* option_;
  };

  CommandLine(const std::string& name, const std::string& description);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // `--long,-s` for an option, NAME for a value by its place. What is written to lives as long as this.
  Option AddOption(const std::string& name, std::string& value, const std::string& help = "");
  Option AddOption(const std::string& name, int& value, const std::string& help = "");
  Option AddOption(const std::string& name, uint64_t& value, const std::string& help = "");
  // As often as wanted.
  Option AddOption(const std::string& name, std::vector<std::string>& values,
                   const std::string& help = "");
  void AddFlag(const std::string& name, bool& value, const std::string& help);
  // Flags of which exactly one must be given.
  void AddChoice(const std::vector<std::pair<std::string, bool*>>& flags);
  // Belongs to this one.
  CommandLine* AddCommand(const std::string& name, const std::string& summary);
  void RequireCommand();
  // Below the help.
  void SetFooter(const std::string& text);

  bool Given() const;
  // Of the root: the exit code when this was all, after --help or because of a mistake, which is said on standard error.
  std::optional<int> Parse(int argc, char** argv);

  // For completions.
  struct Word {
    std::string text;
    std::string description;
  };
  std::string Name() const;
  std::vector<const CommandLine*> Commands() const;
  // What may follow: commands and the options' long names.
  std::vector<Word> Words() const;

 private:
  explicit CommandLine(CLI::App* app);

  std::unique_ptr<CLI::App> root_;
  CLI::App* app_;
  std::vector<std::unique_ptr<CommandLine>> commands_;
};

}  // namespace slipway::cli
