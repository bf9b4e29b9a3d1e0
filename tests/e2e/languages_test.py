#!/usr/bin/env python3
"""Clients of other languages, by libraries that are not ours, read the controller's errors as we mean them."""
import json
import os
import pathlib
import re
import shutil
import socket
import sys
import threading

SOURCES = pathlib.Path(__file__).resolve().parent / "languages"
PROTOS = SOURCES.parents[2] / "proto"
sys.path.insert(0, os.environ["SLIPWAY_PYTHON_CLIENT"])

import lone_controller  # noqa: E402
import slipway  # noqa: E402
from slipway.v1 import access_pb2, applications_pb2, deployments_pb2  # noqa: E402

run = lone_controller.run
JAVA_ARCHIVES = ":".join(
    f"/usr/share/java/{name}.jar" for name in (
        "grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-protobuf", "grpc-protobuf-lite", "grpc-stub", "guava",
        "netty-buffer", "netty-codec", "netty-codec-http", "netty-codec-http2", "netty-common",
        "netty-handler", "netty-resolver", "netty-transport", "netty-transport-native-unix-common", "perfmark-api",
        "proto-google-common-protos", "protobuf"))


class Relay:
    """A TCP port that leads to a unix socket, for the one library that speaks TCP only."""

    def __init__(self, path):
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near = self._listener.accept()[0]
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The other side has gone.


def requests():
    """(socket, method, request, what every language is to read)"""
    apply = applications_pb2.ApplyApplicationRequest()
    apply.spec.app = "gifty"
    apply.spec.hosts.append("web-1")
    apply.spec.compose.slotted.append("api")
    apply.spec.slots.blue = apply.spec.slots.green = 8000
    apply.spec.health.http.path = "/health"
    apply.spec.nginx.upstream = "gifty_backend"
    back = deployments_pb2.RollbackApplicationRequest(name="applications/gifty")
    return [
        ("token.sock", "/slipway.v1.AccessService/GetIdentity", access_pb2.GetIdentityRequest(),
         {"code": 16, "reason": "NO_IDENTITY", "fields": [], "violations": 0}),
        ("controller.sock", "/slipway.v1.ApplicationService/ApplyApplication", apply,
         {"code": 3, "reason": "INVALID_SPEC", "fields": ["slots"], "violations": 0}),
        ("controller.sock", "/slipway.v1.DeploymentService/RollbackApplication", back,
         {"code": 9, "reason": "NO_PREVIOUS_RELEASE", "fields": [], "violations": 1}),
    ]


def node(folder):
    shutil.copytree(SOURCES / "node", folder / "node")
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder / "node")
    return lambda path, *words: run("node", "client.js", f"unix:{path}", *words, cwd=folder / "node")


def go(folder):
    program = str(folder / "go-client")
    environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOCACHE=str(folder / "go-cache"), GOFLAGS="")
    run("go", "build", "-o", program, str(SOURCES / "go" / "client.go"), env=environment)
    return lambda path, *words: run(program, f"unix://{path}", *words)


def java(folder):
    classes = folder / "java"
    (classes / "generated").mkdir(parents=True)
    run("protoc", "-I", PROTOS, f"--java_out={classes}/generated", "google/rpc/error_details.proto")
    generated = next((classes / "generated").rglob("*.java"))
    run("javac", "-cp", JAVA_ARCHIVES, "-d", str(classes), str(generated), str(SOURCES / "java" / "Client.java"))
    relays = {}

    def call(path, *words):
        relay = relays.setdefault(path, Relay(path))
        return run("java", "-cp", f"{classes}:{JAVA_ARCHIVES}", "Client", "127.0.0.1", str(relay.port), *words)
    return call


def ruby(_):
    return lambda path, *words: run("ruby", str(SOURCES / "client.rb"), f"unix:{path}", *words)


def ours(path):
    """The Python client's own reading of the first two."""
    read = []
    with slipway.Client(f"unix://{path}/token.sock") as client:
        try:
            client.whoami()
        except slipway.SlipwayError as error:
            read.append((error.reason, bool(error.cure)))
    with slipway.Client(f"unix://{path}/controller.sock") as client:
        try:
            client.rollback("gifty")
        except slipway.SlipwayError as error:
            read.append((error.reason, error.subject))
    return read


def check_one(language, call, folder):
    """What is wrong with its reading; empty when nothing is."""
    problems = []
    seen = []
    for name, method, request, expected in requests():
        out = json.loads(call(f"{folder}/{name}", method, request.SerializeToString().hex()))
        seen.append(out)
        facts = {"code": out["code"], "reason": out["reason"], "fields": [field for field, _ in out["fields"]],
                 "violations": len(out["violations"])}
        if facts != expected:
            problems.append(f"{language}: {method}: expected {expected}, read {out}")
        if out["domain"] != "slipway" or not out["message"]:
            problems.append(f"{language}: {method}: domain or message missing in {out}")
    if not seen[0]["metadata"].get("cure"):
        problems.append(f"{language}: no cure in {seen[0]}")
    if seen[2]["metadata"].get("subject") != "applications/gifty" or seen[2]["violations"][0][1] != "applications/gifty":
        problems.append(f"{language}: no subject in {seen[2]}")
    return problems, seen


def main():
    with lone_controller.controller() as folder:
        problems, readings = [], {}
        for make in (node, go, java, ruby):
            found, readings[make.__name__] = check_one(make.__name__, make(folder), folder)
            problems += found
            print(f"{make.__name__}: {'reads them all' if not found else 'FAILED'}", flush=True)
        if len({json.dumps(reading, sort_keys=True) for reading in readings.values()}) != 1:
            problems.append(f"the languages do not read the same: {json.dumps(readings, indent=1)}")
        own = ours(folder)
        if own != [("NO_IDENTITY", True), ("NO_PREVIOUS_RELEASE", "applications/gifty")]:
            problems.append(f"our Python client reads {own}")
    for problem in problems:
        print(problem, file=sys.stderr)
    good = 4 - len({re.match(r"\w+", problem)[0] for problem in problems} & {"node", "go", "java", "ruby"})
    print(f"{good} of 4 languages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
