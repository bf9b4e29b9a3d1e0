#include "clients/cli/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

// Standard input may be a pipe that something else is read from.
UniqueFd Terminal() { return UniqueFd(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

bool CanAsk() { return isatty(STDERR_FILENO) == 1 && static_cast<bool>(Terminal()); }

absl::StatusOr<std::string> AskSecret(const std::string& prompt) {
  const UniqueFd terminal = Terminal();
  termios shown{};
  if (!terminal || tcgetattr(terminal.get(), &shown) != 0) return ErrnoError("/dev/tty");
  termios hidden = shown;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  // Hidden first: what is typed at the sight of the question is neither shown nor thrown away.
  tcsetattr(terminal.get(), TCSAFLUSH, &hidden);
  const absl::Status asked = WriteAll(terminal.get(), prompt);
  std::string secret = asked.ok() ? ReadLine(terminal.get()) : "";
  tcsetattr(terminal.get(), TCSADRAIN, &shown);
  SLIPWAY_RETURN_IF_ERROR(asked);
  SLIPWAY_RETURN_IF_ERROR(WriteAll(terminal.get(), "\n"));
  if (secret.empty()) return absl::AbortedError("nothing was typed");
  return secret;
}

bool Confirm(const std::string& question) {
  const UniqueFd terminal = Terminal();
  if (!terminal || !WriteAll(terminal.get(), question + " (yes/no) ").ok()) return false;
  return ReadLine(terminal.get()) == "yes";
}

}  // namespace slipway::cli
