#!/usr/bin/env python3
"""Figures of whole deployments, each against a baseline in the same run: deploy_bench.py BUILD-FOLDER [ROUNDS]

deploy    wall clock of `slipway deploy` against a script that does what deployment guides say: build, up in the free slot, ask
          the health page every second, write the upstream file, reload, wait until drained, stop the old slot
rollback  wall clock of a warm `slipway-executor rollback`, command to proven, and of the proof alone
memory    resident memory of the idle daemons
upload    bytes and seconds for a tree of 2,000 files of which 10 changed, against rsync -a over a loopback folder

Nothing has to be rebuilt and the application is ready after 50 ms. The two take turns. Needs
./quickstart's ports and SLIPWAY_COMPOSE for another compose than the one that is found.
"""
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
SITE = "/tmp/slipway-bench"
NGINX = ["nginx", "-c", f"{SITE}/nginx/nginx.conf"]
UPSTREAM = f"{SITE}/nginx/conf.d/script_upstream.conf"
os.environ.update(SLIPWAY_BUILD=BUILD, SLIPWAY_QUICKSTART=SITE, SLIPWAY_CONTROLLER=f"unix://{SITE}/controller.sock")
COMPOSE = os.environ.get("SLIPWAY_COMPOSE", "docker-compose").split()

COMPOSE_FILE = """services:
  web:
    build: ./image
    restart: unless-stopped
    env_file: [app.env]
    ports: ["127.0.0.1:${HELLO_PORT:-8000}:8000"]
"""


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


def slipway(*arguments):
    return run(f"{BUILD}/clients/cli/slipway", *arguments, cwd=f"{SITE}/app")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_application(folder, version):
    write(f"{folder}/docker-compose.yml", COMPOSE_FILE)
    write(f"{folder}/image/Dockerfile", "FROM hello-base:1\n")
    write(f"{folder}/app.env", f"HELLO_VERSION={version}\nHELLO_READY_AFTER_MS=50\n")


def healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return json.load(answer)["status"] == "ok"
    except OSError:
        return False


def old_workers():
    return "worker process is shutting down" in run("ps", "-eo", "args")


def script_deploy(version, port, other):
    """What a careful deploy.sh does."""
    folder = f"{SITE}/script"
    write_application(folder, version)
    environment = dict(os.environ, HELLO_PORT=str(port), DOCKER_BUILDKIT="0")
    project = COMPOSE + ["-p", f"script-{port}"]
    run(*project, "build", "web", cwd=folder, env=environment)
    run(*project, "up", "-d", "web", cwd=folder, env=environment)
    while not healthy(port):
        time.sleep(1)
    write(UPSTREAM, f"upstream script_backend {{ server 127.0.0.1:{port}; }}\n")
    run(*NGINX, "-t")
    run(*NGINX, "-s", "reload")
    time.sleep(0.2)
    while old_workers():
        time.sleep(0.1)
    run(*COMPOSE, "-p", f"script-{other}", "stop", "web", cwd=folder, env=environment)


def figures(name, seconds):
    seconds = sorted(seconds)
    print(f"{name:34} n={len(seconds)} min {seconds[0]:.2f}s median {statistics.median(seconds):.2f}s max {seconds[-1]:.2f}s", flush=True)
    return statistics.median(seconds)


def bench_deploy():
    slips, scripts, steps = [], [], {}
    port, other = 8011, 8010
    for number in range(ROUNDS + 1):
        write_application(f"{SITE}/app", f"b{number}-{random.random()}")
        start = time.monotonic()
        slipway("deploy")
        slip = time.monotonic() - start
        port, other = other, port
        start = time.monotonic()
        script_deploy(f"s{number}", port, other)
        script = time.monotonic() - start
        if number == 0:
            continue  # warms the caches of both
        slips.append(slip)
        scripts.append(script)
        for step in json.loads(slipway("why", "--output", "json"))["rollouts"][0]["steps"]:
            steps.setdefault(step["name"], []).append(float(step.get("duration", "0s").rstrip("s")))
    ours = figures("slipway deploy", slips)
    theirs = figures("script", scripts)
    print(f"ratio {ours / theirs:.2f}; medians of steps: " +
          ", ".join(f"{name} {statistics.median(values) * 1000:.0f}ms" for name, values in steps.items()), flush=True)


def bench_rollback():
    seconds = []
    for _ in range(max(20, ROUNDS)):
        start = time.monotonic()
        run(f"{BUILD}/executor/slipway-executor", "--config", f"{SITE}/executor.yaml", "rollback", "hello")
        seconds.append(time.monotonic() - start)
    figures("warm rollback, command to proven", seconds)


def bench_memory():
    for name in ("executor", "controller"):
        with open(f"{SITE}/{name}.pid", encoding="utf-8") as file, open(f"/proc/{int(file.read())}/status", encoding="utf-8") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        print(f"{name} resident, idle: {int(line.split()[1]) / 1024:.1f} MiB", flush=True)


def bench_upload():
    folder = f"{SITE}/app/tree"
    numbers = random.Random(1)
    for i in range(2000):
        write(f"{folder}/d{i % 50}/f{i}.txt", "".join(numbers.choices("abcdefgh\n", k=4096)))
    slipway("plan")
    shutil.copytree(f"{SITE}/app", f"{SITE}/rsynced")
    changed = 0
    for i in range(10):
        text = "".join(numbers.choices("abcdefgh\n", k=4096))
        changed += len(text)
        write(f"{folder}/d{i}/f{i}.txt", text)
    start = time.monotonic()
    run("rsync", "-a", f"{SITE}/app/", f"{SITE}/rsynced/")
    theirs = time.monotonic() - start
    start = time.monotonic()
    sent = slipway("plan").splitlines()[0]
    ours = time.monotonic() - start
    print(f"upload: {sent}; the 10 files have {changed} bytes; plan included {ours:.2f}s, rsync -a {theirs:.2f}s", flush=True)


def main():
    run(f"{ROOT}/quickstart", "up")
    try:
        write(UPSTREAM, "upstream script_backend { server 127.0.0.1:8010; }\n")
        write(f"{SITE}/nginx/sites/script.conf", "server { listen 127.0.0.1:8081; location / { proxy_pass http://script_backend; } }\n")
        run(*NGINX, "-s", "reload")
        path = f"{SITE}/app/slipway.yaml"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("bake: 2s", "bake: 0s").replace("  workers: [ticker]     # replaced after the switch, never two at once\n", "")
        write(path, text.replace("warm: 10m", "warm: 0s"))
        bench_deploy()
        bench_memory()
        write(path, text)
        for name in ("w1", "w2"):
            write_application(f"{SITE}/app", name)
            slipway("deploy")
        bench_rollback()
        bench_upload()
    finally:
        for port in (8010, 8011):
            subprocess.run(COMPOSE + ["-p", f"script-{port}", "down"], cwd=f"{SITE}/script", check=False, capture_output=True)
        subprocess.run([f"{ROOT}/quickstart", "stop"], check=False, capture_output=True)


if __name__ == "__main__":
    main()
