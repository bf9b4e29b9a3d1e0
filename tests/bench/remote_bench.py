#!/usr/bin/env python3
"""Wall clock of whole deployments with both hops through ssh:// against both through unix:, in turns, and how long after sshd has come
back the host is connected again: remote_bench.py BUILD [ROUNDS]

A real sshd on the loopback with the user's own login; needs openssh-server and ./quickstart's ports.
"""
import os
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 6
SITE = "/tmp/slipway-bench"
ADDRESS, PORT = "127.0.66.1", 2222
os.environ.update(SLIPWAY_BUILD=BUILD, SLIPWAY_QUICKSTART=SITE)
CLI = f"{BUILD}/clients/cli/slipway"


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def slipway(address, *arguments):
    return run(CLI, "--controller", address, *arguments, cwd=f"{SITE}/app")


def start_sshd():
    folder = f"{SITE}/ssh"
    os.makedirs(folder)
    for name in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{name}")
    keys = [open(f"{folder}/user.pub", encoding="utf-8").read()]
    run("ssh-keygen", "-y", "-f", f"{SITE}/controller/ssh/id_ed25519")
    keys.append(run("ssh-keygen", "-y", "-f", f"{SITE}/controller/ssh/id_ed25519"))
    with open(f"{folder}/authorized", "w", encoding="utf-8") as file:
        file.writelines(keys)
    with open(f"{folder}/config", "w", encoding="utf-8") as file:
        file.write(f"Port {PORT}\nListenAddress {ADDRESS}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
                   "StrictModes no\nUsePAM no\nPidFile none\nMaxSessions 100\n")
    os.makedirs("/run/sshd", exist_ok=True)
    os.environ["SLIPWAY_SSH_KEY_FILE"] = f"{folder}/user"
    os.environ["SLIPWAY_SSH_FINGERPRINT"] = run("ssh-keygen", "-lf", f"{folder}/host.pub").split()[1]
    return start_again()


def start_again():
    return subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", f"{SITE}/ssh/config"])


def with_children(pid):
    """The process and all that came from it: sshd has one for each connection."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [pid] + [one for child in found.stdout.split() for one in with_children(int(child))]


def kill(sshd):
    for pid in with_children(sshd.pid):
        os.kill(pid, signal.SIGKILL)
    sshd.wait()


def state(unix):
    """What the controller says of the host; a word."""
    return next(line.split()[1] for line in slipway(unix, "hosts", "list").splitlines() if line.startswith("other"))


def reconnect(unix, sshd):
    """Seconds from sshd's return to the host's."""
    kill(sshd)
    while state(unix) == "connected":
        pass
    # Past the first tries, so that the pauses between them have grown.
    time.sleep(5)
    sshd = start_again()
    start = time.monotonic()
    while state(unix) != "connected":
        pass
    return time.monotonic() - start, sshd


def main():
    run(f"{ROOT}/quickstart", "up")
    sshd = None
    try:
        spec = f"{SITE}/app/slipway.yaml"
        text = open(spec, encoding="utf-8").read().replace("bake: 2s", "bake: 0s").replace("hosts: [local]", "hosts: [other]")
        with open(spec, "w", encoding="utf-8") as file:
            file.write(text)
        sshd = start_sshd()
        user = os.environ.get("USER") or "root"
        unix = f"unix://{SITE}/controller.sock"
        through = f"ssh://{user}@{ADDRESS}:{PORT}"
        ways = {"unix": (unix, f"unix://{SITE}/executor.sock"),
                "ssh": (f"{through}{SITE}/controller.sock", f"{through}{SITE}/executor.sock")}
        times = {name: [] for name in ways}
        for turn in range(ROUNDS + 1):
            for name, (controller, executor) in ways.items():
                slipway(unix, "hosts", "add", "other", "--address", executor)
                with open(f"{SITE}/app/app.env", "w", encoding="utf-8") as file:
                    file.write(f"HELLO_VERSION={name}{turn}\n")
                start = time.monotonic()
                slipway(controller, "deploy", "--commit", f"{name}{turn}")
                if turn > 0:
                    times[name].append(time.monotonic() - start)
        for name, all_times in times.items():
            print(f"{name:5} median {statistics.median(all_times):6.3f} s  of {' '.join(f'{one:.2f}' for one in all_times)}")
        print(f"ratio {statistics.median(times['ssh']) / statistics.median(times['unix']):.3f}")
        back = []
        for _ in range(ROUNDS):
            took, sshd = reconnect(unix, sshd)
            back.append(took)
        print(f"connected again after sshd's return: median {statistics.median(back):.2f} s, most {max(back):.2f} s")
    finally:
        if sshd is not None:
            sshd.terminate()
            sshd.wait()
        subprocess.run([f"{ROOT}/quickstart", "stop"], check=False, stdout=subprocess.DEVNULL)


main()
