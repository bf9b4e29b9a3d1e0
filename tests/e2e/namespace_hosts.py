"""Hosts for tests of fleets: each is a network namespace with a loopback, an /etc/nginx, an nginx and an executor of its own, some
behind sshd. And the controller over them.
"""
import os
import shutil
import signal
import subprocess

import stack
from stack import BUILD, SITE, read, run, slipway, slipway_json, until, write

PORT = 8090
PAGE = f"http://127.0.0.1:{PORT}/"
METRICS_PORT = 9790


class Host:
    """What stands behind nginx is for whoever derives from it: see nginx_http() and executor_settings()."""

    def __init__(self, name, over_ssh=False):
        self.name = name
        # One digit is all that the names of interfaces have room for.
        self.number = int(name.removeprefix("host-"))
        self.folder = f"{SITE}/hosts/{name}"
        self.space = f"slipway-{name}"
        # Every program that `ip netns exec` starts finds this as /etc/nginx.
        self.etc = f"/etc/netns/{self.space}"
        self.over_ssh = over_ssh
        self.ssh_address = f"10.199.{self.number}.2"
        self.children = {}

    def nginx_http(self):
        raise NotImplementedError

    def executor_settings(self):
        return ""

    def inside(self, *argv):
        return ["ip", "netns", "exec", self.space, *argv]

    def start(self, name, *argv):
        os.makedirs(self.folder, exist_ok=True)
        with open(f"{self.folder}/{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def end(self, name, how=signal.SIGTERM):
        child = self.children.pop(name)
        child.send_signal(how)
        child.wait(timeout=30)

    def set_up(self):
        run("ip", "netns", "add", self.space)
        run("ip", "-n", self.space, "link", "set", "lo", "up")
        os.makedirs(f"{self.folder}/tmp")
        temporary = " ".join(f"{kind}_temp_path {self.folder}/tmp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        for included in ("conf.d", "sites-enabled"):
            os.makedirs(f"{self.etc}/nginx/{included}")
        write(f"{self.etc}/nginx/nginx.conf", f"""daemon off;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log notice;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  {temporary}
  include /etc/nginx/conf.d/*.conf;
  include /etc/nginx/sites-enabled/*.conf;
  {self.nginx_http()}
}}
""")
        write(f"{self.folder}/executor.yaml", f"""state: {self.folder}/state
socket: {self.folder}/executor.sock
{self.executor_settings()}
nginx:
  pid_file: {self.folder}/nginx.pid
  error_log: {self.folder}/error.log
""")
        self.start("nginx", *self.inside("nginx"))
        self.start_executor()
        if self.over_ssh:
            self.serve_ssh()

    def start_executor(self):
        self.start("executor", *self.inside(f"{BUILD}/executor/slipway-executor", "--config", f"{self.folder}/executor.yaml"))

    def serve_ssh(self):
        run("ip", "link", "add", self.space, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        run("ip", "addr", "add", f"10.199.{self.number}.1/24", "dev", self.space)
        run("ip", "link", "set", self.space, "up")
        run("ip", "-n", self.space, "addr", "add", f"{self.ssh_address}/24", "dev", "eth0")
        run("ip", "-n", self.space, "link", "set", "eth0", "up")
        ssh = f"{SITE}/controller/ssh"
        os.makedirs(ssh, mode=0o700, exist_ok=True)
        for key in (f"{ssh}/id_ed25519", f"{self.folder}/host_key"):
            if not os.path.exists(key):
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
        with open(f"{ssh}/known_hosts", "a", encoding="utf-8") as known:
            known.write(f"{self.ssh_address} {read(f'{self.folder}/host_key.pub')}")
        write(f"{self.folder}/sshd_config", f"""ListenAddress {self.ssh_address}:22
HostKey {self.folder}/host_key
AuthorizedKeysFile {ssh}/id_ed25519.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
""")
        os.makedirs("/run/sshd", exist_ok=True)
        self.start("sshd", *self.inside("/usr/sbin/sshd", "-D", "-e", "-f", f"{self.folder}/sshd_config"))

    def address(self):
        over = f"ssh://root@{self.ssh_address}:22" if self.over_ssh else "unix://"
        return f"{over}{self.folder}/executor.sock"

    def partition(self, away):
        """Only of a host that has a network to the controller."""
        run("ip", "link", "set", self.space, "down" if away else "up")

    def serves(self):
        """What the front page says, asked from inside its network."""
        script = f"import urllib.request; print(urllib.request.urlopen('{PAGE}').read().decode().strip())"
        return run(*self.inside("python3", "-c", script)).strip()

    def tear_down(self):
        for name in list(self.children):
            # A killed nginx leaves its workers behind.
            self.end(name, signal.SIGTERM if name == "nginx" else signal.SIGKILL)
        subprocess.run(["ip", "link", "delete", self.space], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "delete", self.space], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.etc, ignore_errors=True)


class Controller:
    """At the address that every `slipway` of a test goes to unless told otherwise."""

    def __init__(self, hosts, name="controller", settings=f"metrics_address: 127.0.0.1:{METRICS_PORT}"):
        self.hosts = hosts
        self.name = name
        self.child = None
        lines = [f"state: {SITE}/{name}", f"socket: {SITE}/{name}.sock", settings, "hosts:"]
        write(f"{SITE}/{name}.yaml", "\n".join(lines + [f'- {{name: {host.name}, address: "{host.address()}"}}' for host in hosts]))

    def start(self, failpoint=""):
        with open(f"{SITE}/{self.name}.log", "ab") as log:
            self.child = subprocess.Popen([f"{BUILD}/controller/slipway-controller", "--config", f"{SITE}/{self.name}.yaml"],
                                          stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, SLIPWAY_FAILPOINT=failpoint))
        until(30, self.ready, f"{self.name} is ready")

    def ready(self):
        """Every host is connected."""
        return slipway("hosts", "list").stdout.count(" connected ") == len(self.hosts)

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def end(self, how=signal.SIGTERM):
        if self.alive():
            self.child.send_signal(how)
        self.child.wait(timeout=30)

    def log(self):
        return read(f"{SITE}/{self.name}.log")

    def tear_down(self):
        if self.alive():
            self.child.send_signal(signal.SIGCONT)
            self.end(signal.SIGKILL)


def begin(*arguments):
    """A `slipway` that goes on meanwhile; both its outputs in stdout."""
    return subprocess.Popen([stack.CLI, *arguments], cwd=stack.APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begun(host, step):
    """Whether the newest deployment has come to this step of the host's."""
    rollouts = slipway_json("why")["rollouts"]
    return any(one["name"] == step for rollout in rollouts if rollout["host"] == host for one in rollout.get("steps", []))
