#!/usr/bin/env python3
"""Two applications that were never deployed, whose sites are in nginx's configuration already, each waiting for an upstream that nobody
has written. A first deployment is refused before anything is built, with a command that a person can run as printed; after `slipway
apply` both sites answer 503, and both applications deploy."""
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import stack
from stack import APP, SITE, run, slipway

OTHER = f"{SITE}/other-app"


def write_other():
    shutil.copytree(APP, OTHER)
    path = f"{OTHER}/slipway.yaml"
    text = stack.read(path)
    for old, new in (("app: hello", "app: other"), ("8000", "8020"), ("8001", "8021"), ("hello_backend", "other_backend"),
                     ("hello_upstream", "other_upstream")):
        text = text.replace(old, new)
    stack.write(path, text)
    site = stack.read(f"{SITE}/nginx/sites/hello.conf")
    stack.write(f"{SITE}/nginx/sites/other.conf", site.replace("8080", "8081").replace("hello_backend", "other_backend"))


def status_of(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
            return response.status, response.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()
    except OSError as error:
        return 0, str(error)


def main():
    check = stack.Checks()
    with stack.site():
        try:
            write_other()
            refused = slipway("deploy", "--commit", "v1")
            print(refused.stdout)
            check(refused.returncode == 3 and "sites/other.conf:" in refused.stdout, "refused for the other's site, by its line")
            check("other_backend" in refused.stdout, "the upstream is named")
            check(not stack.containers("slipway.app=hello", stopped=True), "nothing was started")
            printed = re.search("`(slipway apply)` in its folder", refused.stdout)
            check(printed is not None, "the cure is a command")
            applied = subprocess.run(f"PATH={stack.BUILD}/clients/cli:$PATH {printed.group(1)}", shell=True, cwd=OTHER, text=True,
                                     capture_output=True, check=False)
            print(applied.stdout)
            check("other_upstream.conf answers 503 until the first deployment" in applied.stdout, "apply says what it wrote")
            check(status_of(8081) == (503, "other is not deployed yet"), "the other site answers 503")
            check(status_of(8080) == (503, "hello is not deployed yet"), "the first one too: its refused deployment wrote its file")
            again = slipway("apply")
            check(again.returncode == 0 and "answers 503" in again.stdout, "apply may be repeated", again.stdout)
            for folder, port in ((APP, 8080), (OTHER, 8081)):
                done = slipway("deploy", "--commit", "v1", cwd=folder)
                check(done.returncode == 0, f"the application of port {port} deploys", done.stdout)
                check(status_of(port) == (200, "hello from v1"), f"and serves on port {port}")
            served = slipway("apply")
            check("503" not in served.stdout, "apply says nothing of a file that serves")
        finally:
            ours = stack.containers("slipway.app=other", stopped=True)
            if ours:
                run("docker", "rm", "-f", *ours)
            for network in ("other_default", "other_front"):
                subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False)
            subprocess.run(["docker", "volume", "rm", "other_data"], capture_output=True, check=False)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
