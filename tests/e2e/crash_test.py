#!/usr/bin/env python3
"""kill -9 of the controller and of the executor at every point of a deployment, under load.

For each failpoint: the daemon is started so that it kills itself there, a deployment is begun, and the daemon is started
again when it has died. Whatever the point: the deployment ends (succeeded, failed or rolled back), a version serves
afterwards that the status names too, the load saw no failed request, no container is left over, and the history has the row.
A point that is never reached fails the test.
"""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

QUICKSTART = sys.argv[1]
SITE = os.environ["SLIPWAY_QUICKSTART"]
BUILD = os.environ["SLIPWAY_BUILD"]
os.environ["SLIPWAY_CONTROLLER"] = f"unix://{SITE}/controller.sock"
COMPOSE2 = os.environ.get("SLIPWAY_COMPOSE2")

STEPS = ["preflight", "stage", "build", "shared", "start", "health", "switch", "bake", "drain", "retire", "workers", "prune"]
MOMENTS = ["intended", "acted", "recorded"]
SWITCH_POINTS = [f"nginx.switch.{moment}" for moment in
                 ("before_write", "after_write", "after_test", "after_reload", "after_proof")] + ["executor.switch.proven"]
# Points of undoing and of mode marker are not on the way of a deployment that goes well.
EXECUTOR_POINTS = [f"executor.{step}.{moment}" for step in STEPS for moment in MOMENTS] + SWITCH_POINTS
CONTROLLER_POINTS = [f"controller.{step}.{moment}" for step in STEPS for moment in MOMENTS]


class Daemon:
    def __init__(self, name):
        self.name = name
        with open(f"{SITE}/{name}.pid") as file:
            self.pid = int(file.read())
        self.child = None

    def alive(self):
        if self.child is not None:
            return self.child.poll() is None
        try:
            os.kill(self.pid, 0)
            return True
        except ProcessLookupError:
            return False

    def stop(self):
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        until(20, lambda: not self.alive(), f"{self.name} stops")

    def start(self, failpoint=""):
        environment = dict(os.environ, SLIPWAY_FAILPOINT=failpoint)
        with open(f"{SITE}/{self.name}.log", "ab") as log:
            self.child = subprocess.Popen(
                [f"{BUILD}/{self.name}/slipway-{self.name}", "--config", f"{SITE}/{self.name}.yaml"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        self.pid = self.child.pid
        with open(f"{SITE}/{self.name}.pid", "w") as file:
            file.write(str(self.pid))


def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds}s for: {what}")
        time.sleep(0.02)


def slipway(*arguments):
    return subprocess.run([f"{BUILD}/clients/cli/slipway", *arguments], cwd=f"{SITE}/app", capture_output=True, text=True,
                          timeout=120, check=False)


def answer():
    with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=5) as response:
        return response.read().decode().strip()


def connected():
    return " connected " in slipway("hosts", "list").stdout


def write_version(number):
    with open(f"{SITE}/app/app.env", "w") as file:
        file.write(f"HELLO_VERSION=c{number}\n")


def check_one(daemon, point, number):
    """One deployment with one death; returns the problems seen."""
    daemon.stop()
    daemon.start(point)
    until(20, connected, "the executor is connected")
    write_version(number)
    deploy = subprocess.Popen([f"{BUILD}/clients/cli/slipway", "deploy", "--commit", f"c{number}"], cwd=f"{SITE}/app",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(60, lambda: not daemon.alive() or deploy.poll() is not None, f"{point} is reached")
    # A point after the last thing that the client waits for is reached a moment later.
    try:
        until(3, lambda: not daemon.alive(), point)
    except AssertionError:
        deploy.communicate()
        return [f"{point} was never reached"]
    daemon.start()
    output, _ = deploy.communicate(timeout=120)
    until(60, lambda: json.loads(slipway("status", "hello", "--output", "json").stdout)["applications"][0]
          .get("running_deployment", "") == "", "the deployment ends")
    newest = json.loads(slipway("history", "--limit", "1", "--output", "json").stdout)["deployments"][0]
    problems = []
    if newest.get("commit") != f"c{number}":
        problems.append(f"the newest deployment is {newest}")
    state = newest["state"].removeprefix("DEPLOYMENT_STATE_")
    if state not in ("SUCCEEDED", "FAILED", "ROLLED_BACK"):
        problems.append(f"ended {state}: {newest.get('message')}\n{output}")
    serving = answer()
    if state == "SUCCEEDED" and serving != f"hello from c{number}":
        problems.append(f"succeeded, and {serving!r} serves")
    projects = subprocess.run(["docker", "ps", "-a", "--filter", "label=slipway.app=hello", "--format",
                               '{{.Label "com.docker.compose.project"}}'], capture_output=True, text=True, check=True)
    for project in ("hello-blue", "hello-green", "hello-workers"):
        if projects.stdout.split().count(project) > 1:
            problems.append(f"more than one container in {project}")
    print(f"{point}: {state}", flush=True)
    return problems


def main():
    if COMPOSE2:
        os.environ["SLIPWAY_COMPOSE"] = COMPOSE2
    subprocess.run([QUICKSTART, "up"], check=True, stdout=subprocess.DEVNULL)
    failures = []
    daemons = {}
    try:
        with open(f"{SITE}/app/slipway.yaml") as file:
            text = file.read()
        with open(f"{SITE}/app/slipway.yaml", "w") as file:
            file.write(text.replace("bake: 2s", "bake: 100ms").replace("drain: 10s", "drain: 2s"))
        daemons = {"executor": Daemon("executor"), "controller": Daemon("controller")}
        load = subprocess.Popen([f"{BUILD}/tests/support/load/slipway-load", "127.0.0.1", "8080", "hello", "3600"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        number = 0
        for name, points in (("executor", EXECUTOR_POINTS), ("controller", CONTROLLER_POINTS)):
            for point in points:
                number += 1
                try:
                    failures += [f"{point}: {problem}" for problem in check_one(daemons[name], point, number)]
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failures.append(f"{point}: {error}")
                    daemons[name].stop()
                    daemons[name].start()
        load.terminate()
        counts, _ = load.communicate(timeout=60)
        print(counts)
        if load.returncode != 0:
            failures.append("requests failed:\n" + counts)
    finally:
        # By us, who started them: a dead child that nobody waited for still counts as a process.
        for daemon in daemons.values():
            daemon.stop()
        subprocess.run([QUICKSTART, "stop"], check=False, stdout=subprocess.DEVNULL)
    for failure in failures:
        print("FAILED", failure)
    print(f"{number} deaths, {len(failures)} problems")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
