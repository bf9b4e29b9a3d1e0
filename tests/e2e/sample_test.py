#!/usr/bin/env python3
"""An application of the sample's shape (tests/data/sample), unmodified, with stand-in images, from `slipway init` on.

With each compose: v1, v2 under load, and a v3 whose compose file defines a shared service differently. Seen: the shared
services keep their containers; no worker ever runs twice; a worker that asks for http://api:8000 is answered by the serving
slot, never by a candidate that warms up; each release runs its own source; every value of the env file arrives byte for byte
and is nowhere else; nothing of the executor's own environment gets in. SLIPWAY_SAMPLE names another compose file of this shape.
"""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import stack
from stack import SITE, run, slipway, slipway_json

DATA = pathlib.Path(__file__).resolve().parent.parent / "data/sample"
SHOP = f"{SITE}/shop"
COMPOSE_FILE = os.environ.get("SLIPWAY_SAMPLE", f"{DATA}/app/docker-compose.yml")
SHARED = ["postgres", "redis", "prometheus"] + (["rabbitmq"] if "rabbitmq:" in stack.read(COMPOSE_FILE) else [])
WORKERS = ["scheduler", "bot"]
PORT = 8082

CANARY = "canary-5fcf8f0e"
# What must arrive, and how it is written in the env file.
VALUES = {
    "POSTGRES_USER": ("shop", "shop"),
    "POSTGRES_DB": ("shop", "shop"),
    "POSTGRES_PASSWORD": (f"{CANARY}$x${{Y}}\"#'", f'"{CANARY}\\$x${{Y}}\\"#\'"'),
    "PLAIN": ("a b=c", "a b=c"),
    "DOLLARS": ("$A ${B} $$ ${C:-d} $(id) `id`", "$A ${B} $$ ${C:-d} $(id) `id`"),
    "HASH": ("a#b", "a#b"),
    "HASHES": (" # no comment", "' # no comment'"),
    "QUOTES": ("'single' and \"double\"", "\"'single' and \\\"double\\\"\""),
    "BACKSLASHES": ("C:\\new\\table\\", "C:\\new\\table\\"),
    "LINES": ("-----BEGIN KEY-----\nline $2\n\n  three\n-----END KEY-----\n",
              "'-----BEGIN KEY-----\nline $2\n\n  three\n-----END KEY-----\n'"),
    "TABS": ("\ttab\r\n", '"\\ttab\\r\\n"'),
    "UNICODE": ("schlüssel 鍵 🔑", "schlüssel 鍵 🔑"),
    "EMPTY": ("", ""),
    **{f"BIG_{i:02}": (f"{i:x}$#'" * 16384, f'"{i:x}$#\'' + f"{i:x}$#'" * 16383 + '"') for i in range(15)},
}
ENV_FILE = "# PROD_ENV_FILE\n" + "".join(f"{name}={written}\n" for name, (_, written) in VALUES.items())


def write_recorder(compose):
    """A compose that writes down with what it was called."""
    path = f"{SITE}/compose-recorder"
    stack.write(path, f"#!/bin/sh\n{{ tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; }} >>{SITE}/compose-calls\nexec {compose} \"$@\"\n")
    os.chmod(path, 0o755)
    return path


def build_images():
    base = f"{SITE}/sample-base"
    shutil.copytree(DATA / "base", base)
    shutil.copy("/bin/busybox", base)
    shutil.copy(f"{stack.BUILD}/deploy/hello", base)
    run("docker", "build", "-q", "-t", "slipway-sample/base:1", base, env=dict(os.environ, DOCKER_BUILDKIT="0"))
    images = sorted(set(re.findall(r"image: *(\S+)", stack.read(COMPOSE_FILE))))
    for image in images:
        run("docker", "tag", "slipway-sample/base:1", image)
    return ["slipway-sample/base:1", *images]


def write_version(version):
    """The source as CI checks it out: one file differs."""
    shutil.copytree(DATA / "app", SHOP, dirs_exist_ok=True)
    shutil.copy(COMPOSE_FILE, f"{SHOP}/docker-compose.yml")
    stack.write(f"{SHOP}/VERSION", version + "\n")


def write_site():
    os.remove(f"{SITE}/nginx/sites/hello.conf")
    stack.write(f"{SITE}/nginx/sites/shop.conf",
                f"server {{ listen 127.0.0.1:{PORT}; location / {{ proxy_pass http://shop_backend; proxy_http_version 1.1;"
                " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_buffering off; } }\n")


class WorkerWatch:
    """Counts, from Docker's events, how many containers of each worker run at once."""

    def __init__(self):
        self.child = subprocess.Popen(["docker", "events", "--filter", "type=container", "--filter", "event=start",
                                       "--filter", "event=die", "--format", "{{json .}}"], stdout=subprocess.PIPE, text=True)
        self.running = collections.Counter()
        self.most = collections.Counter()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.child.stdout:
            event = json.loads(line)
            service = event["Actor"]["Attributes"].get("com.docker.compose.service", "")
            self.running[service] += 1 if event["Action"] == "start" else -1
            self.most[service] = max(self.most[service], self.running[service])

    def stop(self):
        self.child.terminate()
        self.thread.join()


def one(service, *labels):
    found = stack.containers(f"com.docker.compose.service={service}", "slipway.app=shop", *labels)
    assert len(found) == 1, f"{service} {labels}: {found}"
    return found[0]


def environment_of(container):
    pid = run("docker", "inspect", "-f", "{{.State.Pid}}", container).strip()
    pairs = pathlib.Path(f"/proc/{pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs)


def files_with_canary():
    done = subprocess.run(["grep", "-rl", "--devices=skip", CANARY, SITE], capture_output=True, text=True, check=False)
    return done.stdout.split()


def open_to_others(path):
    """Whether anybody but its owner can read the file."""
    path = pathlib.Path(path)
    return bool(path.stat().st_mode & 0o077) and not any(parent.stat().st_mode & 0o077 == 0 for parent in path.parents)


def check_env(check):
    everywhere = {service: environment_of(one(service)) for service in [*WORKERS, "postgres"]}
    everywhere["api"] = environment_of(one("api", "slipway.release=" + serving_release()))
    for service, environment in everywhere.items():
        wrong = [name for name, (value, _) in VALUES.items() if environment.get(name) != value]
        check(not wrong, f"{service}: all {len(VALUES)} values of the env file ({len(ENV_FILE.encode())} bytes) arrive exactly", wrong)
    password = VALUES["POSTGRES_PASSWORD"][0]
    check(everywhere["api"]["DATABASE_URL"] == f"postgresql://shop:{password}@postgres:5432/shop", "interpolation takes the env file's values")
    check(not any("LEAK" in value for environment in everywhere.values() for value in environment.values()),
          "nothing of the executor's environment gets into a container")


def check_secret_is_nowhere_else(check, images):
    allowed = re.compile(r"/executor/(releases/.*/\.env|generated/|apps/.*)")
    stray = [path for path in files_with_canary() if open_to_others(path) or not allowed.search(path)]
    check(not stray, "the secret is in the release's env file and the private generated files, and in no other file", "\n".join(stray))
    check("LEAK" not in stack.read(f"{SITE}/compose-calls") and CANARY not in stack.read(f"{SITE}/compose-calls"),
          "no compose was called with it, nor with the executor's environment")
    built = run("docker", "images", "-q", "--filter", "label=slipway.app=shop").split()
    told = "".join(run("docker", "history", "--no-trunc", image) + run("docker", "inspect", image) for image in [*images, *built])
    check(CANARY not in told, "no image has it")


def serving_release():
    return slipway_json("status", "shop", cwd=SHOP)["applications"][0]["hosts"][0]["active_release"]


def deploy(version, *options):
    done = slipway("deploy", "--commit", version, *options, cwd=SHOP)
    if done.returncode != 0:
        raise AssertionError(f"deploy {version} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def bot_lines(container):
    return [line for line in run("docker", "logs", container).splitlines() if line.startswith("api ")]


def init(check):
    done = slipway("init", "--app", "shop", "--host", "local", cwd=SHOP)
    check(done.returncode == 0, "slipway init", done.stdout)
    text = stack.read(f"{SHOP}/slipway.yaml")
    check("slotted: [api]" in text and "workers: [bot, scheduler]" in text and "port_variable: APP_PORT" in text,
          "init tells slotted, shared and workers apart", text)
    text = text.replace("/etc/nginx/conf.d", f"{SITE}/nginx/conf.d").replace("status: 200}", "json: {status: ok}}")
    text = text.replace("blue: 8000, green: 8001", "blue: 8002, green: 8003")
    stack.write(f"{SHOP}/slipway.yaml", text.replace("bake: 5s, drain: 30s", "bake: 1s, drain: 10s"))


def scenario(check, images):
    write_version("v1")
    init(check)
    done = slipway("apply", cwd=SHOP)
    check(done.returncode == 0, "slipway apply", done.stdout)
    done = slipway("env", "set", cwd=SHOP, stdin=ENV_FILE)
    check(done.returncode == 0 and CANARY not in done.stdout, "slipway env set", done.stdout)
    write_site()
    watch = WorkerWatch()
    try:
        print(deploy("v1"))
        check(stack.get(PORT) == "hello from v1", "v1 serves")
        shared = {service: one(service) for service in SHARED}
        check_env(check)
        first_bot = one("bot")
        stack.until(20, lambda: any('"ok"' in line for line in bot_lines(first_bot)), "the bot is answered")

        write_version("v2")
        plan = slipway("plan", cwd=SHOP)
        check(plan.returncode == 0, "plan", plan.stdout)
        with stack.Load(PORT) as load, subprocess.Popen(["docker", "logs", "-f", first_bot], stdout=subprocess.PIPE, text=True) as follow:
            print(deploy("v2"))
            heard = follow.communicate()[0]
        check("v1" in heard and "warming" not in heard, "the old bot met no candidate that warms up", heard)
        check(load.failed == 0, f"v2 under load: {load.requests} requests, {load.failed} failed", load.table)
        check(stack.get(PORT) == "hello from v2", "v2 serves")
        check({service: one(service) for service in SHARED} == shared, "the shared services keep their containers")
        old_api = [c for c in stack.containers("com.docker.compose.service=api", "slipway.app=shop")
                   if c != one("api", "slipway.release=" + serving_release())]
        check(len(old_api) == 1 and run("docker", "exec", old_api[0], "cat", "/app/VERSION").strip() == "v1",
              "the old version still runs its own source")
        networks = json.loads(run("docker", "inspect", "-f", "{{json .NetworkSettings.Networks}}", old_api[0]))
        check(list(networks) == ["shop_default"] and re.search(r"^127\.0\.0\.1\s+api ", run("docker", "exec", old_api[0], "cat", "/etc/hosts"), re.M),
              "it is on the shared network alone, and knows itself by name", networks)
        stack.until(20, lambda: any("v2" in line for line in bot_lines(one("bot"))), "the new bot is answered by v2")

        write_version("v3")
        text = stack.read(f"{SHOP}/docker-compose.yml")
        changed = text.replace('"--save", ""', '"--save", "60 1"')
        stack.write(f"{SHOP}/docker-compose.yml", changed)
        assert text != changed
        plan = slipway("plan", cwd=SHOP)
        words = [line.split() for line in plan.stdout.splitlines()]
        for service, role, action in (("api", "slotted", "starts"), ("postgres", "shared", "goes"), ("bot", "worker", "is")):
            check(any(line[:3] == [service, role, action] for line in words), f"plan says what becomes of {service}", plan.stdout)
        check("defined anew: redis" in plan.stdout, "plan shows the changed definition of a shared service", plan.stdout)
        told = deploy("v3")
        check("anew: redis" in told, "deploy says that it was left alone", told)
        check({service: one(service) for service in SHARED} == shared, "and it was")
        told = deploy("v3", "--update", "redis")
        check("updated redis" in told and "60" in run("docker", "inspect", "-f", "{{.Config.Cmd}}", one("redis"))
              and {service for service in SHARED if one(service) != shared[service]} == {"redis"},
              "asked for, it is replaced, and nothing else", told)
        done = slipway("rollback", cwd=SHOP)
        check(done.returncode == 0 and stack.get(PORT) == "hello from v2", "rollback to v2", done.stdout)
        check_env(check)
    finally:
        watch.stop()
    check(all(watch.most[worker] == 1 for worker in WORKERS), "no worker ever ran twice", watch.most)
    check_secret_is_nowhere_else(check, images)


def remove():
    ours = stack.containers("slipway.app=shop", stopped=True) + stack.containers("com.docker.compose.project=shop", stopped=True)
    if ours:
        run("docker", "rm", "-f", "-v", *set(ours))
    for kind in ("network", "volume"):
        names = [name for name in run("docker", kind, "ls", "--format", "{{.Name}}").split() if re.match(r"shop[-_]", name)]
        if names:
            run("docker", kind, "rm", *names)
    built = run("docker", "images", "-q", "slipway/shop").split()
    if built:
        run("docker", "rmi", "-f", *set(built))


def main():
    check = stack.Checks()
    for name, compose in stack.composes().items():
        print(f"== {name}", flush=True)
        os.makedirs(SITE, exist_ok=True)
        leaks = {"APP_PORT": "9999", "POSTGRES_USER": "LEAK", "Y": "LEAK", "API_BASE": "LEAK", "SLIPWAY_COMPOSE": write_recorder(compose)}
        with stack.site(**leaks):
            images = build_images()
            try:
                scenario(check, images)
            finally:
                remove()
                run("docker", "rmi", "-f", *images)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
