#include "clients/cli/command_line.h"

#include <CLI/CLI.hpp>

namespace slipway::cli {

CommandLine::Option& CommandLine::Option::Required() {
  option_->required();
  return *this;
}

CommandLine::Option& CommandLine::Option::Range(int least, int most) {
  option_->check(CLI::Range(least, most));
  return *this;
}

CommandLine::Option& CommandLine::Option::OneOf(std::vector<std::string> words) {
  option_->check(CLI::IsMember(std::move(words)));
  return *this;
}

CommandLine::Option& CommandLine::Option::SeparatedBy(char separator) {
  option_->delimiter(separator);
  return *this;
}

CommandLine::Option& CommandLine::Option::OrFromEnvironment(const std::string& variable) {
  option_->envname(variable);
  return *this;
}

CommandLine::Option& CommandLine::Option::ShowDefault() {
  option_->capture_default_str();
  return *this;
}

CommandLine::CommandLine(const std::string& name, const std::string& description)
    : root_(std::make_unique<CLI::App>(description, name)), app_(root_.get()) {
  app_->fallthrough();
  app_->failure_message(CLI::FailureMessage::simple);
}

CommandLine::CommandLine(CLI::App* app) : app_(app) {}

CommandLine::~CommandLine() = default;

CommandLine::Option CommandLine::AddOption(const std::string& name, std::string& value,
                                           const std::string& help) {
  return Option(app_->add_option(name, value, help));
}
CommandLine::Option CommandLine::AddOption(const std::string& name, int& value,
                                           const std::string& help) {
  return Option(app_->add_option(name, value, help));
}
CommandLine::Option CommandLine::AddOption(const std::string& name, uint64_t& value,
                                           const std::string& help) {
  return Option(app_->add_option(name, value, help));
}
CommandLine::Option CommandLine::AddOption(const std::string& name,
                                           std::vector<std::string>& values,
                                           const std::string& help) {
  return Option(app_->add_option(name, values, help));
}

void CommandLine::AddFlag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
}

void CommandLine::AddChoice(const std::vector<std::pair<std::string, bool*>>& flags) {
  CLI::Option_group* group = app_->add_option_group("outcome");
  for (const auto& [name, value] : flags) group->add_flag(name, *value);
  group->require_option(1);
}

CommandLine* CommandLine::AddCommand(const std::string& name, const std::string& summary) {
  commands_.push_back(
      std::unique_ptr<CommandLine>(new CommandLine(app_->add_subcommand(name, summary))));
  return commands_.back().get();
}

void CommandLine::RequireCommand() { app_->require_subcommand(1); }

void CommandLine::SetFooter(const std::string& text) { app_->footer(text); }

bool CommandLine::Given() const { return app_->parsed(); }

std::optional<int> CommandLine::Parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app_->exit(error);
  }
  return std::nullopt;
}

std::string CommandLine::Name() const { return app_->get_name(); }

std::vector<const CommandLine*> CommandLine::Commands() const {
  std::vector<const CommandLine*> commands;
  for (const auto& command : commands_) commands.push_back(command.get());
  return commands;
}

std::vector<CommandLine::Word> CommandLine::Words() const {
  std::vector<Word> words;
  for (const auto& command : commands_) {
    words.push_back({command->Name(), command->app_->get_description()});
  }
  for (const CLI::Option* option : app_->get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words.push_back({"--" + name, option->get_description()});
    }
  }
  return words;
}

}  // namespace slipway::cli
