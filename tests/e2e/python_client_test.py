#!/usr/bin/env python3
"""The Python client against a real controller: over its socket, by token, by tls:// with a certificate and with a token.

Run by an interpreter that has grpcio; SLIPWAY_PYTHON_CLIENT is the folder of the package with its stubs.
"""
import datetime
import os
import pathlib
import sys

import stack
from stack import APP, SITE, Daemon, run, slipway

sys.path.insert(0, os.environ["SLIPWAY_PYTHON_CLIENT"])
# pylint: disable=wrong-import-position
import grpc  # noqa: E402
from slipway import Client, DeploymentFailed, SlipwayError, TlsFiles, state_of  # noqa: E402
from slipway.v1 import access_pb2, deployments_pb2  # noqa: E402


def version(name, **settings):
    stack.write(f"{APP}/app.env", "".join(f"{key}={value}\n" for key, value in {"HELLO_VERSION": name, **settings}.items()))


def refused(call, kind=SlipwayError):
    try:
        call()
    except kind as error:
        return error
    return None


def over_the_socket(check, client):
    me = client.whoami()
    check(me.role == access_pb2.ROLE_OPERATOR and me.name.endswith(", says pytester"), "whoami", str(me))
    check([one.spec.app for one in client.applications()] == ["hello"] and [host.connected for host in client.hosts()] == [True],
          "lists of applications and hosts")
    version("p1")
    os.makedirs(f"{APP}/static/deep", exist_ok=True)
    with open(f"{APP}/static/deep/large", "wb") as file:
        file.write(os.urandom(1_000_000))
    stack.write(f"{APP}/static/empty", "")
    stack.write(f"{APP}/static/skipped", "no")
    stack.write(f"{APP}/.slipwayignore", "/static/skip*\n")
    stack.write(f"{APP}/run.sh", "#!/bin/sh\n")
    os.chmod(f"{APP}/run.sh", 0o755)
    os.symlink("deep/large", f"{APP}/static/link")
    steps = []
    committed = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    done = client.deploy("hello", APP, commit="p1", commit_time=committed, message="from Python",
                         on_event=lambda event: steps.append(event.step.name) if event.HasField("step") else None)
    check(state_of(done) == "succeeded" and stack.get(8080) == "hello from p1" and done.description == "from Python"
          and "switch" in steps, "a deployment, watched", str(steps))
    check('slipway_deployment_lead_time_seconds_count{app="hello"} 1' in stack.get(9780, "/metrics"), "with its lead time")
    check(client.deploy("hello", APP, commit="p1") is None, "the same again is nothing to do")
    sent = slipway("plan", "--commit", "p1").stdout.splitlines()[0]
    check(sent.split(", ")[1].startswith("0 sent"), "the command names the same tree by the same digest", sent)
    version("p2", HELLO_BROKEN=1)
    failed = refused(lambda: client.deploy("hello", APP, commit="p2"), DeploymentFailed)
    check(failed is not None and failed.state == "failed" and stack.get(8080) == "hello from p1", "one that never gets healthy", str(failed))
    version("p3")
    client.deploy("hello", APP, commit="p3")
    back = client.rollback("hello")
    check(back.kind == deployments_pb2.DEPLOYMENT_KIND_ROLLBACK and stack.get(8080) == "hello from p1", "rollback", str(back))
    check([one.commit for one in client.deployments("hello")][:4] == ["p1", "p3", "p2", "p1"], "deployments, newest first")
    check(client.set_environment("hello", b"GREETING='a $b'\n") == ["GREETING"], "the environment")
    os.symlink("/etc/passwd", f"{APP}/static/out")
    leaves = refused(lambda: client.deploy("hello", APP), SlipwayError)
    check(leaves is not None and leaves.reason == "INVALID_RELEASE" and "static/out" in leaves.message, "a link that leaves the release", str(leaves))
    os.remove(f"{APP}/static/out")
    os.mkfifo(f"{APP}/static/pipe")
    pipe = refused(lambda: client.deploy("hello", APP), ValueError)
    check(pipe is not None and "static/pipe" in str(pipe), "what a release cannot hold is named", str(pipe))
    os.remove(f"{APP}/static/pipe")


def watching_goes_on(check, client, controller):
    """The controller is killed in the middle and started again: no event is lost, none comes twice."""
    version("p4")
    begun = client.deploy("hello", APP, commit="p4", wait=False)
    seen = []
    for event in client.watch(begun.name):
        seen.append(event.sequence)
        if event.HasField("step") and event.step.name == "start" and controller is not None:
            controller.kill()
            controller.start()
            controller = None
    check(controller is None and seen == list(range(1, len(seen) + 1)) and stack.get(8080) == "hello from p4",
          "a watch over the controller's death", str(seen))


def a_site(check, client):
    """Only what its root holds is published."""
    folder = f"{SITE}/pages"
    stack.write(f"{folder}/slipway.yaml", "app: pages\nhosts: [local]\nsite: {front_door: {url: \"http://127.0.0.1:8090/\"}}\n")
    stack.write(f"{folder}/.slipwayignore", "*.draft\n")
    stack.write(f"{folder}/source.md", "not published")
    stack.write(f"{folder}/site/next.draft", "not published either")
    stack.write(f"{folder}/site/index.html", "published")
    published = f"{SITE}/executor/sites/pages/current"
    stack.write(f"{SITE}/nginx/sites/pages.conf", f"server {{ listen 127.0.0.1:8090; root {published}; }}\n")
    stack.reload_nginx()
    run(stack.CLI, "apply", cwd=folder)
    done = client.deploy("pages", folder, commit="s1")
    check(done.state == deployments_pb2.DEPLOYMENT_STATE_SUCCEEDED and stack.get(8090) == "published"
          and sorted(os.listdir(published)) == ["index.html", "slipway-release.txt"], "a site", str(done))


def by_token_and_tls(check):
    token = slipway("token", "create", "py", "--app", "hello").stdout.splitlines()[0]
    viewer = slipway("token", "create", "eye", "--role", "viewer").stdout.splitlines()[0]
    folder = pathlib.Path(SITE) / "pki"
    run(stack.CLI, "certificate", "create", "ann", "--folder", str(folder), cwd="/")
    authority = TlsFiles(folder / "authority.pem")
    ann = TlsFiles(folder / "authority.pem", folder / "ann.pem", folder / "ann.key")
    os.environ.update(SLIPWAY_CONTROLLER=f"unix://{SITE}/token.sock", SLIPWAY_TOKEN=token)
    with Client.from_env() as client:
        version("p5")
        done = client.deploy("hello", APP, commit="p5")
        check(done.actor == "token:py" and stack.get(8080) == "hello from p5", "from_env with a token", str(done.actor))
        client.report_check("hello", "tests", commit="p5", passed=True)
    with Client(f"unix://{SITE}/token.sock", token=viewer) as client:
        error = refused(lambda: client.deploy("hello", APP))
        check(error is not None and error.reason == "ROLE_TOO_LOW" and error.code == grpc.StatusCode.PERMISSION_DENIED and error.cure != "",
              "a viewer does not deploy", str(error))
    with Client(f"unix://{SITE}/token.sock") as client:
        error = refused(client.whoami)
        check(error is not None and error.reason == "NO_IDENTITY", "nobody is nobody", str(error))
    with Client("tls://127.0.0.1:9785", tls=ann) as client:
        check(client.whoami().name == "certificate:ann", "tls:// with a certificate")
    with Client("tls://localhost:9785", tls=authority, token=token) as client:
        check(client.whoami().name == "token:py", "tls:// with a token")
    strangers = folder / "stranger.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
        "-subj", "/CN=stranger", "-out", str(strangers))
    with Client("tls://127.0.0.1:9785", tls=TlsFiles(strangers), token=token) as client:
        error = refused(client.whoami)
        check(error is not None and error.code == grpc.StatusCode.UNAVAILABLE, "an authority that is not the controller's", str(error))
    for address in ("unix://relative", "tls://", "http://127.0.0.1", "tls://a b"):
        check(refused(lambda where=address: Client(where, tls=authority), ValueError) is not None, f"{address} is no address")


def main():
    check = stack.Checks()
    with stack.site("up", SLIPWAY_COMPOSE=list(stack.composes().values())[-1]):
        path = f"{APP}/slipway.yaml"
        stack.write(path, stack.read(path).replace("bake: 2s", "bake: 200ms"))
        config = f"{SITE}/controller.yaml"
        stack.write(config, stack.read(config) + f"token_socket: {SITE}/token.sock\n"
                    "tls: {listen: 127.0.0.1:9785, allow_clients_without_certificate: true}\n")
        controller = Daemon("controller")
        controller.stop()
        controller.start()
        stack.until(20, stack.connected, "the executor is connected")
        run(stack.CLI, "apply", cwd=APP)
        with Client(f"unix://{SITE}/controller.sock", actor="pytester") as client:
            over_the_socket(check, client)
            a_site(check, client)
            watching_goes_on(check, client, controller)
        by_token_and_tls(check)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
