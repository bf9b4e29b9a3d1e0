#!/usr/bin/env python3
"""kill -9 of the controller and of the executor at every point of a deployment, under load.

A deployment for each step, and in it both daemons die at each moment of the step: each is started so that it kills itself at the first
one, and is started again, to die at the next, when it has died. Whatever the point: the deployment ends (succeeded, failed or rolled back), a version serves
afterwards that the status names too, the load saw no failed request, no container is left over, and the history has the row.
A point that is never reached fails the test.
"""
import subprocess
import sys

import stack
from stack import APP, CLI, Daemon, connected, slipway_json, until

STEPS = ["preflight", "stage", "build", "shared", "start", "health", "switch", "bake", "drain", "retire", "workers", "prune", "confirm"]
MOMENTS = ["intended", "acted", "recorded"]
SWITCH_POINTS = [f"nginx.switch.{moment}" for moment in
                 ("before_write", "after_write", "after_test", "after_reload", "after_proof")] + ["executor.switch.proven"]
DAEMONS = ("executor", "controller")
# In each, where which daemon dies, one after the other.
ROUNDS = [{name: [f"{name}.{step}.{moment}" for moment in MOMENTS] for name in DAEMONS} for step in STEPS if step != "switch"]
# An interrupted switch is settled when the executor starts, and is not run again. Points of undoing and of mode marker are not on the
# way of a deployment that goes well.
ROUNDS += [{name: [f"{name}.switch.{moment}"] for name in DAEMONS} for moment in MOMENTS]
ROUNDS += [{"executor": [point]} for point in SWITCH_POINTS]


def check_round(daemons, points, number):
    """One deployment in which these daemons die at these points; returns the problems seen."""
    for name, daemon in daemons.items():
        first = points.get(name, [""])[0]
        if first != daemon.failpoint or not daemon.alive():
            daemon.stop()
            daemon.start(first)
    until(20, connected, "the executor is connected")
    stack.write(f"{APP}/app.env", f"HELLO_VERSION=c{number}\n")
    deploy = subprocess.Popen([CLI, "deploy", "--commit", f"c{number}"], cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
    waiting = {name: list(deaths) for name, deaths in points.items()}

    def deaths():
        for name in [name for name in waiting if not daemons[name].alive()]:
            waiting[name].pop(0)
            daemons[name].start(waiting[name][0] if waiting[name] else "")
            if not waiting[name]:
                del waiting[name]
        return not waiting

    until(90, lambda: deaths() or deploy.poll() is not None, f"{points} are reached")
    # A point after the last thing that the client waits for is reached a moment later.
    try:
        until(3, deaths, str(points))
    except AssertionError:
        deploy.communicate()
        return [f"{left[0]} was never reached" for left in waiting.values()]
    output, _ = deploy.communicate(timeout=120)
    until(60, lambda: slipway_json("status", "hello")["applications"][0].get("running_deployment", "") == "",
          "the deployment ends")
    newest = slipway_json("history", "--limit", "1")["deployments"][0]
    problems = []
    if newest.get("commit") != f"c{number}":
        problems.append(f"the newest deployment is {newest}")
    state = newest["state"].removeprefix("DEPLOYMENT_STATE_")
    if state not in ("SUCCEEDED", "FAILED", "ROLLED_BACK"):
        problems.append(f"ended {state}: {newest.get('message')}\n{output}")
    serving = stack.get(8080)
    if state == "SUCCEEDED" and serving != f"hello from c{number}":
        problems.append(f"succeeded, and {serving!r} serves")
    for project in ("hello-blue", "hello-green", "hello-workers"):
        if len(stack.containers("slipway.app=hello", f"com.docker.compose.project={project}", stopped=True)) > 1:
            problems.append(f"more than one container in {project}")
    print(f"{', '.join(point for deaths in points.values() for point in deaths)}: {state}", flush=True)
    return problems


def main():
    failures = []
    with stack.site("up", SLIPWAY_COMPOSE=list(stack.composes().values())[-1]):
        path = f"{APP}/slipway.yaml"
        stack.write(path, stack.read(path).replace("bake: 2s", "bake: 100ms").replace("drain: 10s", "drain: 2s"))
        daemons = {name: Daemon(name) for name in DAEMONS}
        with stack.Load(seconds=3600) as load:
            for number, points in enumerate(ROUNDS, 1):
                try:
                    failures += [f"{points}: {problem}" for problem in check_round(daemons, points, number)]
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failures.append(f"{points}: {error}")
                    for daemon in daemons.values():
                        daemon.stop()
                        daemon.start()
        print(load.table)
        if load.failed:
            failures.append(f"{load.failed} requests failed")
    for failure in failures:
        print("FAILED", failure)
    print(f"{sum(len(deaths) for points in ROUNDS for deaths in points.values())} deaths in {len(ROUNDS)} deployments, {len(failures)} problems")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
