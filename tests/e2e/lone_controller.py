"""A real controller without a host that answers, for tests of what clients send and read."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

BUILD = os.environ["SLIPWAY_BUILD"]
CLI = f"{BUILD}/clients/cli/slipway"


def run(*argv, **options):
    """Output of a program that must end well."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, **options)
    if done.returncode != 0:
        raise AssertionError(f"{argv[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def controller(more="", descriptors=None):
    """With more lines of configuration, and at most so many descriptors. Its folder: controller.sock, token.sock, log, and app with the slipway.yaml of an application whose one host is cordoned."""
    with tempfile.TemporaryDirectory(prefix="slipway-lone-") as name:
        folder = pathlib.Path(name)
        (folder / "controller.yaml").write_text(
            f"state: {folder}/state\nsocket: {folder}/controller.sock\ntoken_socket: {folder}/token.sock\n"
            f"metrics_address: 'off'\nhosts:\n- {{name: web-1, address: 'unix://{folder}/nobody.sock'}}\n{more}")
        with open(folder / "log", "wb") as log:
            limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
            process = subprocess.Popen([*limited, f"{BUILD}/controller/slipway-controller", "--config", f"{folder}/controller.yaml"],
                                       stdout=log, stderr=log)
        try:
            while "controller ready" not in (folder / "log").read_text():
                if process.poll() is not None:
                    raise AssertionError((folder / "log").read_text())
            (folder / "app").mkdir()
            (folder / "app" / "docker-compose.yml").write_text("services: {api: {image: nothing}}\n")
            (folder / "app" / "slipway.yaml").write_text(
                "app: gifty\nhosts: [web-1]\ncompose: {slotted: [api]}\nslots: {blue: 8000, green: 8001}\n"
                "health: {http: {path: /health}}\nnginx: {upstream: gifty_backend}\n")
            run(CLI, "--controller", f"unix://{folder}/controller.sock", "apply", cwd=folder / "app")
            # Nobody waits for it.
            run(CLI, "--controller", f"unix://{folder}/controller.sock", "hosts", "cordon", "web-1")
            yield folder
            if process.poll() is not None:
                raise AssertionError("the controller has died:\n" + (folder / "log").read_text()[-2000:])
        finally:
            process.terminate()
            process.wait(20)
