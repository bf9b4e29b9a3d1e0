#!/usr/bin/env python3
"""watch_bench.py BUILD [WATCHERS...]: what it costs that many clients watch one deployment over 100 simulated hosts.

For each number of watchers (default 1, 10 and 100), each with a connection of its own: a deployment is held before its switch, they begin
to watch it, and it goes on. Printed are the seconds from there to its end and the controller's processor time, each also as a ratio to the
first line's, its resident memory, and the time from an event to its arrival at a watcher.
"""
import json
import re
import subprocess
import sys
import tempfile

from fleet_bench import BUILD, Fleet, moment, stat

HOSTS = 100


def measure(fleet, watchers):
    fleet.write("app/version", f"w{watchers}")
    held = fleet.slipway("deploy", "--commit", f"w{watchers}", "--hold-before-flip")
    name = re.search(r"^deployment (\S+)$", held.stdout, re.MULTILINE).group(1)
    before, _ = stat(fleet.controller.pid)
    with subprocess.Popen([f"{BUILD}/tests/bench/slipway-watchers", f"{fleet.folder}/c.sock", f"applications/gifty/deployments/{name}", str(watchers)],
                          stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout.readline() == "ready\n"
        resumed = fleet.slipway("resume", name)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        seen = json.loads(watching.stdout.read())
    processor, resident = stat(fleet.controller.pid)
    switched = [moment(event["time"]) for event in fleet.events() if event.get("step", {}).get("name") == "switch"]
    ended = json.loads(fleet.slipway("why", "--output", "json").stdout)["end_time"]
    return moment(ended) - min(switched), processor - before, resident, seen


def main():
    counts = [int(count) for count in sys.argv[2:]] or [1, 10, 100]
    print(f"{'watchers':>8} {'events':>7} {'deployment':>11} {'ratio':>6} {'processor':>10} {'ratio':>6} {'resident':>9} {'delay p50':>10} {'p99':>7} {'max':>7}")
    with tempfile.TemporaryDirectory(prefix="slipway-fleet-") as folder:
        fleet = Fleet(folder, HOSTS)
        try:
            assert fleet.deploy("v0")[2] == 0
            first = None
            for watchers in counts:
                took, processor, resident, seen = measure(fleet, watchers)
                first = first or (took, processor)
                print(f"{watchers:>8} {seen['events']:>7} {took:>10.2f}s {took / first[0]:>6.2f} {processor:>9.2f}s {processor / first[1]:>6.2f}"
                      f" {resident:>6.0f}MiB {seen['p50']:>8.1f}ms {seen['p99']:>5.1f}ms {seen['max']:>5.1f}ms", flush=True)
        finally:
            fleet.stop()


if __name__ == "__main__":
    main()
