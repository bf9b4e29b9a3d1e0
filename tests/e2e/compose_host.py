"""Hosts of namespace_hosts.py that run compose applications: each has a Docker Engine of its own beside its nginx and executor."""
import os
import shutil
import signal
import subprocess

import namespace_hosts
from namespace_hosts import PORT
from stack import BUILD, read, run, until, write


class ComposeHost(namespace_hosts.Host):
    engine_options = ()

    def __init__(self, name, compose, over_ssh=False):
        super().__init__(name, over_ssh)
        self.compose = compose
        self.engine = f"{self.folder}/docker.sock"

    def nginx_http(self):
        return "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"

    def executor_settings(self):
        return f"docker_socket: {self.engine}\ncompose: [{self.compose}]"

    def docker(self, *arguments):
        return run("docker", "-H", f"unix://{self.engine}", *arguments, env=dict(os.environ, DOCKER_BUILDKIT="0"))

    def has_engine(self):
        return subprocess.run(["docker", "-H", f"unix://{self.engine}", "info"], check=False, capture_output=True).returncode == 0

    def set_up(self):
        super().set_up()
        until(10, lambda: os.path.exists(f"{self.folder}/nginx.pid"), "nginx runs")
        self.write_first_site()
        self.start_engine()
        self.base_image()

    def write_first_site(self):
        # The upstream that it names comes with the first deployment.
        self.write_site("hello", PORT, "proxy_pass http://hello_backend;")

    def write_site(self, app, port, passing):
        write(f"{self.etc}/nginx/sites-enabled/{app}.conf", f"""server {{
  listen 127.0.0.1:{port};
  location / {{
    {passing}
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_buffering off;
  }}
}}
""")

    def start_engine(self):
        # Not by `ip netns exec`, which hides the control groups.
        self.start("dockerd", "nsenter", f"--net=/var/run/netns/{self.space}", "dockerd", "--data-root", f"{self.folder}/docker",
                   "--exec-root", f"{self.folder}/docker-run", "--pidfile", f"{self.folder}/docker.pid", "-H", f"unix://{self.engine}",
                   "--containerd-namespace", self.space, "--containerd-plugins-namespace", f"{self.space}-plugins", *self.engine_options)
        until(60, self.has_engine, f"{self.name} has an engine")

    def base_image(self, setting=""):
        """What the application's image is built on, here."""
        folder = f"{self.folder}/base"
        write(f"{folder}/Dockerfile", "\n".join(["FROM scratch", "COPY hello /hello", 'ENTRYPOINT ["/hello"]', setting]) + "\n")
        if not os.path.exists(f"{folder}/hello"):
            shutil.copy(f"{BUILD}/deploy/hello", folder)
        self.docker("build", "-q", "-t", "hello-base:1", folder)

    def tear_down(self):
        if "dockerd" in self.children and self.has_engine():
            containers = self.docker("ps", "-aq").split()
            if containers:
                self.docker("rm", "-f", *containers)
            self.end("dockerd")
        self.end_containerd()
        super().tear_down()

    def end_containerd(self):
        """A killed dockerd leaves its containerd behind."""
        try:
            os.kill(int(read(f"{self.folder}/docker-run/containerd/containerd.pid")), signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass
