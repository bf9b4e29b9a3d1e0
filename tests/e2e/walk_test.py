#!/usr/bin/env python3
"""A long random history on real nginx, Docker and compose: what people and machines do, one thing after the other, under load.

SLIPWAY_REAL_WALK_SECONDS (120) bounds it, SLIPWAY_WALK_SEED (1) chooses it, SLIPWAY_WALK_HOSTS (1 or 2) says on how many hosts. After each
step: what nginx answers is what `status` says, healthy, and the release that ought to serve; no request has failed but where something that
served was killed or dies by itself; every container, network, volume, file and port is somebody's, and all that containers have mounted is
there; no deployment runs, no intent is open, no lease is left; the history verifies.

Everything stands in network namespaces and in one folder: several walks run at the same time, and one that is stopped leaves nothing.
"""
import collections
import os
import random
import signal
import subprocess
import sys
import time

import stack
from stack import SITE
from walk_actions import Actions
from walk_checks import Checks, Violation
from walk_world import SITES, Application, Load, WalkController, WalkHost, clear, keep_programs


class Walk(Actions, Checks):
    def __init__(self, seed, count):
        self.random = random.Random(seed)
        composes = list(stack.composes().values())
        self.all_hosts = [WalkHost(f"host-{number}", composes[(seed + number) % len(composes)], live_restore=(seed // 2 + number) % 2 == 0)
                          for number in range(1, count + 1)]
        self.hosts = list(self.all_hosts)
        self.controller = None
        self.applications = []
        self.cordoned = set()
        self.loads = []
        self.version = 0
        self.steps = self.requests = self.slow = 0
        # Of the last deployment.
        self.message = ""
        self.log = []
        self.seconds = collections.Counter()
        self.times = collections.Counter()

    def note(self, text):
        self.log.append(f"{time.strftime('%H:%M:%S')} {text}")
        with open(f"{SITE}/walk.log", "a", encoding="utf-8") as log:
            log.write(self.log[-1] + "\n")

    def set_up(self):
        for host in self.hosts:
            host.set_up()
        self.controller = WalkController(self.hosts[:1])
        self.controller.start()
        for host in self.hosts[1:]:
            self.hosts_command("add", host.name, "--address", host.address())
        for name in SITES:
            app = Application(name, self.hosts)
            app.create()
            for host in self.hosts:
                host.write_site(name, app.page, f"proxy_pass http://{name}_backend;")
            self.applications.append(app)
            self.deploy_good(app)

    def tear_down(self):
        for load in self.loads:
            load.child.kill()
        if self.controller:
            self.controller.tear_down()
        for host in self.all_hosts:
            host.tear_down()

    def begin_loads(self):
        self.loads = [Load(host, app) for host in self.hosts for app in self.applications]

    def end_loads(self, forgiven=False):
        """An action that disturbs has loads of its own."""
        loads, self.loads = self.loads, []
        for requests, table in [load.end() for load in loads]:
            self.requests += requests
            if table and not forgiven:
                raise Violation(f"requests failed:\n{table}")

    def step(self):
        names, weights = zip(*self.weighted_actions())
        action = self.random.choices(names, weights)[0]
        app = self.random.choice(self.applications)
        forgiven = getattr(action, "disturbs", False)
        began = time.monotonic()
        if forgiven:
            self.end_loads()
        if not self.loads:
            self.begin_loads()
        action(app)
        self.check()
        if forgiven:
            self.end_loads(forgiven=True)
        elif any(load.failing() for load in self.loads):
            self.end_loads()
        self.steps += 1
        self.times[action.__name__] += 1
        self.seconds[action.__name__] += time.monotonic() - began

    def report(self):
        for name, seconds in self.seconds.most_common():
            print(f"{name:36} {self.times[name]:5} times, {seconds / self.times[name]:6.1f} s each")

    def failed(self, error, seed):
        print("\n".join(self.log[-60:]))
        for host in self.all_hosts:
            print("\n".join([f"{host.name}:"] + stack.read(f"{host.folder}/executor.log").splitlines()[-15:]))
        print("\n".join(["controller:"] + self.controller.log().splitlines()[-15:]))
        print(f"FAILED at step {self.steps} of seed {seed} at {time.strftime('%H:%M:%S')}: {type(error).__name__}: {error}", flush=True)
        if os.environ.get("SLIPWAY_WALK_HOLD"):
            # What is there can be looked at; SIGTERM ends it.
            signal.pause()


def main():
    kept = f"{SITE}/programs"
    if stack.BUILD != kept:
        # A build meanwhile must not change what a walk of hours runs.
        clear(SITE)
        stack.run("rm", "-rf", SITE)
        keep_programs(kept)
        os.execve(sys.executable, [sys.executable, "-B", *sys.argv], dict(os.environ, SLIPWAY_BUILD=kept))
    seconds = int(os.environ.get("SLIPWAY_REAL_WALK_SECONDS", "120"))
    seed = int(os.environ.get("SLIPWAY_WALK_SEED", "1"))
    count = int(os.environ.get("SLIPWAY_WALK_HOSTS", "1"))
    print(f"SLIPWAY_WALK_SEED={seed} SLIPWAY_WALK_HOSTS={count}", flush=True)
    # So that everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    walk = Walk(seed, count)
    try:
        walk.set_up()
        end = told = time.monotonic()
        end += seconds
        while time.monotonic() < end:
            walk.step()
            if time.monotonic() > told + 60:
                told = time.monotonic()
                print(f"{time.strftime('%H:%M:%S')} {walk.steps} steps, {walk.requests} requests", flush=True)
        walk.end_loads()
    except (Violation, AssertionError, OSError, subprocess.TimeoutExpired) as error:
        walk.failed(error, seed)
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        walk.tear_down()
        walk.report()
        print(f"{walk.steps} steps walked under load, {walk.requests} requests; {walk.slow} times the Engine gave no answer in time", flush=True)
    stack.run("rm", "-rf", SITE)
    print("no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
