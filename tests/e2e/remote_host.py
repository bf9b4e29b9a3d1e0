"""A Debian host that offers nothing but SSH: its own users, sudo, nginx and systemd, in a container with the machine's network
and Docker Engine.

The tree is debootstrapped once and kept in SLIPWAY_TEST_HOST (default /var/tmp/slipway-test-host). What is deployed there is the
example application, behind the host's nginx on PORT.
"""
import os
import re
import shutil
import subprocess
import urllib.request

from stack import APP, BUILD, QUICKSTART, SITE, read, run, until, write

TREE = os.environ.get("SLIPWAY_TEST_HOST", "/var/tmp/slipway-test-host")
IMAGE = "slipway-test-host"
PORT = 8090
PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,sudo,nginx-light,ca-certificates,docker-compose,procps"


def mirror():
    """The package mirror that this machine uses itself."""
    for folder, pattern in (("/etc/apt/sources.list.d", r"^URIs: *(\S+)"), ("/etc/apt", r"^deb (?:\[.*\] )?(\S+)")):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.endswith((".sources", ".list")) and os.path.isfile(path):
                found = re.search(pattern, read(path), re.MULTILINE)
                if found:
                    return found.group(1)
    raise AssertionError("apt's sources name no mirror to make a test host from")


def make_tree():
    if os.path.exists(f"{TREE}/.made"):
        return
    shutil.rmtree(TREE, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", TREE, mirror())
    inside = ["chroot", TREE]
    run(*inside, "groupadd", "-g", str(os.stat("/var/run/docker.sock").st_gid or 998), "docker")
    run(*inside, "useradd", "-m", "-s", "/bin/bash", "deploy")
    run(*inside, "useradd", "-m", "-s", "/bin/bash", "plain")
    for name in ("etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ecdsa_key", "etc/nginx/sites-enabled/default"):
        for path in (f"{TREE}/{name}", f"{TREE}/{name}.pub"):
            if os.path.lexists(path):
                os.remove(path)
    write(f"{TREE}/etc/sudoers.d/deploy", "deploy ALL=(ALL) NOPASSWD: ALL\n")
    # The guide's permissions: compose, one folder of nginx's, and its reload.
    write(f"{TREE}/etc/sudoers.d/plain", "plain ALL=(root) NOPASSWD: /usr/sbin/nginx -s reload\n")
    run(*inside, "usermod", "-aG", "docker,adm", "plain")
    for name in ("deploy", "plain"):
        os.chmod(f"{TREE}/etc/sudoers.d/{name}", 0o440)
    # As a host with Docker has it; the Engine itself is the machine's.
    shutil.copy(os.path.realpath(shutil.which("docker")), f"{TREE}/usr/bin/docker")
    # Our own programs are linked to this machine's libraries where they are not a release.
    libraries = subprocess.run(["ldd", f"{BUILD}/executor/slipway-executor"], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"=> (/\S+)", libraries):
        there = f"{TREE}/{path}"
        if not os.path.exists(there):
            os.makedirs(os.path.dirname(there), exist_ok=True)
            shutil.copy(os.path.realpath(path), there)
    write(f"{TREE}/.made", "")


def write_app(host):
    examples = f"{os.path.dirname(os.path.realpath(QUICKSTART))}/deploy/examples/hello"
    os.makedirs(APP, exist_ok=True)
    for name in ("Dockerfile", "docker-compose.yml", "slipway.yaml", "app.env"):
        shutil.copy(f"{examples}/{name}", APP)
    text = read(f"{APP}/slipway.yaml").replace("hosts: [local]", f"hosts: [{host}]")
    write(f"{APP}/slipway.yaml", text)
    os.makedirs(f"{SITE}/base", exist_ok=True)
    shutil.copy(f"{BUILD}/deploy/hello", f"{SITE}/base/hello")
    write(f"{SITE}/base/Dockerfile", 'FROM scratch\nCOPY hello /hello\nENTRYPOINT ["/hello"]\n')
    run("docker", "build", "-q", "-t", "hello-base:1", f"{SITE}/base", env=dict(os.environ, DOCKER_BUILDKIT="0"))


def version(name, **settings):
    write(f"{APP}/app.env", "".join(f"{key}={value}\n" for key, value in {"HELLO_VERSION": name, **settings}.items()))


def serving(host):
    with urllib.request.urlopen(f"http://{host.address}:{PORT}/", timeout=5) as response:
        return response.read().decode().strip().removeprefix("hello from ")


class RemoteHost:
    # Folders of the machine that the host has in the same place, beside its share.
    mounts = ()

    def __init__(self, name, address, folder, share):
        self.name = name
        self.address = address
        self.port = 2200
        self.folder = folder
        self.container = f"slipway-test-{name}"
        self.share = share
        self.key = f"{folder}/operator"

    def start(self):
        make_tree()
        os.makedirs(self.folder, exist_ok=True)
        if not os.path.exists(self.key):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key)
        public = read(f"{self.key}.pub")
        write(f"{TREE}/etc/ssh/sshd_config.d/test.conf",
              f"Port {self.port}\nListenAddress {self.address}\nLogLevel VERBOSE\n")
        for user in ("deploy", "plain"):
            write(f"{TREE}/home/{user}/.ssh/authorized_keys", public)
            run("chroot", TREE, "chown", "-R", user, f"/home/{user}/.ssh")
        run("chroot", TREE, "sh", "-c", "rm -f /etc/ssh/ssh_host_*; ssh-keygen -A")
        write(f"{TREE}/etc/nginx/sites-enabled/hello",
              "server { listen %s:%d; location / { return 503; } }\n" % (self.address, PORT))
        packed = subprocess.Popen(["tar", "-C", TREE, "-c", "."], stdout=subprocess.PIPE)
        run("docker", "import", "-", IMAGE, stdin=packed.stdout)
        packed.wait()
        self.stop()
        run("docker", "run", "-d", "--name", self.container, "--network", "host", "--cap-add", "SYS_ADMIN",
            "--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/run/lock",
            "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-v", "/var/run/docker.sock:/run/docker.sock",
            *(word for folder in (self.share, *self.mounts) for word in ("-v", f"{folder}:{folder}")), "-e", "container=docker", IMAGE, "/lib/systemd/systemd")
        until(30, lambda: self.inside("systemctl", "is-active", "--quiet", "ssh", "nginx").returncode == 0, "the host is up")

    def stop(self):
        subprocess.run(["docker", "rm", "-f", self.container], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def inside(self, *argv, stdin=None):
        return subprocess.run(["docker", "exec", "-i", self.container, *argv], input=stdin or "", capture_output=True, text=True, check=False)

    def text(self, *argv):
        done = self.inside(*argv)
        if done.returncode != 0:
            raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def fingerprint(self):
        return self.text("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]

    def log(self, unit):
        return self.text("journalctl", "-u", unit, "--no-pager")

    def serve_upstream(self):
        """The site as its administrator writes it; the upstream comes with the first deployment."""
        site = ("server { listen %s:%d; location / { proxy_pass http://hello_backend; proxy_http_version 1.1; "
                "proxy_set_header Connection \"\"; proxy_buffering off; } }" % (self.address, PORT))
        self.text("sh", "-c", f"echo '{site}' >/etc/nginx/sites-enabled/hello")
