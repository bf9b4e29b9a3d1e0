// Installs this very program on the host it runs on: `slipway-executor setup`, which `slipway hosts add` uploads and runs. Run
// again it changes nothing that is as it should be.
//
// As root: an account of its own without a login, the binary, its configuration, a hardened systemd unit, sudo for exactly three
// nginx commands and the removal of releases, one folder of nginx's writable, and a key with which the controller can reach the socket and nothing else.
// As anybody else, for hosts that give no root: the same in the user's home, with whatever sudo allows the user already.
//
// Debian's package puts the program where setup would, and lets it set up the rest. The program is dpkg's then: no other one
// replaces it, and remove leaves it there.
//
// No shell is involved; what enters a file is of a strict grammar.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/protos.h"
#include "executor/process/process_runner.h"

#include "slipway/executor/v1/setup_report.pb.h"

namespace slipway::executor {

struct SetupOptions {
  // `TYPE KEY COMMENT`: may forward to the socket, and nothing else. Empty: none is added.
  std::string controller_key;
  // ADDRESS:PORT for the configuration; empty: the socket only.
  std::string tls_listen;
  // Starts the executor; `restart` also when it runs already.
  bool start = false;
  bool restart = false;
  // Takes everything away but the state and what runs.
  bool remove = false;

  bool as_root = true;
  // Stands before every path; for tests.
  std::filesystem::path root = "/";
  // Of the user, when not root.
  std::filesystem::path home;
  std::string user = "slipway";
  // What is installed.
  std::filesystem::path binary = "/proc/self/exe";
};

// Where things go.
struct SetupLayout {
  std::filesystem::path binary;
  std::filesystem::path config;
  std::filesystem::path state;
  std::filesystem::path socket;
  std::filesystem::path unit;
  std::filesystem::path authorized_keys;
  // As root only.
  std::filesystem::path link;
  std::filesystem::path sudoers;
};
SetupLayout LayoutFor(const SetupOptions& options);

// The texts of the files.
std::string UnitText(const SetupOptions& options, const SetupLayout& layout);
std::string SudoersText(const SetupOptions& options);
std::string ConfigText(const SetupOptions& options, const SetupLayout& layout, bool may_test);
// INVALID_ARGUMENT unless the key is one line of type, base64 and comment.
absl::StatusOr<std::string> AuthorizedLine(const std::string& controller_key,
                                           const std::filesystem::path& socket);

class Setup {
 public:
  Setup(ProcessRunner& runner, SetupOptions options);

  // INVALID_ARGUMENT for options, FAILED_PRECONDITION for what the host lacks, naming it, and where a package has another
  // program. What was done before stays done.
  absl::StatusOr<xpb::SetupReport> Run();

 private:
  absl::Status Install();
  absl::Status Remove();
  absl::Status InstallBinary();
  void LinkBinary();
  absl::Status MakeUser();
  absl::Status MakeMissingFolders();
  absl::Status WriteConfig();
  absl::Status WriteSudoers();
  absl::Status OpenNginxFolder();
  void NoteInclude();
  absl::Status AuthorizeController();
  absl::Status WriteUnit();
  absl::Status StartService();

  void Note(const std::string& subject, bool changed, const std::string& text);
  std::filesystem::path At(const std::filesystem::path& path) const;
  // Writes the file unless it has this text and mode; true when it did.
  absl::StatusOr<bool> Put(const std::filesystem::path& path, const std::string& text, mode_t mode);
  absl::StatusOr<ProcessResult> Call(std::vector<std::string> argv);
  absl::Status Must(std::vector<std::string> argv);
  bool HasSystemd() const;
  // Whether dpkg owns the program.
  bool IsPackaged();
  std::vector<std::string> Systemctl(std::vector<std::string> words) const;
  bool MayRun(std::vector<std::string> argv);

  ProcessRunner& runner_;
  const SetupOptions options_;
  const SetupLayout layout_;
  xpb::SetupReport report_;
};

}  // namespace slipway::executor
