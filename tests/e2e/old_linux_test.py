#!/usr/bin/env python3
"""A released executor on a Debian of before: it starts, answers, and looks up users and groups with that system's own files.

  tests/e2e/old_linux_test.py EXECUTOR [SUITE]

EXECUTOR is a program of the release preset. SUITE (bullseye, glibc 2.31) is debootstrapped below /var/tmp and kept there. As root.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

SUITE = sys.argv[2] if len(sys.argv) > 2 else "bullseye"
ROOT = pathlib.Path(f"/var/tmp/slipway-old-linux-{SUITE}")
HOME = "/root/slipway"


def run(*argv, expected=0):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if expected is not None and done.returncode != expected:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr


def make_root():
    if not (ROOT / ".made").exists():
        shutil.rmtree(ROOT, ignore_errors=True)
        run("debootstrap", "--variant=minbase", SUITE, str(ROOT))
        (ROOT / ".made").touch()
    home = ROOT / HOME[1:]
    shutil.rmtree(home, ignore_errors=True)
    (home / "state").mkdir(parents=True)
    shutil.copy(sys.argv[1], home / "slipway-executor")
    # What it needs of the host is not under test.
    compose = home / "compose"
    compose.write_text("#!/bin/sh\necho 2.26.1\n")
    compose.chmod(0o755)
    (home / "executor.yaml").write_text(
        f"state: {HOME}/state\nsocket: {HOME}/executor.sock\ndocker_socket: {HOME}/none.sock\ncompose: [{HOME}/compose]\n")


def main():
    needed = run("readelf", "-d", sys.argv[1]) + run("readelf", "-l", sys.argv[1])
    if "NEEDED" in needed or "INTERP" in needed:
        sys.exit("FAILED: the executor needs libraries of the system; is it one of the release preset?")
    make_root()
    inside = ["chroot", str(ROOT), f"{HOME}/slipway-executor"]
    libc = next((ROOT / "lib/x86_64-linux-gnu").glob("libc[.-]*so*")).resolve().name
    print(f"{SUITE}, {libc}: {run(*inside, '--version').strip()}")
    with open(ROOT / HOME[1:] / "log", "wb") as log:
        daemon = subprocess.Popen([*inside, "--config", f"{HOME}/executor.yaml"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while not (ROOT / HOME[1:] / "executor.sock").is_socket():
            if daemon.poll() is not None or time.monotonic() > end:
                sys.exit("FAILED: it does not serve:\n" + (ROOT / HOME[1:] / "log").read_text())
            time.sleep(0.02)
        status = run(*inside, "--config", f"{HOME}/executor.yaml", "status", expected=None)
        print(f"status: {status.strip()}")
        refused = run(*inside, "--config", f"{HOME}/executor.yaml", "rollback", "shop", expected=None)
        print(f"rollback: {refused.strip()}")
        if "shop" not in refused:
            sys.exit("FAILED: rollback of an application that it does not know says nothing of it")
    finally:
        daemon.send_signal(signal.SIGTERM)
    if daemon.wait(timeout=20) != 0:
        sys.exit("FAILED: it does not stop well:\n" + (ROOT / HOME[1:] / "log").read_text())
    print("passed")


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
