// The files that setup writes.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/status.h"
#include "executor/setup.h"

namespace slipway::executor {

namespace fs = std::filesystem;

SetupLayout LayoutFor(const SetupOptions& options) {
  if (options.as_root) {
    return {"/usr/lib/slipway/slipway-executor",
            "/etc/slipway/executor.yaml",
            "/var/lib/slipway/executor",
            "/run/slipway/executor.sock",
            "/etc/systemd/system/slipway-executor.service",
            "/var/lib/slipway/.ssh/authorized_keys",
            "/usr/bin/slipway-executor",
            "/etc/sudoers.d/slipway-executor"};
  }
  const fs::path base = options.home / ".local/share/slipway";
  return {base / "slipway-executor",
          options.home / ".config/slipway/executor.yaml",
          base / "executor",
          base / "executor.sock",
          options.home / ".config/systemd/user/slipway-executor.service",
          options.home / ".ssh/authorized_keys",
          {},
          {}};
}

std::string UnitText(const SetupOptions& options, const SetupLayout& layout) {
  // A start may have a switch to settle that a crash interrupted.
  const std::string start = absl::StrCat(
      "[Unit]\nDescription=Slipway executor\n",
      options.as_root ? "After=docker.service nginx.service network.target\n" : "",
      "\n[Service]\nType=notify\nTimeoutStartSec=5min\nExecStart=", layout.binary.string(),
      " serve --config ", layout.config.string(),
      "\nRestart=always\nRestartSec=1\nKillMode=mixed\nUMask=0027\n");
  if (!options.as_root) return absl::StrCat(start, "\n[Install]\nWantedBy=default.target\n");
  // The folder of the sockets is nobody's alone: a RuntimeDirectory= would give all in it to this unit's user, the socket of a
  // controller on the same machine too (slipway-controller.service has the same line).
  // NoNewPrivileges, and what implies it, would stop sudo from running nginx's commands. Those run in this unit's view of
  // the file system, so what nginx opens when it tests its configuration stays writable.
  return absl::StrCat(
      start, "User=", options.user, "\nGroup=", options.user,
      "\nSupplementaryGroups=docker adm\n"
      "ExecStartPre=+/usr/bin/install -d -o root -g ",
      options.user,
      " -m 1775 /run/slipway\n"
      "StateDirectory=slipway/executor\nStateDirectoryMode=0711\n"
      "Environment=HOME=/var/lib/slipway\n"
      "ProtectSystem=strict\nReadWritePaths=/etc/nginx/conf.d /run -/var/log/nginx "
      "-/var/lib/nginx\n"
      "ProtectHome=yes\nPrivateTmp=yes\n"
      "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_AUDIT_WRITE CAP_DAC_OVERRIDE "
      "CAP_DAC_READ_SEARCH "
      "CAP_CHOWN CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE CAP_SYS_RESOURCE\n"
      "LimitNOFILE=65536\nTasksMax=2048\n\n[Install]\nWantedBy=multi-user.target\n");
}

std::string SudoersText(const SetupOptions& options) {
  // Whole command lines: sudo takes no argument more, none less and none else.
  return absl::StrCat("# Written by slipway-executor setup.\n", options.user,
                      " ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -T, "
                      "/usr/sbin/nginx -s reload, ",
                      LayoutFor(options).binary.string(), " remove-release --config ",
                      LayoutFor(options).config.string(), "\n");
}

std::string ConfigText(const SetupOptions& options, const SetupLayout& layout, bool may_test) {
  std::string text =
      absl::StrCat("# Written by slipway-executor setup, which leaves it alone from now on.\n",
                   "state: ", layout.state.string(), "\nsocket: ", layout.socket.string(), "\n");
  if (!options.tls_listen.empty())
    absl::StrAppend(&text, "tls_listen: \"", options.tls_listen, "\"\n");
  // Who may only reload learns from the proof that nginx did not take the configuration, not before.
  absl::StrAppend(&text,
                  "nginx:\n  test: ", may_test ? "[sudo, -n, /usr/sbin/nginx, -t]" : "[/bin/true]",
                  "\n  reload: [sudo, -n, ",
                  options.as_root || may_test ? "/usr/sbin/nginx" : "nginx", ", -s, reload]\n");
  return text;
}

absl::StatusOr<std::string> AuthorizedLine(const std::string& controller_key,
                                           const fs::path& socket) {
  const std::vector<std::string> words = absl::StrSplit(controller_key, ' ', absl::SkipEmpty());
  const bool plain =
      words.size() >= 2 && words.size() <= 3 &&
      controller_key.find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=@._- ") ==
          std::string::npos;
  if (!plain) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_KEY",
                 "the controller's key is not one line of type, key and comment");
  }
  // Nothing but forwarding, and to this one socket; no command. sshd takes a path in place of a host, in brackets, any "port".
  return absl::StrCat("restrict,port-forwarding,permitopen=\"[", socket.string(),
                      "]:*\",command=\"/bin/false\" ", controller_key);
}

}  // namespace slipway::executor
