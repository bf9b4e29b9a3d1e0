#!/usr/bin/env python3
"""Debian's packages on a clean host, as apt handles them: installed, started, deployed with, upgraded, removed and purged.

The packages hold this build's own programs, which need the distribution's shared libraries: apt installs those from the mirror. A
release's programs would take a quarter of an hour to build and differ in nothing that dpkg or systemd sees.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

from remote_host import RemoteHost, serving, version, write_app
from stack import APP, BUILD, QUICKSTART, SITE, Checks, run, until

ADDRESS = "127.0.78.1"
NAMES = ("slipway", "slipway-controller", "slipway-executor")
DAEMONS = NAMES[1:]
MADE = f"{SITE}/packages"
NEWER = f"{SITE}/newer"


def make_packages():
    run("cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-B", MADE)


def make_newer():
    """The same programs as a later version."""
    os.makedirs(NEWER)
    for package in glob.glob(f"{MADE}/*.deb"):
        tree = f"{SITE}/unpacked"
        run("dpkg-deb", "-R", package, tree)
        run("sed", "-i", "s/^Version: .*/&+later/", f"{tree}/DEBIAN/control")
        run("dpkg-deb", "--root-owner-group", "-b", tree, NEWER)
        shutil.rmtree(tree)


class Host(RemoteHost):
    def apt(self, *arguments):
        return self.inside("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qqy", "-oDpkg::Use-Pty=0",
                           "--no-install-recommends", *arguments)

    def install(self, folder, *names):
        return self.apt("install", "--allow-downgrades", *(path for name in names for path in glob.glob(f"{folder}/{name}_*.deb")))

    def slipway(self, *arguments, user="root", **environment):
        """As a person at the host's own shell."""
        words = [f"{name}={value}" for name, value in environment.items()]
        return self.inside("env", "-C", APP, *words, "runuser", "-u", user, "--", "slipway", *arguments)

    def states(self, verb="is-active"):
        return self.inside("systemctl", verb, *DAEMONS).stdout.split()

    def pids(self):
        return self.text("systemctl", "show", "-P", "MainPID", *DAEMONS).split()

    def connected(self):
        return " connected " in self.slipway("hosts", "list").stdout


def said(done):
    return done.stdout + done.stderr


def checksums_hold(check):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=MADE, capture_output=True, text=True, check=False)
    check(done.returncode == 0 and done.stdout.count(": OK") >= len(NAMES), "SHA256SUMS names every package and is right", said(done))


def installs(check, host):
    """sudo, which is only recommended, comes last: what is lacking is said, and made good when it is there."""
    host.inside("env", "SUDO_FORCE_REMOVE=yes", "apt-get", "-qy", "remove", "sudo")
    host.text("apt-get", "-q", "update")
    done = host.install(MADE, *NAMES)
    check(done.returncode == 0 and "apt-get install sudo" in said(done), "the packages install, and say what the host lacks", said(done))
    check(host.states() == ["active", "inactive"], "the controller runs", str(host.states()))
    done = host.apt("install", "sudo")
    check(done.returncode == 0 and host.states() == ["active"] * 2, "with what was lacking comes the executor", said(done) + str(host.states()))
    check(host.states("is-enabled") == ["enabled"] * 2, "both start with the machine")
    owner = host.text("dpkg-query", "--search", "/usr/lib/slipway/slipway-executor")
    verified = host.inside("dpkg", "--verify", *NAMES).stdout
    check(owner.startswith("slipway-executor:") and verified == "", "what setup found is still what dpkg installed", owner + verified)
    exposure = host.text("systemd-analyze", "security", "--no-pager", "slipway-controller").splitlines()[-1]
    level = float(re.search(r"controller.service: ([\d.]+)", exposure).group(1))
    check(level <= 2.0, f"systemd rates the controller's exposure {level} of 10", exposure)


def group_says_who_may_deploy(check, host):
    outside = host.slipway("whoami", user="plain")
    host.text("usermod", "--append", "--groups", "slipway-controller", "plain")
    inside = host.slipway("whoami", user="plain")
    check(outside.returncode != 0 and inside.returncode == 0, "members of group slipway-controller may deploy, others not", said(outside) + said(inside))
    host.text("gpasswd", "--delete", "plain", "slipway-controller")


def deploys(check, host):
    added = host.slipway("hosts", "add", "web-1", "--address", "unix:///run/slipway/executor.sock")
    check(added.returncode == 0 and host.connected(), "the executor of the same machine is reached by its socket", said(added))
    host.serve_upstream()
    version("v1")
    done = host.slipway("deploy", "--commit", "v1")
    check(done.returncode == 0 and serving(host) == "v1", "a deployment", said(done))
    doctor = host.slipway("doctor")
    check(doctor.returncode == 0, "doctor finds nothing that is wrong", said(doctor))


def backs_up(check, host):
    """By its unit, whose sandbox sees state and backups as two mounts: the second backup shares the first one's blobs."""
    folder = "/var/lib/slipway/backup"

    def made():
        return host.inside("ls", folder).stdout.split()

    host.text("systemctl", "start", "slipway-controller-backup.service")
    first = made()
    facts = host.inside("stat", "-c", "%U %a", f"{folder}/{first[0] if first else ''}").stdout.strip()
    check(len(first) == 1 and facts == "slipway-controller 700", "the unit makes a backup that its user alone may read", f"{first} {facts}")
    until(5, lambda: host.text("date", "-u", "+%Y%m%dT%H%M%SZ").strip() > first[0], "a second has passed, for a backup's name")
    host.text("systemctl", "start", "slipway-controller-backup.service")
    links = host.text("find", f"{folder}/{made()[-1]}/blobs", "-type", "f", "-printf", "%n\n").split()
    check(len(made()) == 2 and bool(links) and all(int(count) > 1 for count in links), "and the next one, which costs no second copy of the files", str(links))
    doctor = host.slipway("doctor").stdout
    check("backup: " in doctor and " old" in doctor, "doctor knows how old it is", doctor)
    check(host.inside("systemctl", "enable", "--now", "slipway-controller-backup.timer").returncode == 0, "the timer can be enabled")


def sockets_keep_apart(check, host):
    """Both daemons keep their sockets in one folder, and neither takes the other's away."""
    folder = ("stat", "-c", "%n %U %G %a", "/run/slipway", "/run/slipway/controller.sock", "/run/slipway/executor.sock")
    before = host.text(*folder)
    host.text("systemctl", "stop", "slipway-executor")
    check(host.slipway("whoami").returncode == 0, "the controller answers while the executor is stopped")
    host.text("systemctl", "start", "slipway-executor")
    host.text("systemctl", "stop", "slipway-controller")
    status = host.inside("slipway-executor", "status")
    check(status.returncode == 0 and "hello" in status.stdout, "the executor answers while the controller is stopped", said(status))
    host.text("systemctl", "start", "slipway-controller")
    until(20, host.connected, "the host is connected again")
    check(host.text(*folder) == before, "owners and modes of folder and sockets are what they were", before + host.text(*folder))


def completions_complete(check, host):
    script = ("source /usr/share/bash-completion/completions/slipway; COMP_WORDS=(slipway dep); COMP_CWORD=1; _slipway; "
              'echo "${COMPREPLY[@]}"')
    check(host.text("bash", "-c", script).split() == ["deploy"], "bash completes `slipway dep`")
    for name in ("zsh/vendor-completions/_slipway", "fish/vendor_completions.d/slipway.fish"):
        check("deploy" in host.text("cat", f"/usr/share/{name}"), f"{name} is there")


def bootstrap_leaves_dpkgs_program(check, host):
    """`hosts add` and `hosts upgrade` on a host that has the executor by its package."""
    remote = {"SLIPWAY_SSH_KEY_FILE": host.key, "SLIPWAY_SSH_FINGERPRINT": host.fingerprint()}
    by_ssh = ("web-1", "--ssh", f"deploy@{host.address}:{host.port}")
    added = host.slipway("hosts", "add", *by_ssh, **remote)
    check(added.returncode == 0 and "packaged" in added.stdout and "enrolled as web-1" in added.stdout and host.connected(),
          "hosts add enrols it and sends no program", said(added))
    other = f"{SITE}/other-executor"
    shutil.copy(f"{BUILD}/executor/slipway-executor", other)
    upgraded = host.slipway("hosts", "upgrade", *by_ssh, "--executor", other, **remote)
    check(upgraded.returncode != 0 and "apt-get install slipway-executor" in said(upgraded), "hosts upgrade leaves it to apt", said(upgraded))
    check(host.text("dpkg", "--verify", "slipway-executor") == "", "dpkg's file is untouched")


def upgrades(check, host):
    before = host.pids()
    done = host.install(NEWER, *NAMES)
    after = host.pids()
    check(done.returncode == 0 and host.states() == ["active"] * 2 and not set(before) & set(after), "an upgrade restarts both daemons",
          f"{said(done)} {before} {after}")
    until(20, host.connected, "the host is connected after the upgrade")
    check("succeeded" in host.slipway("history").stdout and serving(host) == "v1", "history, hosts and the application are there")
    version("v2")
    done = host.slipway("deploy", "--commit", "v2")
    check(done.returncode == 0 and serving(host) == "v2", "the next deployment", said(done))
    host.text("systemctl", "disable", "--now", *DAEMONS)
    done = host.install(MADE, *NAMES)
    check(done.returncode == 0 and host.states() == ["inactive"] * 2 and host.states("is-enabled") == ["disabled"] * 2,
          "what an administrator has disabled stays so", said(done) + str(host.states()))
    host.text("systemctl", "enable", "--now", *DAEMONS)


def removes(check, host):
    done = host.apt("remove", *NAMES)
    check(done.returncode == 0 and host.states() == ["inactive"] * 2, "removing stops both daemons", said(done) + str(host.states()))
    gone = host.inside("ls", "/usr/bin/slipway", "/usr/bin/slipway-controller", "/usr/bin/slipway-executor", "/etc/sudoers.d/slipway-executor",
                       "/etc/systemd/system/slipway-executor.service").stdout
    kept = host.inside("ls", "-d", "/var/lib/slipway/controller/ssh", "/var/lib/slipway/executor/apps/hello/releases", "/etc/slipway/controller.yaml",
                       "/etc/slipway/executor.yaml")
    check(gone == "" and kept.returncode == 0, "programs and permissions are gone, state and configuration are not", gone + said(kept))
    check(serving(host) == "v2", "the application goes on serving")
    done = host.install(MADE, *NAMES)
    check(done.returncode == 0 and host.states() == ["active"] * 2, "installed again, both run", said(done) + str(host.states()))
    until(20, host.connected, "the host is connected after all")
    check("v2" in host.slipway("history").stdout, "with all their history")


def purges(check, host):
    done = host.apt("purge", *NAMES)
    left = host.inside("find", "/etc", "/usr", "/run", "/var/lib", "-xdev", "-name", "*slipway*", "-not", "-path", "/var/lib/dpkg/*", "-not",
                       "-path", "/run/sudo/*")
    kept = host.inside("ls", "/var/lib/slipway").stdout.split()
    check(done.returncode == 0 and left.stdout.split() == ["/var/lib/slipway"] and kept == ["backup"], "purging leaves the backups and nothing else",
          said(done) + left.stdout + str(kept))
    accounts = host.text("getent", "passwd", "slipway", "slipway-controller")
    check(accounts.count("/usr/sbin/nologin") == 2, "but the two accounts, so that nobody inherits their numbers", accounts)


def main():
    if shutil.which("debootstrap") is None:
        print("skipped: debootstrap is needed (tests/packages.txt)")
        return 0
    check = Checks()
    shutil.rmtree(SITE, ignore_errors=True)
    os.makedirs(SITE)
    host = Host("packages", ADDRESS, f"{SITE}/remote", SITE)
    try:
        make_packages()
        make_newer()
        checksums_hold(check)
        write_app("web-1")
        host.start()
        installs(check, host)
        group_says_who_may_deploy(check, host)
        deploys(check, host)
        backs_up(check, host)
        sockets_keep_apart(check, host)
        completions_complete(check, host)
        bootstrap_leaves_dpkgs_program(check, host)
        upgrades(check, host)
        removes(check, host)
        purges(check, host)
    except BaseException:
        print(host.inside("journalctl", "-u", "slipway-executor", "-u", "slipway-controller", "--no-pager", "-n", "60").stdout)
        raise
    finally:
        if not os.environ.get("SLIPWAY_KEEP"):
            host.stop()
            subprocess.run([QUICKSTART, "stop"], check=False, stdout=subprocess.DEVNULL)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
