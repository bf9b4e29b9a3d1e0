#!/usr/bin/env python3
"""A compose application on four hosts, each with a network, a Docker Engine, an nginx and an executor of its own, two of them behind sshd,
under mixed load: one where the new version never gets healthy, one whose nginx refuses the reload in silence, an executor killed between
preparing and switching, a host that is cut off at the switch, the controller killed in every phase, and everything rolled back.
"""
import contextlib
import os
import shutil
import subprocess
import sys

import stack
from compose_host import ComposeHost
from namespace_hosts import PORT, Controller, begin, begun
from stack import APP, QUICKSTART, SITE, Load, run, slipway, slipway_json, until, write

NAMES = ["host-1", "host-2", "host-3", "host-4"]
OVER_SSH = NAMES[2:]
FAILED_BEFORE, FLIPPED_BACK, PAUSED = 3, 4, 9
# Where the controller dies: all are prepared first, then the canary is switched, then the others two at a time.
PHASES = ("preflight.intended", "stage.acted", "start.recorded", "health.acted", "switch.intended", "switch.acted", "confirm.intended",
          "retire.recorded")


class FaultyHost(ComposeHost):
    def __init__(self, name, compose):
        super().__init__(name, compose, over_ssh=name in OVER_SSH)

    def steal_port(self):
        """nginx -t and -s reload say yes to this, and nginx keeps its old configuration, for it cannot bind."""
        script = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 8089)); s.listen(); print('taken', flush=True); time.sleep(900)"
        self.children["thief"] = thief = subprocess.Popen(self.inside("python3", "-c", script), stdout=subprocess.PIPE)
        thief.stdout.readline()
        write(f"{self.etc}/nginx/sites-enabled/stolen.conf", "server { listen 127.0.0.1:8089; return 204; }\n")

    def give_port_back(self):
        self.end("thief")
        os.remove(f"{self.etc}/nginx/sites-enabled/stolen.conf")


@contextlib.contextmanager
def fleet():
    composes = list(stack.composes().values())
    hosts = [FaultyHost(name, composes[number % len(composes)]) for number, name in enumerate(NAMES)]
    controller = Controller(hosts)
    try:
        for host in hosts:
            host.set_up()
        os.makedirs(APP)
        for name in ("Dockerfile", "docker-compose.yml", "slipway.yaml"):
            shutil.copy(f"{os.path.dirname(QUICKSTART)}/deploy/examples/hello/{name}", APP)
        text = stack.read(f"{APP}/slipway.yaml")
        text = text.replace("hosts: [local]", f"hosts: [{', '.join(NAMES)}]")
        text = text.replace("rollout: {", "rollout: {canary: [host-1], batch: 2, ")
        write(f"{APP}/slipway.yaml", text)
        controller.start()
        yield controller, hosts
    finally:
        controller.tear_down()
        for host in hosts:
            host.tear_down()


@contextlib.contextmanager
def under_load(check, hosts):
    loads = {host.name: Load(PORT, inside=host.inside()) for host in hosts}
    with contextlib.ExitStack() as ends:
        for load in loads.values():
            ends.enter_context(load)
        yield
    requests = sum(load.requests for load in loads.values())
    failed = {name: load.table for name, load in loads.items() if load.failed or not load.requests}
    check(not failed, f"0 of {requests} requests failed on {len(loads)} hosts", "\n".join(failed.values()))


def version(name):
    write(f"{APP}/app.env", f"HELLO_VERSION={name}\n")


def deploy(check, name, code, *options):
    version(name)
    done = slipway("deploy", "--commit", name, *options)
    check(done.returncode == code, f"{name} ends with {code}", done.stdout)
    return done.stdout


def serve(check, hosts, name):
    seen = [host.serves().removeprefix("hello from ") for host in hosts]
    check(seen == [name] * len(hosts), f"they serve {' '.join(seen)}", f"not {name}")


def meets_everything(check, controller, hosts):
    two, three, four = hosts[1:]
    check(slipway("apply").returncode == 0, "applied")
    run(stack.CLI, "env", "set", cwd=APP, input="GREETING=hello\n")
    deploy(check, "v1", 0)
    serve(check, hosts, "v1")
    with under_load(check, hosts):
        deploy(check, "v2", 0)
        serve(check, hosts, "v2")
        one_never_gets_healthy(check, hosts, two)
        one_refuses_to_reload(check, hosts, three)
        one_restarts_and_one_is_cut_off(check, hosts, two, four)
        controller_dies_in_every_phase(check, controller, hosts)
        back = slipway("rollback")
        check(back.returncode == 0, "everything back at once", back.stdout)
        serve(check, hosts, f"d{len(PHASES) - 2}")
    check(slipway("drift").returncode == 0, "nothing differs")
    check(slipway("audit", "verify").returncode == 0, "the history is whole")


def one_never_gets_healthy(check, hosts, broken):
    broken.base_image("ENV HELLO_BROKEN=1")
    output = deploy(check, "sick", FAILED_BEFORE)
    check(f"{broken.name}" in output and "503" in output, "the host is named, and what it answered", output)
    serve(check, hosts, "v2")
    broken.base_image()


def one_refuses_to_reload(check, hosts, robbed):
    robbed.steal_port()
    output = deploy(check, "robbed", FLIPPED_BACK)
    check(robbed.name in output and "8089" in output, "the host is named, and the address that nginx could not have", output)
    serve(check, hosts, "v2")
    robbed.give_port_back()


def one_restarts_and_one_is_cut_off(check, hosts, restarted, cut_off):
    deploy(check, "v3", PAUSED, "--hold-before-flip")
    serve(check, hosts, "v2")
    restarted.end("executor", how=9)
    restarted.start_executor()
    cut_off.partition(True)
    resumed = begin("resume")
    until(60, lambda: begun(cut_off.name, "switch"), f"{cut_off.name}'s switch is begun")
    check(cut_off.serves() == "hello from v2", f"{cut_off.name} cannot be told to switch")
    cut_off.partition(False)
    output = resumed.communicate(timeout=120)[0]
    check(resumed.returncode == 0, f"resumed after kill -9 of {restarted.name}'s executor, {cut_off.name} was cut off at the switch", output)
    serve(check, hosts, "v3")


def controller_dies_in_every_phase(check, controller, hosts):
    for number, point in enumerate(PHASES):
        controller.end()
        controller.start(failpoint=f"controller.{point}")
        version(f"d{number}")
        deploying = begin("deploy", "--commit", f"d{number}")
        controller.child.wait(timeout=120)
        controller.start()
        output = deploying.communicate(timeout=240)[0]
        check(deploying.returncode == 0, f"the controller died at {point}, and the deployment went on", output)
        serve(check, hosts, f"d{number}")


def main():
    check = stack.Checks()
    run("rm", "-rf", SITE)
    with fleet() as (controller, hosts):
        meets_everything(check, controller, hosts)
        check(len(slipway_json("status", "hello")["applications"][0]["hosts"]) == len(hosts), "status shows every host")
        if check.bad:
            print(controller.log()[-4000:])
    if not check.bad:
        run("rm", "-rf", SITE)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
