#!/usr/bin/env python3
"""A long random history on real nginx, Docker and compose: what people and machines do, one thing after the other, under load.

SLIPWAY_REAL_WALK_SECONDS (120) bounds it, SLIPWAY_WALK_SEED (1) chooses it. After each step: what nginx answers is what `status` says, and
is the release that ought to serve; the load saw no failed request but where something that served was killed or dies by itself; every
container and network of the application is somebody's, and all that its containers have mounted is there; no deployment runs; the
history verifies.
"""
import json
import os
import random
import re
import subprocess
import sys
import time

import stack
from stack import APP, BUILD, SITE, Daemon, connected, slipway, slipway_json, until

SETTLED = 60
# A deployment needs two ports for its slots; these are free for them.
PORTS = (8000, 8010, 8020, 8030)


class Violation(Exception):
    pass


class Walk:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.daemons = {name: Daemon(name) for name in ("executor", "controller")}
        self.load = None
        self.version = 0
        self.serving = "v1"
        self.served = ["v1"]
        # Something that served was killed, or a release ended by itself: requests may have failed.
        self.forgiven = False
        self.log = []

    # What people do.

    def deploy(self, settings="", name="good", meanwhile=None):
        self.version += 1
        version = f"w{self.version}"
        stack.write(f"{APP}/app.env", f"HELLO_VERSION={version}\n{settings}\n")
        self.note(f"deploy {version} {name}")
        command = [stack.CLI, "deploy", "--commit", version]
        child = subprocess.Popen(command, cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if meanwhile:
            time.sleep(self.random.uniform(0, 2.5))
            meanwhile()
        output, _ = child.communicate(timeout=180)
        self.note(f"  {output.strip().splitlines()[-1] if output.strip() else child.returncode}")
        self.settle()
        if self.newest()["state"] == "DEPLOYMENT_STATE_SUCCEEDED":
            self.serves(version)
        return self.newest()["state"].removeprefix("DEPLOYMENT_STATE_")

    def deploy_good(self):
        state = self.deploy()
        if state != "SUCCEEDED":
            raise Violation(f"a good release ended {state} on a sound host")

    def deploy_unhealthy(self):
        if self.deploy("HELLO_BROKEN=1", "unhealthy") != "FAILED":
            raise Violation("a release that never gets healthy did not fail")

    def deploy_dying(self):
        self.forgiven = True
        self.deploy("HELLO_DIE_AFTER_REQUESTS=3", "dies when it serves")

    def roll_back(self):
        if len(self.served) < 2:
            return
        self.note(f"roll back to {self.served[1]}")
        done = slipway("rollback")
        self.note(f"  {done.stdout.strip().splitlines()[-1]}")
        self.settle()
        newest = self.newest()
        if newest["state"] == "DEPLOYMENT_STATE_SUCCEEDED":
            self.serves(newest["commit"])

    def roll_back_on_the_host(self):
        self.note("roll back on the host")
        done = subprocess.run([f"{BUILD}/executor/slipway-executor", "--config", f"{SITE}/executor.yaml", "rollback", "hello"],
                              capture_output=True, text=True, timeout=120, check=False)
        self.note(f"  {(done.stdout + done.stderr).strip()}")
        if done.returncode == 0:
            self.serves(re.sub("^hello from ", "", self.answer()))

    def move_slots(self):
        port = self.random.choice(PORTS)
        self.configure(r"slots: \{.*\}", f"slots: {{blue: {port}, green: {port + 1}}}")

    def change_warmth(self):
        self.configure(r"warm: \w+", f"warm: {self.random.choice(['0s', '2s', '10m'])}")

    def change_kept_releases(self):
        self.configure(r"releases: \d+", f"releases: {self.random.choice([2, 3, 5])}")

    def toggle_hook(self):
        path = f"{APP}/slipway.yaml"
        text = stack.read(path)
        hook = 'hooks: {before_switch: [{name: migrate, service: web, command: ["migrate"], once: true, timeout: 30s}]}\n'
        stack.write(path, text.replace(hook, "") if hook in text else text + hook)
        self.note("a hook, or none")
        if slipway("apply").returncode != 0:
            raise Violation("apply with a hook")

    def deploy_with_a_failing_hook(self):
        if "hooks:" in stack.read(f"{APP}/slipway.yaml") and self.deploy("HELLO_MIGRATE_EXIT=1", "its hook fails") != "FAILED":
            raise Violation("a release whose hook fails did not fail")

    def configure(self, pattern, text):
        path = f"{APP}/slipway.yaml"
        stack.write(path, re.sub(pattern, text, stack.read(path)))
        self.note(text)
        done = slipway("apply")
        if done.returncode != 0:
            raise Violation(f"apply: {done.stdout}")

    def edit_the_upstream_file(self):
        path = f"{SITE}/nginx/conf.d/hello_upstream.conf"
        self.note("edit the upstream file")
        with open(path, "a", encoding="utf-8") as file:
            file.write("# by hand\n")
        self.deploy_good()

    # What machines do.

    def restart_daemon(self):
        name = self.random.choice(list(self.daemons))
        daemon = self.daemons[name]
        how = self.random.choice([daemon.stop, daemon.kill])
        self.note(f"{how.__name__} and start the {name}")
        how()
        daemon.start()
        until(20, connected, "the executor is connected")

    def restart_daemon_in_a_deployment(self):
        state = self.deploy(meanwhile=self.restart_daemon)
        if state != "SUCCEEDED":
            raise Violation(f"a restart of our own programs made a good deployment end {state}")

    def reload_nginx(self):
        self.note("reload nginx")
        stack.reload_nginx()

    def restart_containers(self):
        self.forgiven = True
        self.note("restart all containers")
        ids = stack.containers("slipway.app=hello")
        stack.run("docker", "restart", "-t", "1", *ids, timeout=120)
        until(30, lambda: stack.answers(8080, f"hello from {self.serving}"), f"{self.serving} answers again")

    def let_time_pass(self):
        self.note("three seconds pass")
        time.sleep(3)

    # What is looked at.

    def answer(self):
        return stack.get(8080)

    def newest(self):
        return slipway_json("history", "--limit", "1")["deployments"][0]

    def status(self):
        return slipway_json("status", "hello")["applications"][0]

    def serves(self, version):
        self.serving = version
        self.served = [version] + [known for known in self.served if known != version]

    def settle(self):
        until(SETTLED, lambda: not self.status().get("running_deployment"), "the deployment ends")

    def check(self):
        self.settle()
        until(10, lambda: stack.answers(8080, f"hello from {self.serving}"),
              f"hello from {self.serving}, and not {self.answer()!r}, is answered")
        self.check_status()
        self.check_containers()
        verified = slipway("audit", "verify", cwd="/")
        if verified.returncode != 0:
            raise Violation(f"the history does not verify: {verified.stdout}")

    def check_status(self):
        def agrees():
            hosts = self.status().get("hosts", [])
            return [host.get("active_commit") for host in hosts] == [self.serving]
        try:
            until(15, agrees, "status")
        except AssertionError:
            raise Violation(f"{self.serving} serves, and status says {json.dumps(self.status())}") from None

    def check_containers(self):
        ids = stack.containers("slipway.app=hello", stopped=True)
        inspected = json.loads(stack.run("docker", "inspect", *ids)) if ids else []
        slots = set()
        for one in inspected:
            labels = one["Config"]["Labels"]
            role = labels["slipway.role"]
            key = (role, labels.get("slipway.slot", ""), labels["com.docker.compose.service"])
            if key in slots:
                raise Violation(f"two containers of {key}")
            slots.add(key)
            for mount in one["Mounts"]:
                if mount["Type"] == "bind" and not os.path.exists(mount["Source"]):
                    raise Violation(f"{mount['Source']}, which {one['Name']} has mounted, is gone")

    def note(self, text):
        self.log.append(text)

    def actions(self):
        return [(self.deploy_good, 5), (self.deploy_unhealthy, 2), (self.deploy_dying, 1), (self.roll_back, 3),
                (self.roll_back_on_the_host, 3), (self.move_slots, 2), (self.change_warmth, 2), (self.change_kept_releases, 1),
                (self.toggle_hook, 1), (self.deploy_with_a_failing_hook, 1),
                (self.edit_the_upstream_file, 1), (self.restart_daemon, 2), (self.restart_daemon_in_a_deployment, 4),
                (self.reload_nginx, 1), (self.restart_containers, 1), (self.let_time_pass, 1)]

    def step(self):
        names, weights = zip(*self.actions())
        action = self.random.choices(names, weights)[0]
        self.forgiven = False
        with stack.Load(seconds=600) as load:
            action()
            self.check()
        if load.failed and not self.forgiven:
            raise Violation(f"{load.failed} of {load.requests} requests failed\n{load.table}")
        return load.requests


def main():
    seconds = int(os.environ.get("SLIPWAY_REAL_WALK_SECONDS", "120"))
    seed = int(os.environ.get("SLIPWAY_WALK_SEED", "1"))
    print(f"SLIPWAY_WALK_SEED={seed}", flush=True)
    steps = requests = 0
    with stack.site("up", SLIPWAY_COMPOSE=list(stack.composes().values())[-1]):
        path = f"{APP}/slipway.yaml"
        stack.write(path, stack.read(path).replace("bake: 2s", "bake: 300ms").replace("drain: 10s", "drain: 3s"))
        walk = Walk(seed)
        walk.deploy_good()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                requests += walk.step()
                steps += 1
        except (Violation, AssertionError, subprocess.TimeoutExpired) as error:
            print("\n".join(walk.log[-40:]))
            print(f"FAILED at step {steps} of seed {seed}: {error}")
            print("\n".join(stack.read(f"{SITE}/executor.log").splitlines()[-15:]))
            return 1
    print(f"{steps} steps walked under load, {requests} requests, no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
