#!/usr/bin/env python3
"""A host that offers nothing but SSH, from bare to deployed, with both hops through SSH and unprivileged users.

Bootstrap, twice; a rogue host key; deployments under load; sshd killed in the middle of one; the executor upgraded while it
serves; mutual TLS with certificates that are renewed every second; a canary that must be nowhere; the history edited.
"""
import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

import stack
from remote_host import PORT, RemoteHost, serving, version, write_app
from stack import APP, BUILD, CLI, QUICKSTART, SITE, Checks, Load, read, run, until, write

ADDRESS = "127.0.77.1"
CANARY = "CANARY-5f1c0a77"
SAID = []  # What the commands printed, as a pipeline's log has it.
SHARE = f"{SITE}/run"


class Controller:
    def __init__(self, **tls):
        self.tls = tls
        self.child = None

    def start(self):
        os.makedirs(SHARE, exist_ok=True)
        tls = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in self.tls.items())
        write(f"{SITE}/controller.yaml",
              f"state: {SITE}/controller\nsocket: {SHARE}/c.sock\ntoken_socket: {SHARE}/t.sock\n"
              f"metrics_address: 127.0.0.1:9780\n" + (f"tls:\n{tls}" if tls else ""))
        with open(f"{SITE}/controller.log", "ab") as log:
            self.child = subprocess.Popen([f"{BUILD}/controller/slipway-controller", "--config", f"{SITE}/controller.yaml"],
                                          stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(20, lambda: os.path.exists(f"{SHARE}/c.sock"), "the controller's socket")
        # What an administrator does for whom they let in over SSH.
        run("chgrp", "1000", f"{SHARE}/c.sock")

    def stop(self):
        if self.child is not None:
            self.child.terminate()
            self.child.wait(20)
        self.child = None


def slipway(*arguments, address=None, cwd=None, stdin=None, **environment):
    """`slipway` as a person runs it: by the operator's key and what is pinned in the environment."""
    env = dict(os.environ, **{"SLIPWAY_CONTROLLER": address or f"unix://{SHARE}/c.sock", **environment})
    done = subprocess.run([CLI, *arguments], cwd=cwd or APP, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300, check=False, env=env)
    SAID.append(done.stdout)
    return done


def typed(arguments, answers, address=None, **environment):
    """`slipway` at a terminal where somebody answers: {words of a question: the answer}."""
    env = dict(os.environ, SLIPWAY_CONTROLLER=address or f"unix://{SHARE}/c.sock", **environment)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(APP)
        os.execve(CLI, [CLI, *arguments], env)
    shown, open_questions = b"", dict(answers)
    # The terminal ends with an error when its last user has gone.
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 4096):
            shown += piece
            for question in [each for each in open_questions if each.encode() in shown]:
                os.write(terminal, f"{open_questions.pop(question)}\n".encode())
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return subprocess.CompletedProcess(arguments, code, shown.decode().replace("\r", ""))


def prompts(check, host):
    """Who sits at a terminal is asked; nobody else is."""
    at_home = dict(HOME=f"{SITE}/home", SLIPWAY_SSH_KEY_FILE=host.key)
    add = ["hosts", "add", "web-0", "--ssh", f"deploy@{host.address}:{host.port}", "--executor", f"{BUILD}/executor/slipway-executor"]
    refused = typed(add, {"Is it the right one? (yes/no)": "no"}, **at_home)
    check(refused.returncode == 8 and host.fingerprint() in refused.stdout, "an unknown host key is shown, and `no` is no", refused.stdout)
    check("Accepted" not in host.log("ssh"), "nobody logged in")
    locked = f"{SITE}/remote/locked"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", locked)
    public = read(f"{locked}.pub")
    host.text("sh", "-c", f"echo '{public.strip()}' >>/home/deploy/.ssh/authorized_keys")
    address = f"ssh://deploy@{host.address}:{host.port}{SHARE}/c.sock"
    key = dict(HOME=f"{SITE}/home", SLIPWAY_SSH_KEY_FILE=locked, SLIPWAY_SSH_FINGERPRINT=host.fingerprint())
    opened = typed(["whoami"], {"Passphrase": "open sesame"}, address=address, **key)
    check(opened.returncode == 0 and "open sesame" not in opened.stdout, "an encrypted key's passphrase is asked for, and not shown", opened.stdout)
    alone = slipway("whoami", address=address, **key)
    check(alone.returncode == 8 and "no terminal to ask" in alone.stdout, "without a terminal nobody is asked", alone.stdout)


def bootstrap(check, host, remote):
    start = time.monotonic()
    add = ["hosts", "add", "web-1", "--ssh", f"deploy@{host.address}:{host.port}", "--executor", f"{BUILD}/executor/slipway-executor",
           "--label", "role=web"]
    # By hand, by somebody who compared the host key and says so.
    done = typed(add, {"Is it the right one? (yes/no)": "yes"}, HOME=f"{SITE}/home", SLIPWAY_SSH_KEY_FILE=host.key)
    took = time.monotonic() - start
    check(done.returncode == 0 and "enrolled as web-1" in done.stdout and "its configuration is good" in done.stdout,
          f"a bare host has a running executor after {took:.1f} s", done.stdout)
    before = host.text("sh", "-c", "cat /etc/slipway/* /etc/sudoers.d/slipway-executor /etc/systemd/system/slipway-executor.service "
                       "/var/lib/slipway/.ssh/authorized_keys; systemctl show -p MainPID slipway-executor; id slipway; stat -c '%U %G %a' "
                       "/etc/nginx/conf.d /var/lib/slipway/executor /run/slipway/executor.sock /etc/sudoers.d/slipway-executor")
    again = slipway(*add, **remote)
    after = host.text("sh", "-c", "cat /etc/slipway/* /etc/sudoers.d/slipway-executor /etc/systemd/system/slipway-executor.service "
                      "/var/lib/slipway/.ssh/authorized_keys; systemctl show -p MainPID slipway-executor; id slipway; stat -c '%U %G %a' "
                      "/etc/nginx/conf.d /var/lib/slipway/executor /run/slipway/executor.sock /etc/sudoers.d/slipway-executor")
    check(again.returncode == 0 and "changed" not in again.stdout and before == after, "twice changes nothing", again.stdout)
    host.text("visudo", "-c")
    sudo = host.inside("runuser", "-u", "slipway", "--", "sudo", "-n", "/usr/sbin/nginx", "-t", "-c", "/tmp/evil.conf")
    check(sudo.returncode != 0, "sudo takes the two command lines and no argument more", sudo.stdout + sudo.stderr)
    check(host.inside("runuser", "-u", "slipway", "--", "sudo", "-n", "id").returncode != 0, "and no other program")


def controllers_key_opens_one_socket(check, host):
    """The controller's key gets no shell, no other socket and no port, though its user may use Docker."""
    ssh = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-p", str(host.port),
           "-i", f"{SITE}/controller/ssh/id_ed25519", f"slipway@{host.address}"]
    shell = subprocess.run([*ssh, "id"], capture_output=True, text=True, timeout=20, check=False)
    check("uid=" not in shell.stdout, "no shell", shell.stdout)
    for what in ("/run/docker.sock", f"{host.address}:{PORT}"):
        local = f"{SITE}/forward.sock"
        with contextlib.suppress(FileNotFoundError):
            os.remove(local)
        tunnel = subprocess.Popen([*ssh[:-1], "-N", "-L", f"{local}:{what}", ssh[-1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(10, lambda: os.path.exists(local), "ssh's own end of the tunnel")
            got = subprocess.run(["curl", "-s", "-m", "5", "--unix-socket", local, "http://x/version"], capture_output=True, text=True, check=False)
            check(got.stdout == "", f"no way to {what}", got.stdout)
        finally:
            tunnel.terminate()
            tunnel.wait()


def rogue_keys(check, host, remote):
    wrong = dict(remote, SLIPWAY_SSH_FINGERPRINT="SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    done = slipway("status", address=f"ssh://deploy@{host.address}:{host.port}{SHARE}/c.sock", **wrong)
    check(done.returncode == 8 and "SHA256:AAAA" in done.stdout and host.fingerprint() in done.stdout,
          "another host key is refused, and both fingerprints are shown", done.stdout)
    none = {key: value for key, value in remote.items() if key != "SLIPWAY_SSH_FINGERPRINT"}
    done = slipway("status", address=f"ssh://deploy@{host.address}:{host.port}{SHARE}/c.sock", HOME="/nonexistent", **none)
    check(done.returncode == 8 and host.fingerprint() in done.stdout, "an unknown host key too", done.stdout)


def deploys_through_both_hops(check, host, remote):
    """CLI -> ssh as an unprivileged user -> controller -> ssh as an unprivileged user -> executor."""
    address = f"ssh://deploy@{host.address}:{host.port}{SHARE}/c.sock"
    host.serve_upstream()
    done = slipway("env", "set", "SECRET", address=address, stdin=CANARY, **remote)
    if done.returncode != 0:  # not applied yet
        slipway("apply", address=address, **remote)
        done = slipway("env", "set", "SECRET", address=address, stdin=CANARY, **remote)
    check(done.returncode == 0, "the environment is set through ssh://", done.stdout)
    version("v1")
    done = slipway("deploy", "--commit", "v1", address=address, **remote)
    check(done.returncode == 0 and serving(host) == "v1", "the first deployment through ssh:// on both hops", done.stdout)
    with load(host) as running:
        version("v2")
        done = slipway("deploy", "--commit", "v2", address=address, **remote)
        check(done.returncode == 0 and serving(host) == "v2", "a second one under load", done.stdout)
    check(running.failed == 0, f"no request failed of {running.requests}", running.table)


def guides_secrets_are_enough(check, host):
    """A job that has the guide's five secrets and nothing else of Slipway's; the controller's socket is where packages put it."""
    host.text("sh", "-c", f"mkdir -p /run/slipway && ln -sf {SHARE}/c.sock /run/slipway/controller.sock")
    secrets = dict(SLIPWAY_CONTROLLER="", PROD_SSH_HOST=host.address, PROD_SSH_PORT=str(host.port), PROD_SSH_USER="deploy",
                   PROD_SSH_KEY=read(host.key), PROD_SSH_FINGERPRINT=host.fingerprint(), PROD_ENV_FILE=f"SECRET={CANARY}\nWORD='a $b'\n")
    stored = slipway("env", "set", "--from-env", "PROD_ENV_FILE", **secrets)
    version("guide")
    done = slipway("deploy", "--commit", "guide", **secrets)
    check(stored.returncode == 0 and done.returncode == 0 and serving(host) == "guide", "the guide's secrets are enough", stored.stdout + done.stdout)


class load(Load):
    def __init__(self, host):
        self.child = subprocess.Popen([f"{BUILD}/tests/support/load/slipway-load", host.address, str(PORT), "hello", "300"],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.table = ""


def sshd_killed_in_the_middle(check, host, remote):
    address = f"ssh://deploy@{host.address}:{host.port}{SHARE}/c.sock"
    version("v3")
    with load(host) as running:
        env = dict(os.environ, SLIPWAY_CONTROLLER=address, **remote)
        child = subprocess.Popen([CLI, "deploy", "--commit", "v3"], cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        lines, killed = [], 0
        for line in child.stdout:
            lines.append(line)
            if re.search(r" (stage|start|switch) +ok", line):
                # The listener, and every connection of both hops.
                host.inside("pkill", "-9", "sshd")
                until(20, lambda: host.inside("sh", "-c", "systemctl reset-failed ssh; systemctl start ssh").returncode == 0, "sshd is back")
                killed += 1
        child.wait(60)
    check(child.returncode == 0 and killed == 3 and serving(host) == "v3",
          f"sshd killed {killed} times in the middle of a deployment, which goes on by itself", "".join(lines))
    check(running.failed == 0, f"no request failed of {running.requests}", running.table)
    name = json.loads(slipway("history", "--output", "json", "-n", "1").stdout)["deployments"][0]["name"].split("/")[-1]
    steps = [step["name"] for step in json.loads(slipway("why", name, "--output", "json").stdout)["rollouts"][0]["steps"]]
    shown = [line.split()[1] for line in lines if line.startswith("web-1")]
    check([step for step in steps if step not in shown] == [], "the one who watched lost no step", f"{steps} {shown}")


def upgrade_while_serving(check, host, remote):
    before = host.text("systemctl", "show", "-p", "MainPID", "slipway-executor")
    with load(host) as running:
        host.text("sh", "-c", "cd /usr/lib/slipway && cp slipway-executor other && printf x >>other && mv other slipway-executor")
        done = slipway("hosts", "upgrade", "web-1", "--ssh", f"deploy@{host.address}:{host.port}", "--executor",
                       f"{BUILD}/executor/slipway-executor", **remote)
    after = host.text("systemctl", "show", "-p", "MainPID", "slipway-executor")
    check(done.returncode == 0 and before != after and running.failed == 0,
          f"the executor is replaced while it serves, 0 of {running.requests} requests failed", done.stdout + running.table)


def policy_holds_on_the_host(check, host, remote):
    compose = read(f"{APP}/docker-compose.yml")
    write(f"{APP}/docker-compose.yml", compose.replace("    ports:", "    privileged: true\n    ports:"))
    version("v4")
    done = slipway("deploy", "--commit", "v4")
    check(done.returncode == 3 and "services.web.privileged" in done.stdout and "slipway allow --add web:privileged" in done.stdout,
          "a privileged container is refused, the key named", done.stdout)
    planned = slipway("plan")
    check(planned.returncode == 8 and "services.web.privileged" in planned.stdout, "the plan says so too", planned.stdout)
    write(f"{APP}/docker-compose.yml", compose.replace("image: hello-base:1", "image: hello-base:1\n    cap_add: [SYS_PTRACE]"))
    refused = slipway("deploy", "--commit", "v4")
    slipway("allow", "--add", "store:cap_add:SYS_PTRACE")
    allowed = slipway("deploy", "--commit", "v4")
    check(refused.returncode == 3 and allowed.returncode == 0 and serving(host) == "v4", "what an operator allows is let through",
          refused.stdout + allowed.stdout)
    write(f"{APP}/docker-compose.yml", compose)


def ref_policy_and_checks(check):
    spec = read(f"{APP}/slipway.yaml")
    write(f"{APP}/slipway.yaml", spec + "policy:\n  deploy_from: [refs/heads/main]\n  check_only: [refs/pull/*]\n  required_checks: [tests]\n")
    main = dict(GITHUB_SHA="c5", GITHUB_REF="refs/heads/main")
    slipway("apply", **main)
    tokens = {}
    for ref in ("refs/heads/main", "refs/pull/7/merge"):
        tokens[ref] = slipway("token", "create", "ci", "--app", "hello", "--ref", ref).stdout.splitlines()[0]
    open_socket = f"unix://{SHARE}/t.sock"
    version("v5")
    pull = dict(SLIPWAY_TOKEN=tokens["refs/pull/7/merge"], GITHUB_SHA="c5", GITHUB_REF="refs/heads/main", address=open_socket)
    planned, refused = slipway("plan", **pull), slipway("deploy", **pull)
    check(planned.returncode == 0 and "web" in planned.stdout, "a check_only ref gets a whole plan", planned.stdout)
    check(refused.returncode == 8 and "only checked" in refused.stdout, "and never a deployment, whatever its workflow says", refused.stdout)
    push = dict(SLIPWAY_TOKEN=tokens["refs/heads/main"], GITHUB_SHA="c5", GITHUB_REF="refs/heads/main", address=open_socket)
    untested = slipway("deploy", **push)
    check(untested.returncode == 8 and "tests was not reported" in untested.stdout, "an untested commit is refused", untested.stdout)
    slipway("check", "report", "tests", "--failed", **push)
    failed = slipway("deploy", **push)
    slipway("check", "report", "tests", "--passed", **push)
    passed = slipway("deploy", **push)
    check(failed.returncode == 8 and "tests failed" in failed.stdout and passed.returncode == 0,
          "one whose tests failed too; once they pass it is deployed", failed.stdout + passed.stdout)
    viewer = slipway("token", "create", "grafana", "--role", "viewer").stdout.splitlines()[0]
    seen = slipway("deploy", SLIPWAY_TOKEN=viewer, address=open_socket)
    check(seen.returncode == 8 and slipway("status", SLIPWAY_TOKEN=viewer, address=open_socket).returncode == 0,
          "a viewer sees and does not deploy", seen.stdout)
    none = slipway("status", address=open_socket)
    check(none.returncode == 8 and "SLIPWAY_TOKEN" in none.stdout, "without a token nothing is seen", none.stdout)
    write(f"{APP}/slipway.yaml", spec)
    slipway("apply", **main)
    return tokens


def mutual_tls_rotated_while_deploying(check, controller, host, remote):
    """Certificates that live five seconds: renewed every three on both ends, while deployments go on."""
    controller.stop()
    controller.tls = {"listen": "127.0.0.1:9781", "certificate_life": "5s"}
    controller.start()
    made = slipway("hosts", "add", "web-1", "--ssh", f"deploy@{host.address}:{host.port}", "--tls", "9782", "--executor",
                   f"{BUILD}/executor/slipway-executor", "--label", "role=web", **remote)
    check("tls://" in made.stdout, "a host is reached by tls:// as well", made.stdout)
    until(20, lambda: " connected " in slipway("hosts", "list", cwd="/").stdout, "the host by tls://")
    ends = re.findall(r'^slipway_tls_cert_not_after_timestamp_seconds\{role="(\w+)"(?:,host="([^"]+)")?\} \d', stack.get(9780, "/metrics"), re.MULTILINE)
    check(set(ends) == {("controller", ""), ("executor", "web-1")}, "the metrics say when both certificates end", str(ends))

    def serials():
        return len(json.loads(slipway("certificate", "list", "--output", "json").stdout).get("certificates", []))

    rotations = set()
    stop = threading.Event()

    def count():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                rotations.add(os.readlink(f"{SITE}/controller/tls/current"))
            rotations.add(host.inside("readlink", "/var/lib/slipway/executor/tls/current").stdout.strip())
            stop.wait(0.3)

    watcher = threading.Thread(target=count)
    watcher.start()
    deployed = 0
    with load(host) as running:
        end = time.monotonic() + 150
        while len(rotations) < 50 and time.monotonic() < end:
            deployed += 1
            version(f"t{deployed}")
            done = slipway("deploy", "--commit", f"t{deployed}")
            if done.returncode != 0 or serving(host) != f"t{deployed}":
                check(False, f"deployment {deployed} while certificates rotate", done.stdout)
                break
    stop.set()
    watcher.join()
    check(len(rotations) >= 50 and running.failed == 0,
          f"{len(rotations)} certificates in turn during {deployed} deployments, 0 of {running.requests} requests failed", running.table)
    check(serials() >= 50, "all of them are on the controller's list")


def revoked_host_is_not_trusted(check, controller, host, remote):
    """The host's certificate is in other hands: whatever shows one of its certificates is not spoken with until it is enrolled anew."""
    controller.stop()
    controller.tls = {"listen": "127.0.0.1:9781"}
    controller.start()

    def newest():
        listed = json.loads(slipway("certificate", "list", "--output", "json").stdout)["certificates"]
        return max((one for one in listed if one["role"] == "ROLE_EXECUTOR"), key=lambda one: one["create_time"])

    # Of seven days again; the host may show the one before for a moment still.
    until(20, lambda: newest()["expire_time"][:10] > time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400)), "a certificate of days")
    done = slipway("certificate", "revoke", newest()["name"].split("/")[-1])
    until(20, lambda: "was revoked" in slipway("hosts", "list", cwd="/").stdout, "the host is lost, for its certificate was revoked")
    check(done.returncode == 0 and done.stdout.count(" revoked\n") > 1, "a host's certificates are revoked together", done.stdout)
    again = slipway("hosts", "add", "web-1", "--ssh", f"deploy@{host.address}:{host.port}", "--tls", "9782", "--executor",
                    f"{BUILD}/executor/slipway-executor", "--label", "role=web", **remote)
    version("r1")
    deployed = slipway("deploy", "--commit", "r1")
    check(again.returncode == 0 and "enrolled as web-1" in again.stdout and deployed.returncode == 0 and serving(host) == "r1",
          "enrolled anew it is spoken with again", again.stdout + deployed.stdout)


def history_is_held(check, controller):
    done = slipway("audit", "verify")
    check(done.returncode == 0 and "agrees up to row" in done.stdout, "the history is whole, and the host agrees", done.stdout)
    controller.stop()
    with sqlite3.connect(f"{SITE}/controller/state.db") as database:
        rows = database.execute("SELECT count(*) FROM history").fetchone()[0]
        # By somebody who knows the format: the whole chain is written anew.
        database.executescript("DROP TRIGGER history_stays; DROP TRIGGER history_holds;")
        database.execute("UPDATE history SET actor='mallory' WHERE sequence=3")
        previous = b""
        for row in database.execute("SELECT sequence, time, app, actor, action, subject, outcome, origin FROM history ORDER BY sequence").fetchall():
            digest = hashlib.sha256(previous)
            for field in [str(row[0]), str(row[1]), *row[2:7]] + ([row[7]] if row[7] else []):
                encoded = field.encode()
                digest.update(f"{len(encoded)}:".encode() + encoded)
            previous = digest.digest()
            database.execute("UPDATE history SET hash=? WHERE sequence=?", (previous, row[0]))
        database.execute("UPDATE history_head SET hash=?", (previous,))
    controller.start()
    until(20, lambda: " connected " in slipway("hosts", "list", cwd="/").stdout, "the host is back")
    done = slipway("audit", "verify")
    check(done.returncode == 1 and "written anew" in done.stdout,
          f"a chain of {rows} rows written anew after an edit fits itself, and not what the host remembers", done.stdout)


def canary_is_nowhere(check, host, tokens):
    """The value of a secret and the tokens: in no log, journal, database, command line or metric."""
    metrics = urllib.request.urlopen("http://127.0.0.1:9780/metrics", timeout=5).read().decode()
    places = {"metrics": metrics, "the executor's log": host.log("slipway-executor"), "sshd's log": host.log("ssh"),
              "the controller's log": read(f"{SITE}/controller.log")}
    needles = [CANARY, *tokens.values()]
    for where, text in places.items():
        check(not any(needle in text for needle in needles), f"no secret in {where}")
    check(not any(CANARY in text for text in SAID), f"none in what {len(SAID)} commands printed")
    hits = []
    for root, _, names in os.walk(f"{SITE}/controller"):
        for name in names:
            with open(f"{root}/{name}", "rb") as file:
                data = file.read()
            hits += [f"{root}/{name}" for needle in needles if needle.encode() in data]
    check(not hits, "no secret in the controller's state", str(hits))
    found = host.inside("grep", "-rlf", "-", "/var/lib/slipway", "/var/log", "/tmp", "/home", stdin=CANARY + "\n").stdout.split()
    stray = [path for path in found if not re.search("/releases/|/state/|/normalised-", path)]
    check(found and not stray, "on the host only in the release's env file and its generated projects", str(stray))
    # The files of a release are for its containers, whatever their user is; the directory above keeps everybody else out.
    readable = [path for path in found if host.inside("runuser", "-u", "nobody", "--", "cat", path).returncode == 0]
    check(not readable, "readable by nobody else there", str(readable))


def command_lines_are_clean(stop, hits):
    while not stop.is_set():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if CANARY.encode() in file.read():
                        hits.append(pid)
        stop.wait(0.05)


def remove(check, host, remote):
    """The executor and the controller's key go; what runs goes on."""
    refused = slipway("hosts", "remove", "web-1")
    check(refused.returncode == 8 and "hello" in refused.stdout, "a host that an application names is not removed", refused.stdout)
    before = serving(host)
    write(f"{APP}/slipway.yaml", read(f"{APP}/slipway.yaml").replace("hosts: [web-1]", "hosts: [web-plain]"))
    moved = slipway("apply")
    done = slipway("hosts", "remove", "web-1", "--ssh", f"deploy@{host.address}:{host.port}", **remote)
    left = host.inside("sh", "-c", "ls /usr/lib/slipway/slipway-executor /etc/sudoers.d/slipway-executor /etc/systemd/system/slipway-executor.service; "
                       "systemctl is-active slipway-executor; grep -c slipway-controller /var/lib/slipway/.ssh/authorized_keys").stdout
    check(moved.returncode == 0 and done.returncode == 0 and left.split() == ["inactive", "0"], "a host is removed", done.stdout + left)
    check(serving(host) == before and "web-1" not in slipway("hosts", "list", cwd="/").stdout, "and its application goes on running")


def guides_permissions_are_enough(check, host, remote):
    """A user that runs compose, writes one folder of nginx's, and may `sudo nginx -s reload`: no root at all."""
    host.text("chgrp", "plain", "/etc/nginx/conf.d")
    host.text("chmod", "2775", "/etc/nginx/conf.d")
    add = ["hosts", "add", "web-plain", "--ssh", f"plain@{host.address}:{host.port}", "--executor", f"{BUILD}/executor/slipway-executor"]
    done = slipway(*add, **remote)
    check("no systemd runs here" in done.stdout and "serve --config /home/plain/.config/slipway/executor.yaml" in done.stdout,
          "without root and without a service manager it is said what to start", done.stdout)
    host.text("sh", "-c", "setsid runuser -u plain -- env HOME=/home/plain /home/plain/.local/share/slipway/slipway-executor serve "
              "--config /home/plain/.config/slipway/executor.yaml >/tmp/plain.log 2>&1 &")
    until(20, lambda: host.inside("test", "-S", "/home/plain/.local/share/slipway/executor.sock").returncode == 0, "the plain user's executor")
    done = slipway(*add, **remote)
    check(done.returncode == 0 and "docker: Engine" in done.stdout, "once it runs the controller reaches it", done.stdout)
    site = ("server { listen %s:8091; location / { proxy_pass http://plain_backend; proxy_http_version 1.1; "
            "proxy_set_header Connection \"\"; } }" % host.address)
    host.text("sh", "-c", f"echo '{site}' >/etc/nginx/sites-enabled/plain")
    folder = f"{SITE}/plain"
    shutil.copytree(APP, folder)
    text = read(f"{APP}/slipway.yaml")
    for old, new in (("app: hello", "app: plain"), ("[web-1]", "[web-plain]"), ("blue: 8000, green: 8001", "blue: 8002, green: 8003"),
                     ("hello_backend", "plain_backend"), ("hello_upstream", "plain_upstream")):
        text = text.replace(old, new)
    write(f"{folder}/slipway.yaml", text)
    answers = []
    for name in ("p1", "p2"):
        write(f"{folder}/app.env", f"HELLO_VERSION={name}\n")
        done = slipway("deploy", "--commit", name, cwd=folder)
        with urllib.request.urlopen(f"http://{host.address}:8091/", timeout=5) as response:
            answers.append(response.read().decode().strip())
    check(done.returncode == 0 and answers == ["hello from p1", "hello from p2"], "and deploys by the guide's permissions alone",
          done.stdout + str(answers))


def main():
    if shutil.which("debootstrap") is None or not os.path.exists("/usr/sbin/sshd"):
        print("skipped: debootstrap and openssh-server are needed (tests/packages.txt)")
        return 0
    check = Checks()
    shutil.rmtree(SITE, ignore_errors=True)
    os.makedirs(SHARE)
    host = RemoteHost("web-1", ADDRESS, f"{SITE}/remote", SHARE)
    controller = Controller()
    stop, hits = threading.Event(), []
    search = threading.Thread(target=command_lines_are_clean, args=(stop, hits))
    try:
        write_app("web-1")
        controller.start()
        host.start()
        search.start()
        remote = dict(SLIPWAY_SSH_KEY_FILE=host.key, SLIPWAY_SSH_FINGERPRINT=host.fingerprint())
        prompts(check, host)
        bootstrap(check, host, remote)
        controllers_key_opens_one_socket(check, host)
        rogue_keys(check, host, remote)
        deploys_through_both_hops(check, host, remote)
        guides_secrets_are_enough(check, host)
        sshd_killed_in_the_middle(check, host, remote)
        upgrade_while_serving(check, host, remote)
        policy_holds_on_the_host(check, host, remote)
        tokens = ref_policy_and_checks(check)
        mutual_tls_rotated_while_deploying(check, controller, host, remote)
        revoked_host_is_not_trusted(check, controller, host, remote)
        canary_is_nowhere(check, host, tokens)
        history_is_held(check, controller)
        guides_permissions_are_enough(check, host, remote)
        remove(check, host, remote)
        stop.set()
        search.join()
        check(not hits, "no secret on any command line, all the time", str(hits))
    except BaseException:
        print(read(f"{SITE}/controller.log")[-3000:], host.inside("journalctl", "-u", "slipway-executor", "-u", "ssh", "--no-pager", "-n", "60").stdout)
        raise
    finally:
        stop.set()
        controller.stop()
        if not os.environ.get("SLIPWAY_KEEP"):
            host.stop()
            for label in ("slipway.app=plain", "slipway.app=hello"):
                ids = run("docker", "ps", "-aq", "--filter", f"label={label}").split()
                if ids:
                    run("docker", "rm", "-f", *ids)
            subprocess.run([QUICKSTART, "stop"], check=False, stdout=subprocess.DEVNULL)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
