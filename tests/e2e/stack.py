"""The stack that ./quickstart sets up, for end-to-end tests: real controller, executor, nginx, Docker and compose on the loopback.

A test is `TEST QUICKSTART`, with SLIPWAY_BUILD (the build folder), SLIPWAY_QUICKSTART (the folder that the stack stands in)
and, where the machine has it, SLIPWAY_COMPOSE2 (compose 2's program) in its environment.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

QUICKSTART = sys.argv[1]
SITE = os.environ["SLIPWAY_QUICKSTART"]
BUILD = os.environ["SLIPWAY_BUILD"]
CLI = f"{BUILD}/clients/cli/slipway"
APP = f"{SITE}/app"
os.environ["SLIPWAY_CONTROLLER"] = f"unix://{SITE}/controller.sock"


def composes():
    """The compose programs to test with, by name."""
    found = {"compose 1": "docker-compose"}
    if os.environ.get("SLIPWAY_COMPOSE2"):
        found["compose 2"] = os.environ["SLIPWAY_COMPOSE2"]
    else:
        print("skipped with compose 2: SLIPWAY_COMPOSE2 names none", flush=True)
    return found


def run(*argv, **options):
    """Output of a program that must end well."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def slipway(*arguments, cwd=None, stdin=None):
    """A finished `slipway`: returncode, and stdout with both outputs."""
    return subprocess.run([CLI, *arguments], cwd=cwd or APP, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300, check=False)


def slipway_json(*arguments, cwd=None):
    return json.loads(run(CLI, *arguments, "--output", "json", cwd=cwd or APP, timeout=60))


def get(port, path="/", timeout=5):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as response:
        return response.read().decode().strip()


def answers(port, body):
    """Whether it answers this; nobody there is no."""
    try:
        return get(port) == body
    except OSError:
        return False


def containers(*labels, stopped=False):
    """Ids of the containers that have all these labels."""
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    return run("docker", "ps", "-q", "--no-trunc", *(["-a"] if stopped else []), *filters).split()


def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds}s for: {what}")
        time.sleep(0.02)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def reload_nginx():
    run("nginx", "-c", f"{SITE}/nginx/nginx.conf", "-s", "reload")


class Daemon:
    """The controller or the executor of the stack: stopped, killed and started again by its pid."""

    known = []

    def __init__(self, name):
        Daemon.known.append(self)
        self.name = name
        self.pid = int(read(f"{SITE}/{name}.pid"))
        self.child = None
        self.failpoint = ""

    def alive(self):
        if self.child is not None:
            return self.child.poll() is None
        try:
            os.kill(self.pid, 0)
            return True
        except ProcessLookupError:
            return False

    def stop(self):
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        until(20, lambda: not self.alive(), f"{self.name} stops")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        until(20, lambda: not self.alive(), f"{self.name} is dead")

    def start(self, failpoint=""):
        self.failpoint = failpoint
        environment = dict(os.environ, SLIPWAY_FAILPOINT=failpoint)
        with open(f"{SITE}/{self.name}.log", "ab") as log:
            self.child = subprocess.Popen(
                [f"{BUILD}/{self.name}/slipway-{self.name}", "--config", f"{SITE}/{self.name}.yaml"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        self.pid = self.child.pid
        write(f"{SITE}/{self.name}.pid", str(self.pid))


def connected():
    return " connected " in slipway("hosts", "list", cwd="/").stdout


class Load:
    """Mixed load on a port while the `with` lasts; then its table and the counts of the line `total`. `inside` is what has a program
    run elsewhere."""

    def __init__(self, port=8080, seconds=900, inside=()):
        self.child = subprocess.Popen([*inside, f"{BUILD}/tests/support/load/slipway-load", "127.0.0.1", str(port), "hello", str(seconds)],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.table = ""
        self.requests = self.failed = self.closed = self.raced = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.table, _ = self.child.communicate(timeout=60)
        total = re.search(r"^total +(\d+) +(\d+) +(\d+) +(\d+)$", self.table, re.MULTILINE)
        self.requests, self.failed, self.closed, self.raced = (int(number) for number in total.groups())


class Checks:
    """What was checked, said as it happens."""

    def __init__(self):
        self.bad = 0

    def __call__(self, good, what, detail=""):
        print("ok" if good else "FAILED", what, flush=True)
        if not good:
            self.bad += 1
            if detail:
                print(detail, flush=True)
        return good

    def exit_code(self):
        return 1 if self.bad else 0


@contextlib.contextmanager
def site(how="site", **environment):
    """./quickstart site or up, and its end."""
    run(QUICKSTART, how, env=dict(os.environ, **environment))
    try:
        yield
    finally:
        # Ours to stop first: a dead child that nobody waited for still counts as a process.
        for daemon in Daemon.known:
            if daemon.child is not None:
                daemon.stop()
        Daemon.known.clear()
        subprocess.run([QUICKSTART, "stop"], check=False, stdout=subprocess.DEVNULL)
