"""What a real walk walks on: hosts that are network namespaces with an Engine, an nginx and an executor each, a controller, and
applications. Nothing of it is shared with the machine, so several walks run beside each other.
"""
import contextlib
import ctypes
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess

import stack
from compose_host import ComposeHost
from namespace_hosts import Controller
from stack import BUILD, SITE, run, slipway, slipway_json, until, write

# Pages of the two applications, and the first ports of their slots.
SITES = {"hello": 8090, "shop": 8091}
SLOTS = {"hello": (8000, 8010, 8020, 8030), "shop": (8100, 8110)}
PROGRAMS = ("clients/cli/slipway", "controller/slipway-controller", "executor/slipway-executor", "deploy/hello",
            "tests/support/load/slipway-load")
STRANGER = "theirs"
CLONE_NEWNET = 0x40000000
# An executor refuses a deployment when less than 256 MiB are free.
EXECUTOR_DISK, CONTROLLER_DISK = "420m", "1200m"


def keep_programs(kept):
    for program in PROGRAMS:
        os.makedirs(os.path.dirname(f"{kept}/{program}"), exist_ok=True)
        shutil.copy(f"{BUILD}/{program}", f"{kept}/{program}")


class Disk:
    """A small file system for one folder, which can be filled up."""

    def __init__(self, folder, size, mode="700"):
        os.makedirs(folder)
        self.folder = folder
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "tmpfs", folder)

    def fill(self, left=0):
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_bsize
        with open(f"{self.folder}/ballast", "wb") as file:
            # Others write at the same time.
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(free - left, 1))

    def empty(self):
        if os.path.exists(f"{self.folder}/ballast"):
            os.remove(f"{self.folder}/ballast")

    def remove(self):
        subprocess.run(["umount", "-l", self.folder], check=False)


def end_shims(folder):
    """What holds the containers of the Engine in this folder, and the containers."""
    processes = {}
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().decode(errors="replace")
            # Behind the name in brackets: the state, and the parent.
            processes[pid] = (command, stack.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    shims = {pid for pid, (command, _) in processes.items() if "containerd-shim" in command and f"{folder}/" in command}
    for pid, (_, parent) in processes.items():
        if pid in shims or parent in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def clear(folder):
    """Ends containers there whose Engine is dead, and unmounts what is mounted."""
    end_shims(folder)
    mounts = [line.split()[1] for line in stack.read("/proc/mounts").splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class InsideConnection(http.client.HTTPConnection):
    """To the loopback of a network namespace."""

    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, space, port):
        super().__init__("127.0.0.1", port, timeout=5)
        self.space = space

    def connect(self):
        inside = os.open(f"/var/run/netns/{self.space}", os.O_RDONLY)
        try:
            if self.libc.setns(inside, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            super().connect()
        finally:
            self.libc.setns(self.home, CLONE_NEWNET)
            os.close(inside)


class WalkHost(ComposeHost):
    def __init__(self, name, compose, live_restore):
        super().__init__(name, compose)
        self.space = f"slipway-walk-{os.getpid()}-{self.number}"
        self.etc = f"/etc/netns/{self.space}"
        self.disk = None
        self.live_restore = live_restore
        # Applications whose site chooses the slot by the marker.
        self.by_marker = set()

    @property
    def engine_options(self):
        options = ["--containerd", f"{self.folder}/containerd.sock"]
        return options + ["--live-restore"] if self.live_restore else options

    def start_engine(self):
        """As on a Debian host containerd is a service of its own, which a dead dockerd leaves alone."""
        if "containerd" not in self.children:
            write(f"{self.folder}/containerd.toml", f"""version = 2
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.folder}/containerd.sock"
""")
            self.start("containerd", "nsenter", f"--net=/var/run/netns/{self.space}", "containerd", "--config", f"{self.folder}/containerd.toml")
            until(20, lambda: os.path.exists(f"{self.folder}/containerd.sock"), "containerd runs")
        super().start_engine()

    def write_first_site(self):
        """Each application's site comes with its first deployment, for nginx starts with no site whose upstream is not there."""

    def set_up(self):
        self.disk = Disk(f"{self.folder}/state", EXECUTOR_DISK, mode="711")
        super().set_up()
        self.run_stranger()

    def run_stranger(self):
        """A container that an executor elsewhere made on this Engine: nobody here may touch it."""
        self.docker("run", "-d", "--restart", "unless-stopped", "--name", STRANGER, "--label", "slipway.app=theirs", "--label", "slipway.role=slot",
                    "--label", "slipway.slot=blue", "--label", "slipway.executor=0123456789abcdef", "hello-base:1", "worker")

    def start_executor(self, failpoint=""):
        # Its network namespace, and the folder that it finds as /etc/nginx.
        with open(f"{self.folder}/executor.log", "ab") as log:
            self.children["executor"] = subprocess.Popen(
                self.inside(f"{BUILD}/executor/slipway-executor", "--config", f"{self.folder}/executor.yaml"), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=dict(os.environ, SLIPWAY_FAILPOINT=failpoint))

    def roll_back(self, app):
        """Without the controller: the exit code, and what was said."""
        done = subprocess.run([f"{BUILD}/executor/slipway-executor", "--config", f"{self.folder}/executor.yaml", "rollback", app],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        return done.returncode, done.stdout.strip()

    def executor_alive(self):
        return "executor" in self.children and self.children["executor"].poll() is None

    def start_nginx(self):
        pid = f"{self.folder}/nginx.pid"
        if os.path.exists(pid):
            os.remove(pid)
        self.start("nginx", *self.inside("nginx"))
        until(10, lambda: os.path.exists(pid) and os.path.getsize(pid) > 0, "nginx runs")

    def reload_nginx(self):
        run(*self.inside("nginx", "-s", "reload"))

    def choose_by_marker(self, app, marker):
        passing = f"proxy_pass http://{app}_backend;"
        if marker:
            self.by_marker.add(app)
            passing = (f"set $slot blue; if (-f {self.folder}/state/markers/{app}) {{ set $slot green; }} "
                       f"proxy_pass http://{app}_backend_$slot;")
        else:
            self.by_marker.discard(app)
        self.write_site(app, SITES[app], passing)
        self.reload_nginx()

    def get(self, port, path="/"):
        """The answer's body, or what went wrong."""
        connection = InsideConnection(self.space, port)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode().strip()
            return body if answer.status == 200 else f"status {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error}"
        finally:
            connection.close()

    def ask_engine(self, path, method="GET"):
        connection = UnixConnection(self.engine)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 300:
                raise AssertionError(f"the Engine answers {answer.status} to {method} {path}: {body.decode()}")
            return json.loads(body) if body else None
        finally:
            connection.close()

    def containers(self, app=None):
        filters = f"&filters=%7B%22label%22%3A%5B%22slipway.app%3D{app}%22%5D%7D" if app else ""
        return self.ask_engine(f"/containers/json?all=1{filters}")

    def listening(self):
        """Ports on which anything listens in this namespace."""
        lines = run("ip", "netns", "exec", self.space, "cat", "/proc/net/tcp").splitlines()[1:]
        return {int(line.split()[1].split(":")[1], 16) for line in lines if line.split()[3] == "0A"}

    def end(self, name, how=signal.SIGTERM):
        child = self.children.pop(name)
        if child.poll() is None:
            child.send_signal(how)
        child.wait(timeout=60)

    def tear_down(self):
        super().tear_down()
        clear(self.folder)


class WalkController(Controller):
    """With a small disk, and hosts that come and go while it runs."""

    def __init__(self, hosts):
        self.disk = Disk(f"{SITE}/controller", CONTROLLER_DISK)
        super().__init__(hosts, settings="metrics_address: 'off'\n")

    def ready(self):
        """Every host is connected, cordoned or not."""
        done = subprocess.run([stack.CLI, "hosts", "list", "--output", "json"], capture_output=True, text=True, check=False)
        return done.returncode == 0 and all(host.get("connected") for host in json.loads(done.stdout).get("hosts", []))

    def tear_down(self):
        super().tear_down()
        self.disk.remove()


class Application:
    """What slipway.yaml says of it, and what ought to serve."""

    def __init__(self, name, hosts):
        self.name = name
        self.page = SITES[name]
        self.folder = f"{SITE}/{name}"
        self.hosts = [host.name for host in hosts]
        self.slots = SLOTS[name][0]
        self.mode = "reload"
        self.health = "{path: /health, json: {status: ok}}"
        self.patience = "15s"
        self.warm = "10m"
        # Longer than any request of the load takes.
        self.drain = "10s"
        self.releases = 4
        self.hook = False
        # Which version each host ought to serve; None: whatever it is that status says.
        self.serving = {host.name: None for host in hosts}
        self.served = []

    def write(self):
        hook = 'hooks: {before_switch: [{name: migrate, service: web, command: ["migrate"], once: true, timeout: 30s}]}\n'
        write(f"{self.folder}/slipway.yaml", f"""app: {self.name}
hosts: [{', '.join(self.hosts)}]
compose: {{file: docker-compose.yml, slotted: [web], workers: [ticker]}}
slots: {{blue: {self.slots}, green: {self.slots + 1}}}
port_variable: HELLO_PORT
health: {{http: {self.health}, timeout: {self.patience}, successes: 2}}
nginx: {{upstream: {self.name}_backend, file: /etc/nginx/conf.d/{self.name}_upstream.conf, mode: {self.mode}}}
rollout: {{bake: 300ms, drain: {self.drain}, batch: 1}}
keep: {{warm: {self.warm}, releases: {self.releases}}}
{hook if self.hook else ''}""")

    def create(self):
        example = f"{os.path.dirname(stack.QUICKSTART)}/deploy/examples/hello"
        os.makedirs(self.folder)
        shutil.copy(f"{example}/Dockerfile", self.folder)
        compose = stack.read(f"{example}/docker-compose.yml")
        # What a container has mounted of a release must stay.
        compose = compose.replace("    depends_on:\n", '    volumes: [".:/release:ro"]\n    depends_on:\n', 1)
        # Each check is a process in a container: once a second they would take most of a processor from several walks.
        compose = compose.replace("interval: 1s", "interval: 5s")
        write(f"{self.folder}/docker-compose.yml", compose)
        write(f"{self.folder}/app.env", "HELLO_VERSION=none\n")
        self.write()
        done = self.slipway("apply")
        assert done.returncode == 0, done.stdout
        run(stack.CLI, "env", "set", cwd=self.folder, input="GREETING=hello\n")

    def slipway(self, *arguments):
        return slipway(*arguments, cwd=self.folder)

    def begin(self, *arguments):
        return subprocess.Popen([stack.CLI, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def newest(self, count=1):
        return slipway_json("history", self.name, "--limit", str(count), cwd=self.folder).get("deployments", [])


class Load:
    """Mixed load on one page. Failures are seen while it lasts."""

    def __init__(self, host, app):
        self.where = f"{app.name} on {host.name}"
        self.child = subprocess.Popen(
            # For an hour; short streams, for every deployment waits for their ends.
            host.inside(f"{BUILD}/tests/support/load/slipway-load", "127.0.0.1", str(app.page), "hello", "3600", "600", "300"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def failing(self):
        return bool(select.select([self.child.stdout], [], [], 0)[0])

    def end(self):
        """Its requests, and its table when one of them failed."""
        self.child.terminate()
        table, _ = self.child.communicate(timeout=60)
        total = re.search(r"^total +(\d+) +(\d+) ", table, re.MULTILINE)
        if total is None:
            raise AssertionError(f"the load died: {table}")
        return int(total[1]), f"{self.where}:\n{table}" if int(total[2]) else ""
