#!/usr/bin/env python3
"""A version that a script started, in a compose project of another name, serves through an upstream file that the script wrote.
The first `slipway deploy` takes over under load: no request fails, the shared service keeps its container, the old worker is
gone before the new one runs, and the old version waits, warm, to be removed."""
import os
import subprocess
import sys

QUICKSTART = sys.argv[1]
SITE = os.environ["SLIPWAY_QUICKSTART"]
BUILD = os.environ["SLIPWAY_BUILD"]
os.environ["SLIPWAY_CONTROLLER"] = f"unix://{SITE}/controller.sock"
LEGACY = f"{SITE}/legacy-app"


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def containers(*filters):
    arguments = [word for text in filters for word in ("--filter", f"label={text}")]
    return run("docker", "ps", "-q", *arguments).split()


def start_legacy():
    run("cp", "-r", f"{SITE}/app", LEGACY)
    with open(f"{LEGACY}/app.env", "w") as file:
        file.write("HELLO_VERSION=legacy\n")
    with open(f"{LEGACY}/.env", "w") as file:
        file.write("HELLO_PORT=8000\n")
    run("docker-compose", "-p", "legacy", "up", "-d", cwd=LEGACY, env=dict(os.environ, DOCKER_BUILDKIT="0"))
    with open(f"{SITE}/nginx/conf.d/hello_upstream.conf", "w") as file:
        file.write("upstream hello_backend { server 127.0.0.1:8000; }\n")
    run("nginx", "-c", f"{SITE}/nginx/nginx.conf", "-s", "reload")


def check(condition, what):
    print("ok" if condition else "FAILED", what, flush=True)
    return condition


def main():
    run(QUICKSTART, "site")
    good = True
    try:
        start_legacy()
        store = containers("com.docker.compose.project=legacy", "com.docker.compose.service=store")
        path = f"{SITE}/app/slipway.yaml"
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("  workers:", "  project: legacy\n  workers:"))
        load = subprocess.Popen([f"{BUILD}/tests/support/load/slipway-load", "127.0.0.1", "8080", "hello", "300"],
                                stdout=subprocess.PIPE, text=True)
        print(run(f"{BUILD}/clients/cli/slipway", "deploy", "--commit", "first", cwd=f"{SITE}/app"))
        load.terminate()
        counts, _ = load.communicate(timeout=60)
        print(counts)
        good &= check(load.returncode == 0, "no request failed")
        good &= check("hello from v1" in run("curl", "-s", "http://127.0.0.1:8080/"), "the new version serves")
        good &= check(containers("com.docker.compose.project=legacy", "com.docker.compose.service=store") == store,
                      "the shared service keeps its container")
        good &= check(not containers("com.docker.compose.project=legacy", "com.docker.compose.service=ticker"),
                      "the old worker is gone")
        good &= check(len(containers("slipway.app=hello", "slipway.role=worker")) == 1, "one new worker runs")
        good &= check(len(containers("com.docker.compose.project=legacy", "com.docker.compose.service=web")) == 1,
                      "the old version stays warm")
    finally:
        # Slipway's containers first: they are on the old project's network.
        ours = run("docker", "ps", "-aq", "--filter", "label=slipway.app=hello").split()
        if ours:
            run("docker", "rm", "-f", *ours)
        run("docker-compose", "-p", "legacy", "down", "-v", cwd=LEGACY)
        run(QUICKSTART, "stop")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
