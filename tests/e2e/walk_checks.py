"""What must hold on a real walk after each of its steps."""
import json
import os
import sqlite3
import struct
import time

import stack
from stack import SITE, slipway_json
from walk_world import SITES, STRANGER

SOON = 60
# Of slipway.executor.v1.JournalRecord and of its messages.
FENCE, INTENT, RESULT = 1, 2, 3
APP, FENCE_EPOCH, OPERATION_ID, INTENT_EPOCH = 1, 2, 2, 6


class Violation(Exception):
    pass


def soon(look, seconds=SOON):
    """Until `look` returns no complaint."""
    end = time.monotonic() + seconds
    while complaint := look():
        if time.monotonic() > end:
            raise Violation(complaint)
        time.sleep(0.1)


def fields(message):
    """Number and value of each field of a serialized protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, message[at:at + length]
            at += length
        else:
            raise Violation(f"wire type {key & 7} in a journal")


def open_intents(path):
    """Operations that a journal has begun and not ended, and that no higher epoch has ended."""
    with open(path, "rb") as file:
        data = file.read()
    intents, epochs, at = {}, {}, 0
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at)[0]
        for kind, body in fields(data[at + 8:at + 8 + length]):
            if kind not in (FENCE, INTENT, RESULT):
                continue
            record = dict(fields(body))
            if kind == FENCE:
                epochs[record.get(APP)] = record.get(FENCE_EPOCH, 0)
            elif kind == INTENT:
                intents[record[OPERATION_ID]] = (record[APP], record.get(INTENT_EPOCH, 0))
            else:
                intents.pop(record[OPERATION_ID], None)
        at += 8 + length
    return [operation.decode() for operation, (app, epoch) in intents.items() if epoch >= epochs.get(app, 0)]


class Checks:
    """Mixed into Walk, which has `hosts`, `applications` and `cordoned`."""

    def check(self):
        self.settle()
        soon(self.whether_status_is_what_serves)
        soon(self.whether_everything_is_somebodys, seconds=30)
        soon(self.whether_an_intent_is_open, seconds=10)
        soon(self.whether_a_lease_is_left, seconds=10)
        verified = stack.slipway("audit", "verify", cwd="/")
        if verified.returncode != 0:
            raise Violation(f"the history does not verify: {verified.stdout}")

    def status(self):
        answer = slipway_json("status", cwd="/")
        return {one["name"].removeprefix("applications/"): one for one in answer.get("applications", [])}

    def settle(self):
        def look():
            running = [name for name, one in self.status().items() if one.get("running_deployment") or one.get("queued_deployment")]
            return f"a deployment of {running} does not end" if running else ""
        soon(look, seconds=120)

    def whether_status_is_what_serves(self):
        status = self.status()
        for app in self.applications:
            told = {one["host"]: one for one in status[app.name].get("hosts", [])}
            for host in self.hosts:
                if host.name in app.hosts and (complaint := self.compare(app, host, told.get(host.name, {}))):
                    return complaint
        return ""

    def compare(self, app, host, told):
        seen = host.get(app.page)
        wanted = app.serving[host.name]
        commit = told.get("active_commit", "")
        if seen != f"hello from {commit}":
            return f"{app.name} on {host.name}: {seen!r} is answered, and status says {json.dumps(told)}; {wanted} is wanted"
        if wanted and wanted != commit:
            return f"{app.name} on {host.name}: {wanted} ought to serve, and {commit} does: {json.dumps(told)}"
        if (health := host.get(app.page, "/health")) != '{"status":"ok"}':
            return f"{app.name} on {host.name} is not healthy: {health}"
        app.serving[host.name] = commit
        return ""

    def whether_everything_is_somebodys(self):
        status = self.status()
        for host in self.hosts:
            complaint = self.containers_of(host, status) or self.networks_of(host) or self.files_of(host)
            if complaint:
                return f"{host.name}: {complaint}"
        return ""

    def containers_of(self, host, status):
        stranger = None
        seen, ports = {}, {app.page for app in self.applications}
        for one in host.containers():
            labels, name = one["Labels"], one["Names"][0]
            if name == f"/{STRANGER}":
                stranger = one
                continue
            if labels.get("slipway.app") not in SITES:
                return f"{name} is nobody's"
            key = (labels["slipway.app"], labels["slipway.role"], labels.get("slipway.slot", ""), labels["com.docker.compose.service"])
            if labels["slipway.role"] != "hook" and key in seen:
                return f"two containers of {key}"
            seen[key] = one
            ports.update(port["PublicPort"] for port in one["Ports"] if "PublicPort" in port)
            for mount in one["Mounts"]:
                if mount["Type"] == "bind" and not os.path.exists(mount["Source"]):
                    return f"{mount['Source']}, which {name} has mounted, is gone"
        if stranger is None or stranger["State"] != "running":
            return f"a container of another executor does not run any more: {stranger}"
        complaint = self.slots_of(host, status, seen) or self.slot_networks_of(host, seen)
        strange = {port for port in host.listening() - ports if not 18700 <= port < 18700 + 2 * len(SITES) + 2}
        return complaint or (f"somebody listens on {strange}" if strange else "")

    def slots_of(self, host, status, seen):
        for app in self.applications:
            if host.name not in app.hosts:
                continue
            told = next((one for one in status[app.name].get("hosts", []) if one["host"] == host.name), {})
            active = told.get("active_slot", "").removeprefix("SLOT_").lower()
            for (owner, role, slot, service), one in seen.items():
                if owner != app.name or role not in ("slot", "worker", "shared"):
                    continue
                warm = role == "slot" and slot != active
                # A warm slot that somebody has killed is left to the end of its time.
                if warm and one["State"] == "running" and not told.get("warm_release"):
                    return f"{one['Names'][0]} neither serves nor is warm: {json.dumps(told)}"
                if not warm and one["State"] != "running":
                    return f"{one['Names'][0]} ought to run and is {one['State']}"
            for key in ((app.name, "slot", active, "web"), (app.name, "worker", "", "ticker"), (app.name, "shared", "", "store")):
                if key not in seen:
                    return f"there is no container of {key}; status: {json.dumps(told)}"
        return ""

    def slot_networks_of(self, host, seen):
        """A slot's own network goes with its containers."""
        networks = {network["Name"] for network in host.ask_engine("/networks")}
        for app in self.applications:
            for slot in ("blue", "green"):
                if f"{app.name}-{slot}_default" in networks and (app.name, "slot", slot, "web") not in seen:
                    return f"the network of {app.name}'s {slot} is there, and its containers are not"
        return ""

    def networks_of(self, host):
        known = {"bridge", "host", "none"}
        for app in SITES:
            known |= {f"{app}{end}" for end in ("_default", "_front", "-blue_default", "-green_default", "-workers_default",
                                                "-hooks_default", "-jobs_default")}
        networks = {network["Name"] for network in host.ask_engine("/networks")}
        if strange := networks - known:
            return f"the networks {strange} are nobody's"
        volumes = {volume["Name"] for volume in host.ask_engine("/volumes").get("Volumes") or []}
        if strange := volumes - {f"{app}_data" for app in SITES}:
            return f"the volumes {strange} are nobody's"
        return ""

    def files_of(self, host):
        state = f"{host.folder}/state"
        if os.path.exists(f"{state}/contexts") and (left := os.listdir(f"{state}/contexts")):
            return f"build contexts are left over: {left}"
        for app in self.applications:
            releases = set(os.listdir(f"{state}/apps/{app.name}/releases"))
            generated = set(os.listdir(f"{state}/apps/{app.name}/state"))
            if releases != generated:
                return f"files of {releases ^ generated} of {app.name} are left over"
        return ""

    def whether_an_intent_is_open(self):
        for host in self.hosts:
            if intents := open_intents(f"{host.folder}/state/journal"):
                return f"{host.name}: the intents {intents} are open"
        return ""

    def whether_a_lease_is_left(self):
        store = sqlite3.connect(f"file:{SITE}/controller/state.db?mode=ro", uri=True, timeout=30)
        try:
            leases = store.execute("SELECT app, holder FROM leases WHERE holder != ''").fetchall()
        finally:
            store.close()
        return f"leases are left: {leases}" if leases else ""
