#!/usr/bin/env python3
"""Figures of whole deployments, each against a baseline in the same run: deploy_bench.py BUILD-FOLDER [ROUNDS [SWITCHES]]

deploy    wall clock of `slipway deploy` against a script that does what deployment guides say: build, up in the free slot, ask
          the health page every second, write the upstream file, reload, wait until drained, stop the old slot; and against
          its bare compose commands
switches  at least 200 warm rollbacks under mixed load, with streams of 20 s, in each nginx mode: wall clock from command to proven, the proof after the reload,
          failed requests and closed connections per kind
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
SWITCHES = int(sys.argv[3]) if len(sys.argv) > 3 else 200
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
    volumes: ["./source:/source:ro"]
    ports: ["127.0.0.1:${HELLO_PORT:-8000}:8000"]
"""


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def slipway(*arguments):
    return run(f"{BUILD}/clients/cli/slipway", *arguments, cwd=f"{SITE}/app")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_application(folder, version):
    write(f"{folder}/docker-compose.yml", COMPOSE_FILE)
    write(f"{folder}/image/Dockerfile", "FROM hello-base:1\n")
    write(f"{folder}/app.env", "HELLO_READY_AFTER_MS=50\n")
    # The code is mounted: a new version, and nothing to build.
    write(f"{folder}/source/main.py", f"version = {version!r}\n")


def healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return json.load(answer)["status"] == "ok"
    except OSError:
        return False


def old_workers():
    return "worker process is shutting down" in run("ps", "-eo", "args")


def script_deploy(version, port, other):
    """What a careful deploy.sh does; answers the seconds of the compose commands without which there is no deployment."""
    folder = f"{SITE}/script"
    write_application(folder, version)
    environment = dict(os.environ, HELLO_PORT=str(port), DOCKER_BUILDKIT="0")
    project = COMPOSE + ["-p", f"script-{port}"]
    run(*project, "build", "web", cwd=folder, env=environment)
    start = time.monotonic()
    run(*project, "up", "-d", "web", cwd=folder, env=environment)
    bare = time.monotonic() - start
    while not healthy(port):
        time.sleep(1)
    write(UPSTREAM, f"upstream script_backend {{ server 127.0.0.1:{port}; }}\n")
    run(*NGINX, "-t")
    run(*NGINX, "-s", "reload")
    time.sleep(0.2)
    while old_workers():
        time.sleep(0.1)
    start = time.monotonic()
    run(*COMPOSE, "-p", f"script-{other}", "stop", "web", cwd=folder, env=environment)
    return bare + time.monotonic() - start


def figures(name, seconds):
    seconds = sorted(seconds)
    print(f"{name:34} n={len(seconds)} min {seconds[0]:.2f}s median {statistics.median(seconds):.2f}s max {seconds[-1]:.2f}s", flush=True)
    return statistics.median(seconds)


def bench_deploy():
    slips, scripts, bare, steps = [], [], [], {}
    port, other = 8011, 8010
    for number in range(ROUNDS + 1):
        write_application(f"{SITE}/app", f"b{number}-{random.random()}")
        start = time.monotonic()
        slipway("deploy")
        slip = time.monotonic() - start
        port, other = other, port
        start = time.monotonic()
        commands = script_deploy(f"s{number}", port, other)
        script = time.monotonic() - start
        if number == 0:
            continue  # warms the caches of both
        slips.append(slip)
        scripts.append(script)
        bare.append(commands)
        for step in json.loads(slipway("why", "--output", "json"))["rollouts"][0]["steps"]:
            steps.setdefault(step["name"], []).append(float(step.get("duration", "0s").rstrip("s")))
    ours = figures("slipway deploy", slips)
    theirs = figures("script", scripts)
    commands = figures("of that, compose up and stop", bare)
    print(f"ratio {ours / theirs:.2f}; above the bare compose commands {(ours - commands) * 1000:.0f}ms; medians of steps: " +
          ", ".join(f"{name} {statistics.median(values) * 1000:.0f}ms" for name, values in steps.items()), flush=True)
    return theirs


def bench_deploy_when_warmth_is_over(script):
    """As in real life, where the last deployment's warm slot has been stopped long before."""
    seconds = []
    for number in range(ROUNDS):
        while len(run("docker", "ps", "-q", "--filter", "label=slipway.app=hello", "--filter", "label=slipway.role=slot").split()) > 1:
            time.sleep(0.1)
        write_application(f"{SITE}/app", f"l{number}-{random.random()}")
        start = time.monotonic()
        slipway("deploy")
        seconds.append(time.monotonic() - start)
    print(f"ratio {figures('slipway deploy, the old slot left warm', seconds) / script:.2f}", flush=True)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def bench_switches(mode):
    """The product's own way: `slipway-executor rollback` goes to the other, warm slot each time."""
    with subprocess.Popen([f"{BUILD}/tests/support/load/slipway-load", "127.0.0.1", "8080", "hello", "900", "20000"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
        seconds = []
        # Long enough for a whole stream.
        end = time.monotonic() + 25
        while len(seconds) < SWITCHES or time.monotonic() < end:
            start = time.monotonic()
            run(f"{BUILD}/executor/slipway-executor", "--config", f"{SITE}/executor.yaml", "rollback", "hello")
            seconds.append(time.monotonic() - start)
        load.terminate()
        counts = load.communicate()[0]
    print(f"mode {mode}: {len(seconds)} switches under load, command to proven: p50 {percentile(seconds, 0.5) * 1000:.0f}ms "
          f"p99 {percentile(seconds, 0.99) * 1000:.0f}ms max {max(seconds) * 1000:.0f}ms\n{counts}", flush=True)


def bench_proof(releases):
    """Where the time between the reload and the proof goes."""
    columns = {"reload": [], "firstAnswer": [], "proven": []}
    for number in range(20):
        slipway("rollback", "--to", releases[number % 2])
        steps = json.loads(slipway("why", "--output", "json"))["rollouts"][0]["steps"]
        evidence = next(step for step in steps if step["name"] == "switch")["evidence"]["switch"]
        for name, values in columns.items():
            value = evidence.get(name) or evidence.get("first_answer" if name == "firstAnswer" else name, "0s")
            values.append(float(value.rstrip("s")) * 1000)
    reload, first, proven = (statistics.median(values) for values in columns.values())
    lag = statistics.median(p - f - 100 for p, f in zip(columns["proven"], columns["firstAnswer"]))
    print(f"proof: reload command {reload:.0f}ms, then the first answer after {first:.0f}ms, proven after {proven:.0f}ms. nginx lets its old "
          f"workers accept for 100ms more by itself: proven {lag:.0f}ms after that", flush=True)


def bench_memory(when):
    for name in ("executor", "controller"):
        with open(f"{SITE}/{name}.pid", encoding="utf-8") as file, open(f"/proc/{int(file.read())}/status", encoding="utf-8") as status:
            lines = dict(line.split(":", 1) for line in status)
        print(f"{name} resident, idle, {when}: {int(lines['VmRSS'].split()[0]) / 1024:.1f} MiB, of which not of the program's own file "
              f"{int(lines['RssAnon'].split()[0]) / 1024:.1f} MiB", flush=True)


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
    start = time.monotonic()
    slipway("plan")
    unchanged = time.monotonic() - start
    listed = 2000 * (len("tree/d49/f1999.txt") + 32)
    print(f"upload: {sent}; the 10 files have {changed} bytes, the list of 2,000 names and digests about {listed}; "
          f"with the whole plan {ours:.2f}s, a plan with nothing to send {unchanged:.2f}s, rsync -a {theirs:.2f}s", flush=True)


def deploy_and_name(version):
    """Deploys; answers the release's id."""
    write_application(f"{SITE}/app", version)
    slipway("deploy")
    return json.loads(slipway("status", "hello", "--output", "json"))["applications"][0]["hosts"][0]["active_release"]


def use_marker(path, text):
    """As docs/switch.md says: first the site, then the mode."""
    site, marker = f"{SITE}/nginx/sites/hello.conf", f"{SITE}/executor/markers/hello"
    with open(site, encoding="utf-8") as file:
        block = file.read()
    # nginx itself closes a connection after 1000 requests.
    write(site, block.replace("proxy_pass http://hello_backend;", f"keepalive_requests 10000000; set $slot blue; "
                              f"if (-f {marker}) {{ set $slot green; }} proxy_pass http://hello_backend_$slot;"))
    run(*NGINX, "-s", "reload")
    write(path, text.replace("nginx:\n", "nginx:\n  mode: marker\n"))
    for name in ("m1", "m2"):
        deploy_and_name(name)


def main():
    run(f"{ROOT}/quickstart", "site")
    try:
        bench_memory("fresh")
        slipway("apply")
        slipway("deploy")
        write(UPSTREAM, "upstream script_backend { server 127.0.0.1:8010; }\n")
        write(f"{SITE}/nginx/sites/script.conf", "server { listen 127.0.0.1:8081; location / { proxy_pass http://script_backend; } }\n")
        run(*NGINX, "-s", "reload")
        path = f"{SITE}/app/slipway.yaml"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("bake: 2s", "bake: 0s").replace("  workers: [ticker]     # replaced after the switch, never two at once\n", "")
        write(path, text.replace("warm: 10m", "warm: 0s"))
        script = bench_deploy()
        write(path, text.replace("warm: 10m", "warm: 1s"))
        bench_deploy_when_warmth_is_over(script)
        bench_memory("after these deployments")
        write(path, text)
        bench_proof([deploy_and_name(name) for name in ("w1", "w2")])
        bench_switches("reload")
        use_marker(path, text)
        bench_switches("marker")
        bench_upload()
    finally:
        for port in (8010, 8011):
            subprocess.run(COMPOSE + ["-p", f"script-{port}", "down"], cwd=f"{SITE}/script", check=False, capture_output=True)
        subprocess.run([f"{ROOT}/quickstart", "stop"], check=False, capture_output=True)


if __name__ == "__main__":
    main()
