#!/usr/bin/env python3
"""fleet_bench.py BUILD [--tls] [HOSTS...]: whole deployments over simulated hosts, the controller's own cost for each host.

For each number of hosts (default 10, 100 and 1000) a process of simulated hosts whose steps take no time, a controller, and three
deployments by the command: the second and third are measured. Printed are the time for the deployment, the same per host as a ratio
to the smallest fleet, the controller's processor time and resident memory, the skew between the first and the last proven switch of
a batch of 50, the cost of watching an idle fleet, and the time from the failure of the last host's watch until every host was taken
back and every candidate was removed. With --tls every host has an address of loopback of its own, and certificates are shown both ways,
as with enrolled hosts; else there are unix sockets.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
TLS = "--tls" in sys.argv
SIZES = [int(size) for size in sys.argv[2:] if size != "--tls"] or [10, 100, 1000]
PORT = 9700
BATCH = 50
TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """(processor seconds, resident MiB)"""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return (int(fields[11]) + int(fields[12])) / TICKS, resident / 1024


class Fleet:
    def __init__(self, folder, hosts, *faults):
        self.folder, self.hosts = folder, hosts
        os.makedirs(f"{folder}/h")
        if TLS:
            self.make_authority()
            faults = (*faults, "--tls", f"{folder}/state/tls", "--port", str(PORT))
        self.simulator = subprocess.Popen([f"{BUILD}/tests/support/fleet_simulator/slipway-fleet", f"{folder}/h", str(hosts), *faults],
                                          stdout=subprocess.PIPE, text=True)
        assert self.simulator.stdout.readline() == "ready\n"
        names = [f"host-{number:04d}" for number in range(1, hosts + 1)]
        lines = [f"state: {folder}/state", f"socket: {folder}/c.sock", 'metrics_address: "off"', "hosts:"]
        lines += [f'- {{name: {name}, address: "{self.address(number, name)}"}}' for number, name in enumerate(names)]
        self.write("controller.yaml", "\n".join(lines) + "\n")
        self.write("app/docker-compose.yml", "services: {api: {image: 'x:1', ports: ['8000:80']}}\n")
        self.write("app/slipway.yaml", f"""app: gifty
hosts: [{", ".join(names)}]
compose: {{slotted: [api]}}
slots: {{blue: 8000, green: 8001}}
health: {{tcp: {{}}}}
nginx: {{upstream: gifty}}
rollout: {{batch: {BATCH}, canary: [host-0001]}}
""")
        with open(f"{folder}/log", "wb") as log:
            self.controller = subprocess.Popen([f"{BUILD}/controller/slipway-controller", "--config", f"{folder}/controller.yaml"],
                                               stdout=log, stderr=log)
        self.environment = dict(os.environ, SLIPWAY_CONTROLLER=f"unix://{folder}/c.sock")
        end = time.monotonic() + 180
        while self.connected() < hosts:
            assert time.monotonic() < end, f"{self.connected()} of {hosts} hosts are connected after three minutes"
            time.sleep(0.1)

    def address(self, number, name):
        return f"tls://127.1.{number // 250}.{number % 250 + 1}:{PORT}" if TLS else f"unix://{self.folder}/h/{name}.sock"

    def make_authority(self):
        """The controller makes it at its first start."""
        self.write("first.yaml", f'state: {self.folder}/state\nsocket: {self.folder}/c.sock\nmetrics_address: "off"\n')
        first = subprocess.Popen([f"{BUILD}/controller/slipway-controller", "--config", f"{self.folder}/first.yaml"], stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{self.folder}/c.sock"):
            assert first.poll() is None, "the controller does not start"
            time.sleep(0.01)
        first.terminate()
        first.wait(timeout=60)

    def write(self, name, text):
        path = pathlib.Path(self.folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def connected(self):
        listed = self.slipway("hosts", "list", "--output", "json")
        return sum(host.get("connected", False) for host in json.loads(listed.stdout or "{}").get("hosts", []))

    def slipway(self, *arguments):
        return subprocess.run([f"{BUILD}/clients/cli/slipway", *arguments], cwd=f"{self.folder}/app", env=self.environment,
                              capture_output=True, text=True, check=False, timeout=300)

    def deploy(self, version):
        """(seconds, processor seconds of the controller, exit code, output)"""
        self.write("app/version", version)
        before, _ = stat(self.controller.pid)
        begin = time.monotonic()
        done = self.slipway("deploy", "--commit", version)
        took = time.monotonic() - begin
        after, _ = stat(self.controller.pid)
        return took, after - before, done.returncode, done.stdout + done.stderr

    def events(self):
        return [json.loads(line) for line in self.slipway("watch", "--output", "json").stdout.splitlines()]

    def stop(self):
        for child in (self.controller, self.simulator):
            child.terminate()
            child.wait(timeout=60)


def moment(text):
    """Seconds of a timestamp's time of day, with its fraction."""
    hours, minutes, seconds = text.split("T")[1].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def skews(events, name):
    """Milliseconds between the first and the last host of each batch whose step was heard to have ended."""
    batches = {}
    for event in events:
        step = event.get("step", {})
        if step.get("name") == name and step["state"] == "STEP_STATE_DONE":
            batches.setdefault(step["start_time"], []).append(moment(event["time"]))
    return [1000 * (max(ends) - min(ends)) for ends in batches.values() if len(ends) > 1]


def main():
    print(f"{'hosts':>6} {'deployment':>11} {'per host':>9} {'ratio':>6} {'processor':>10} {'resident':>9} {'idle':>7} {'skew p99':>9} {'back':>7}")
    smallest = None
    for hosts in SIZES:
        with tempfile.TemporaryDirectory(prefix="slipway-fleet-") as folder:
            fleet = Fleet(folder, hosts)
            try:
                runs = [fleet.deploy(f"v{number}") for number in range(3)]
                for took, _, code, output in runs:
                    assert code == 0, output
                took, processor = min(runs[1:])[:2]
                skew = sorted(skews(fleet.events(), "switch"))
                before, resident = stat(fleet.controller.pid)
                time.sleep(20)
                idle = (stat(fleet.controller.pid)[0] - before) / 20
            finally:
                fleet.stop()
        with tempfile.TemporaryDirectory(prefix="slipway-fleet-") as folder:
            fleet = Fleet(folder, hosts, "--failing-step", "bake", "--failing-hosts", str(hosts - 1))
            try:
                fleet.deploy("v0")
                fleet.deploy("v1")
                ended = json.loads(fleet.slipway("why", "--output", "json").stdout)
                bad = next(step for step in ended["rollouts"][-1]["steps"] if step["name"] == "bake")
                back = moment(ended["end_time"]) - moment(bad["start_time"])
            finally:
                fleet.stop()
        smallest = smallest or took / hosts
        print(f"{hosts:>6} {took:>10.2f}s {1000 * took / hosts:>7.1f}ms {took / hosts / smallest:>6.2f} {processor:>9.2f}s {resident:>6.0f}MiB"
              f" {100 * idle:>6.1f}% {skew[int(len(skew) * 0.99)] if skew else float('nan'):>7.0f}ms {back:>6.2f}s", flush=True)


if __name__ == "__main__":
    main()
