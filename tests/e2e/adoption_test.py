#!/usr/bin/env python3
"""A version that a script started, in a compose project of another name, serves through an upstream file that the script wrote.
The first `slipway deploy` takes over under load: no request fails, the shared service keeps its container, the old worker is
gone before the new one runs, and the old version waits, warm, to be removed."""
import os
import shutil
import sys

import stack
from stack import APP, SITE, containers, run, slipway

LEGACY = f"{SITE}/legacy-app"


def legacy(service):
    return containers("com.docker.compose.project=legacy", f"com.docker.compose.service={service}")


def start_legacy():
    shutil.copytree(APP, LEGACY)
    stack.write(f"{LEGACY}/app.env", "HELLO_VERSION=legacy\n")
    stack.write(f"{LEGACY}/.env", "HELLO_PORT=8000\n")
    run("docker-compose", "-p", "legacy", "up", "-d", cwd=LEGACY, env=dict(os.environ, DOCKER_BUILDKIT="0"))
    stack.write(f"{SITE}/nginx/conf.d/hello_upstream.conf", "upstream hello_backend { server 127.0.0.1:8000; }\n")
    stack.reload_nginx()
    stack.until(10, lambda: stack.answers(8080, "hello from legacy"), "the old version serves")


def main():
    check = stack.Checks()
    with stack.site():
        try:
            start_legacy()
            store = legacy("store")
            path = f"{APP}/slipway.yaml"
            stack.write(path, stack.read(path).replace("  workers:", "  project: legacy\n  workers:"))
            with stack.Load() as load:
                done = slipway("deploy", "--commit", "first")
            print(done.stdout)
            check(done.returncode == 0, "the first deployment")
            check(load.failed == 0, f"{load.requests} requests, {load.failed} failed", load.table)
            check(stack.get(8080) == "hello from v1", "the new version serves")
            check(legacy("store") == store, "the shared service keeps its container")
            check(not legacy("ticker"), "the old worker is gone")
            check(len(containers("slipway.app=hello", "slipway.role=worker")) == 1, "one new worker runs")
            check(len(legacy("web")) == 1, "the old version stays warm")
        finally:
            # Slipway's containers first: they are on the old project's network.
            ours = containers("slipway.app=hello", stopped=True)
            if ours:
                run("docker", "rm", "-f", *ours)
            run("docker-compose", "-p", "legacy", "down", "-v", cwd=LEGACY)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
