#!/usr/bin/env python3
"""Four hosts on one machine, each with a network, an nginx and an executor of its own, the fourth behind sshd; a static site on all
of them, under load, through everything that a fleet may meet.

`fleet_test.py visit` is a visitor: it asks the front page and an old asset until SIGTERM and prints how many requests failed.
"""
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import namespace_hosts
import stack
from namespace_hosts import METRICS_PORT, PAGE, PORT, Controller, begin, begun
from stack import APP, SITE, run, slipway, until, write

NAMES = ["host-1", "host-2", "host-3", "host-4"]


class SiteHost(namespace_hosts.Host):
    def nginx_http(self):
        poisoned = "if (-f $document_root/poison.txt) { return 500; }" if self.name == "host-3" else ""
        served = f"{self.folder}/sites/docs"
        return f"""server {{
    listen 127.0.0.1:{PORT};
    root {served}/current;
    location = / {{ {poisoned} try_files /index.html =404; }}
    recursive_error_pages on;
    location / {{ error_page 404 = @previous; }}
    location @previous {{ root {served}/previous; error_page 404 = @current; }}
    location @current {{ root {served}/current; }}
  }}"""

    def executor_settings(self):
        return f"sites: {self.folder}/sites"


def visit():
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    seen = collections.Counter()
    while not stop:
        for path in ("", "app.css"):
            try:
                with urllib.request.urlopen(PAGE + path, timeout=5) as response:
                    seen["good" if response.read() else "failed"] += 1
            except OSError as error:
                seen[f"failed: {error}"] += 1
        # The machine is also all of the hosts.
        time.sleep(0.005)
    print(json.dumps(seen))


class Visitors:
    """One at each of the hosts while the `with` lasts."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.seen = {}

    def __enter__(self):
        self.children = {host.name: subprocess.Popen(host.inside("python3", __file__, "visit"), stdout=subprocess.PIPE, text=True)
                         for host in self.hosts}
        return self

    def __exit__(self, *_):
        for child in self.children.values():
            child.terminate()
        self.seen = {name: json.loads(child.communicate(timeout=30)[0]) for name, child in self.children.items()}

    def check(self, check, what):
        requests = sum(sum(seen.values()) for seen in self.seen.values())
        failed = {name: {why: count for why, count in seen.items() if why != "good"} for name, seen in self.seen.items()}
        # What the poisoned version itself answered, from the moment it was switched to until it was seen and taken back.
        own = failed["host-3"].pop("failed: HTTP Error 500: Internal Server Error", 0)
        check(not any(failed.values()) and own < 50 and requests > 1000,
              f"{what}: 0 of {requests} requests failed on {len(self.seen)} hosts, but {own} by the version that cannot work on host-3", str(failed))


@contextlib.contextmanager
def fleet():
    hosts = [SiteHost(name, over_ssh=name == "host-4") for name in NAMES]
    controller = Controller(hosts)
    try:
        for host in hosts:
            host.set_up()
        os.makedirs(APP)
        controller.start()
        yield controller, hosts
    finally:
        controller.tear_down()
        for host in hosts:
            host.tear_down()


def spec(**rollout):
    lines = [f"  {key}: {value}" for key, value in {"canary": "[host-1]", "batch": 2, **rollout}.items()]
    write(f"{APP}/slipway.yaml", "\n".join(["app: docs", f"hosts: [{', '.join(NAMES)}]", "site:", "  root: site", "  front_door:",
                                            f'    url: "{PAGE}"', "rollout:", *lines, "keep: {warm: 10m}"]) + "\n")


def version(name, poison=False):
    run("rm", "-rf", f"{APP}/site")
    write(f"{APP}/site/index.html", name + "\n")
    write(f"{APP}/site/app.css", "p { color: red }\n")
    if poison:
        write(f"{APP}/site/poison.txt", "for host-3\n")


def deploy(check, name, code, *options, poison=False):
    version(name, poison)
    done = slipway("deploy", "--commit", name, *options)
    check(done.returncode == code, f"{name} ends with {code}", done.stdout)
    return done.stdout


def begin_deployment(name):
    version(name)
    return begin("deploy", "--commit", name)


def enqueue(name):
    """A deployment that waits for another one."""
    child = begin_deployment(name)
    until(30, lambda: f" {name} " in slipway("history", "--limit", "1").stdout, f"{name} is in the queue")
    return child


def serve(check, hosts, *names):
    """What each of the hosts serves, or what all of them do."""
    seen = [host.serves() for host in hosts]
    wanted = list(names) * (len(hosts) if len(names) == 1 else 1)
    check(seen == wanted, f"they serve {' '.join(seen)}", f"not {' '.join(wanted)}")


def order(check):
    """Every host is prepared before the canary is switched, which is watched before the others are, two at a time."""
    steps = []
    for rollout in json.loads(slipway("why", "--output", "json").stdout)["rollouts"]:
        steps += [(step["start_time"], step["name"], rollout["host"]) for step in rollout["steps"]]
    steps.sort()
    switched = [host for _, name, host in steps if name == "switch"]
    check(switched[0] == "host-1" and set(switched[1:3]) == {"host-2", "host-3"} and switched[3] == "host-4", f"switched in waves: {switched}")
    first = next(start for start, name, _ in steps if name == "switch")
    check(all(start < first for start, name, _ in steps if name == "health"), "all are prepared before any is switched")


def unconverged():
    found = re.search(r'slipway_hosts_unconverged\{app="docs"\} (\d+)', stack.get(METRICS_PORT, "/metrics"))
    return int(found.group(1)) if found else None


def away_and_back(check, hosts):
    """A host that is away, and one that is cordoned: named, left out, shown, and brought up to date by the controller."""
    _, two, _, four = hosts
    spec()
    deploy(check, "v8", 0)
    four.partition(True)
    output = deploy(check, "v9", 8)
    check("no answer from host-4" in output and "--skip-offline" in output, "a host that is away refuses a deployment, by name", output)
    output = deploy(check, "v9", 0, "--skip-offline")
    check("serves on 3 of 4 hosts" in output and "host-4 (offline)" in output, "without it", output)
    serve(check, hosts, "v9", "v9", "v9", "v8")
    until(30, lambda: unconverged() == 1, "the mixed fleet is flagged")
    status = slipway("status", "docs").stdout
    check("host-4 behind" in status and "it will catch up by itself" in status, "status says so", status)
    four.partition(False)
    until(90, lambda: four.serves() == "v9", "it catches up when it is back")
    until(30, lambda: unconverged() == 0, "and the fleet is whole")

    drained = slipway("hosts", "drain", "host-2", "--reason", "new kernel")
    check(drained.returncode == 0, "drained", drained.stdout)
    deploy(check, "v10", 0)
    serve(check, hosts, "v10", "v9", "v10", "v10")
    status = slipway("status", "docs").stdout
    check("host-2 behind" in status and "slipway hosts uncordon host-2" in status, "status says that it is cordoned", status)
    check(slipway("hosts", "uncordon", "host-2").returncode == 0, "uncordoned")
    until(60, lambda: two.serves() == "v10", "it catches up")


def drifts(check, hosts):
    until(30, lambda: slipway("drift").returncode == 0, "nothing differs")
    edited = f"{hosts[2].folder}/edited.css"
    write(edited, "p { color: blue }\n")
    os.rename(edited, f"{hosts[2].folder}/sites/docs/current/app.css")
    seen = slipway("drift")
    check(seen.returncode == 1 and "1 of 4 hosts differ" in seen.stdout and "app.css" in seen.stdout, "an edited file is found", seen.stdout)
    done = slipway("reconcile")
    check(done.returncode == 0, "reconciled", done.stdout)
    check(slipway("drift").returncode == 0, "and nothing differs any more")
    serve(check, hosts, "v10")


def meets_everything(check, controller, hosts):
    three, four = hosts[2:]
    spec()
    check(slipway("apply").returncode == 0, "applied")
    deploy(check, "v1", 0)
    serve(check, hosts, "v1")
    with Visitors(hosts) as visitors:
        deploy(check, "v2", 0)
        order(check)
        serve(check, hosts, "v2")

        held = re.search(r"^deployment (\S+)$", deploy(check, "v3", 9, "--hold-before-flip"), re.MULTILINE).group(1)
        serve(check, hosts, "v2")
        second, third = enqueue("v3a"), enqueue("v3b")
        check(second.wait(timeout=30) == 11, "the one that waited is superseded by one that came later", second.stdout.read())
        check(slipway("abort", held).returncode == 0, "aborted")
        output = third.communicate(timeout=60)[0]
        check(third.returncode == 0 and f"waits for {held} to end" in output, "and the later one begins when that has ended", output)
        check("cancelled" in slipway("why", held).stdout, "it was cancelled")
        serve(check, hosts, "v3b")
        deploy(check, "v4", 9, "--hold-before-flip")
        check("paused" in slipway("history", "--limit", "1").stdout, "history says that it waits")
        controller.end(signal.SIGKILL)
        controller.start()
        three.end("executor", signal.SIGKILL)
        three.start_executor()
        four.partition(True)
        resumed = begin("resume")
        until(60, lambda: begun(four.name, "switch"), "the switch of host-4 is begun")
        check(four.serves() == "v3b", "and it cannot be told")
        four.partition(False)
        output = resumed.communicate(timeout=120)[0]
        check(resumed.returncode == 0, "resumed after kill -9 of the controller and of an executor, and with a host away for a while", output)
        serve(check, hosts, "v4")

        output = deploy(check, "v5", 4, poison=True)
        check("on host-3" in output, "host-3 is named", output)
        serve(check, hosts, "v4")
        check(unconverged() == 0, "no mixed fleet")

        spec(max_failures=1)
        output = deploy(check, "v6", 10, poison=True)
        check("serves on 3 of 4 hosts" in output and "host-3 (switch failed" in output, "partial, and where not", output)
        serve(check, hosts, "v6", "v6", "v4", "v6")
        until(30, lambda: unconverged() == 1, "the mixed fleet is flagged")
        back = slipway("rollback")
        check(back.returncode == 0, "everything back to what served before", back.stdout)
        serve(check, hosts, "v4")
        until(30, lambda: unconverged() == 0, "and not flagged any more")

        spec(on_failure="pause")
        output = deploy(check, "v7", 9, poison=True)
        check("slipway resume docs" in output, "a person is asked", output)
        serve(check, hosts, "v7", "v7", "v4", "v4")
        check(slipway("resume").returncode == 10, "resumed, it goes on without host-3")
        serve(check, hosts, "v7", "v7", "v4", "v7")
        away_and_back(check, hosts)
        drifts(check, hosts)
    visitors.check(check, "all of that")
    check(slipway("audit", "verify").returncode == 0, "the history is whole")


def main():
    if sys.argv[1] == "visit":
        visit()
        return 0
    check = stack.Checks()
    run("rm", "-rf", SITE)
    with fleet() as (controller, hosts):
        meets_everything(check, controller, hosts)
        if check.bad:
            print(controller.log()[-4000:])
    if not check.bad:
        run("rm", "-rf", SITE)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
