#!/usr/bin/env python3
"""Two controllers on one PostgreSQL, three hosts with a network, an nginx and an executor each, under load: the one that leads is killed in
every phase of a deployment, stopped for a minute and resumed; the database is restarted. Every deployment ends, and no request fails.
"""
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import fleet_test
import namespace_hosts
import stack
from fleet_test import SiteHost, Visitors, begin_deployment
from stack import APP, BUILD, SITE, read, run, slipway, until, write

NAMES = ["host-1", "host-2", "host-3"]
# A takeover waits for the lead to expire, 12 s after it was last renewed.
TAKEOVER = 20
SHARED = ["key", "tls/authority.key", "tls/authority.pem", "ssh/id_ed25519", "ssh/id_ed25519.pub"]


class Postgres:
    """A server of its own on a unix socket, as the user postgres, for it refuses to run as root."""

    def __init__(self):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.folder = f"{SITE}/postgres"

    def run_as(self, *argv):
        return run("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv, cwd="/")

    def set_up(self):
        os.makedirs(self.folder)
        shutil.chown(self.folder, "postgres", "postgres")
        self.run_as(f"{self.bin}/initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "slipway")
        self.start()
        self.run_as(f"{self.bin}/createdb", "-h", self.folder, "-U", "slipway", "slipway")

    def start(self):
        self.run_as(f"{self.bin}/pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log",
                    "-o", f"-c listen_addresses='' -c unix_socket_directories={self.folder}", "start")

    def stop(self, how):
        self.run_as(f"{self.bin}/pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", how, "stop")

    def tear_down(self):
        if os.path.exists(f"{self.folder}/data/postmaster.pid"):
            self.stop("immediate")


class Controller(namespace_hosts.Controller):
    """One of two on one database; what it is called tells them apart."""

    def __init__(self, name, postgres, hosts):
        super().__init__(hosts, name, f'metrics_address: off\ndatabase: {{postgres: "host={postgres.folder} dbname=slipway user=slipway"}}')
        self.address = f"unix://{SITE}/{name}.sock"
        # Where in the log this run begins.
        self.since = 0

    def start(self, failpoint=""):
        self.since = os.path.getsize(f"{SITE}/{self.name}.log") if os.path.exists(f"{SITE}/{self.name}.log") else 0
        super().start(failpoint)

    def ready(self):
        return self.alive() and self.asked("hosts", "list").returncode == 0

    def asked(self, *arguments):
        return slipway("--controller", self.address, *arguments)

    def leads(self):
        return self.alive() and "this controller leads" in self.log()[self.since:]

    def says_that_it_leads(self):
        # The first of several messages is about the controller.
        return json.JSONDecoder().raw_decode(self.asked("doctor", "--output", "json").stdout)[0].get("leads", False)


def ends(check, deploying, name, hosts, what):
    output = deploying.communicate(timeout=240)[0]
    seen = [host.serves() for host in hosts]
    return check(deploying.returncode == 0 and seen == [name] * len(hosts), f"{what}: {name} serves everywhere", f"{output}\n{seen}")


def deploys(check, name, hosts, what):
    return ends(check, begin_deployment(name), name, hosts, what)


def takes_over(controller, since):
    """Seconds until it led."""
    until(60, controller.leads, f"{controller.name} leads")
    return time.monotonic() - since


def second_needs_the_firsts_keys(check, one, two):
    state = f"{SITE}/{two.name}"
    refused = subprocess.run([f"{BUILD}/controller/slipway-controller", "--config", f"{SITE}/{two.name}.yaml"],
                             capture_output=True, text=True, timeout=30, check=False)
    check(refused.returncode == 1 and "lacks keys" in refused.stderr and "docs/postgres.md" in refused.stderr and not os.path.exists(f"{state}/key"),
          "a second controller without the first one's keys does not start, and makes none of its own", refused.stderr)
    for name in SHARED:
        os.makedirs(os.path.dirname(f"{state}/{name}"), mode=0o700, exist_ok=True)
        if os.path.exists(f"{SITE}/{one.name}/{name}"):
            shutil.copy2(f"{SITE}/{one.name}/{name}", f"{state}/{name}")
    two.start()
    check(not two.says_that_it_leads() and one.says_that_it_leads(), "with them it stands by")


def reads_everywhere(check, two):
    for verb in (["history"], ["status", "docs"], ["why"], ["audit", "list"]):
        seen = two.asked(*verb)
        check(seen.returncode == 0, f"the one that stands by answers {' '.join(verb)}", seen.stdout)
    watched = two.asked("watch")
    check(watched.returncode == 0 and "succeeded" in watched.stdout, "and watch", watched.stdout)
    refused = two.asked("hosts", "cordon", "host-1")
    check(refused.returncode != 0 and "another controller leads: unix://" in refused.stdout, "and says who takes commands", refused.stdout)


def killed_in_every_phase(check, pair, hosts):
    """Each time the one that stands by becomes the one that will be killed, by an orderly change; then the other takes over."""
    times = []
    for number, point in enumerate(("preflight.intended", "stage.acted", "start.recorded", "health.acted", "switch.intended", "switch.acted",
                                    "switch.recorded", "retire.recorded", "prune.acted", "confirm.intended")):
        leader, other = pair
        other.end()
        other.start(failpoint=f"controller.{point}")
        before = time.monotonic()
        leader.end()
        handed = takes_over(other, before)
        leader.start()
        deploying = begin_deployment(f"k{number}")
        other.child.wait(timeout=120)
        died = time.monotonic()
        times.append(takes_over(leader, died))
        ends(check, deploying, f"k{number}", hosts, f"killed at {point}, taken over after {times[-1]:.1f}s (in order: {handed:.1f}s)")
        other.start()
    check(max(times) <= TAKEOVER, f"the longest takeover took {max(times):.1f}s of at most {TAKEOVER}s")


def stopped_for_a_minute(check, pair, hosts):
    """Resumed after another has taken over, it may do nothing any more."""
    leader, other = pair
    deploying = begin_deployment("stopped")
    until(60, lambda: "health" in slipway("why", "--output", "json").stdout and '"commit": "stopped"' in slipway("why", "--output", "json").stdout,
          "the deployment is under way")
    leader.child.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    took = takes_over(other, stopped)
    ends(check, deploying, "stopped", hosts, f"the leader stopped, taken over after {took:.1f}s")
    deploys(check, "meanwhile", hosts, "and a deployment more")
    while time.monotonic() < stopped + 60:
        time.sleep(0.2)
    leader.child.send_signal(signal.SIGCONT)
    leader.child.wait(timeout=30)
    check("another controller may lead" in leader.log(), "resumed after a minute, it ends at once")
    check([host.serves() for host in hosts] == ["meanwhile"] * len(hosts) and other.leads(), "and nothing of its commands has come about")
    leader.start()
    return other, leader


def database_restarts(check, postgres, pair, hosts):
    for how in ("fast", "immediate"):
        deploying = begin_deployment(f"db-{how}")
        until(60, lambda name=f"db-{how}": f'"commit": "{name}"' in slipway("why", "--output", "json").stdout, "the deployment is under way")
        postgres.stop(how)
        postgres.start()
        # On a busy machine the server may be away for longer than the lead lasts: whoever had it ends then, and is started anew as its
        # unit does it.
        while deploying.poll() is None:
            for controller in pair:
                if not controller.alive():
                    controller.start()
            time.sleep(0.1)
        ends(check, deploying, f"db-{how}", hosts, f"PostgreSQL restarted ({how})")


def meets_everything(check, postgres, one, two, hosts):
    fleet_test.spec(canary="[]")
    text = read(f"{APP}/slipway.yaml")
    write(f"{APP}/slipway.yaml", re.sub(r"^hosts: .*$", f"hosts: [{', '.join(NAMES)}]", text, flags=re.MULTILINE))
    one.start()
    second_needs_the_firsts_keys(check, one, two)
    check(slipway("apply").returncode == 0, "applied")
    deploys(check, "v1", hosts, "two controllers")
    reads_everywhere(check, two)
    with Visitors(hosts) as visitors:
        killed_in_every_phase(check, (one, two), hosts)
        pair = stopped_for_a_minute(check, (one, two), hosts)
        database_restarts(check, postgres, pair, hosts)
    visitors.check(check, "all of that")
    verified = slipway("audit", "verify")
    check(verified.returncode == 0, "the history is whole", verified.stdout)


@contextlib.contextmanager
def everything():
    postgres = Postgres()
    hosts = [SiteHost(name) for name in NAMES]
    controllers = [Controller(name, postgres, hosts) for name in ("one", "two")]
    os.environ["SLIPWAY_CONTROLLER"] = ",".join(controller.address for controller in controllers)
    try:
        postgres.set_up()
        for host in hosts:
            host.set_up()
        os.makedirs(APP)
        yield postgres, *controllers, hosts
    finally:
        for controller in controllers:
            controller.tear_down()
        for host in hosts:
            host.tear_down()
        postgres.tear_down()


def main():
    check = stack.Checks()
    run("rm", "-rf", SITE)
    with everything() as (postgres, one, two, hosts):
        meets_everything(check, postgres, one, two, hosts)
        if check.bad:
            for controller in (one, two):
                print(controller.name, controller.log()[-4000:])
    if not check.bad:
        run("rm", "-rf", SITE)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
