#!/usr/bin/env python3
"""The guide's pipeline, as a push starts it: deploy/examples/gifty's workflow, the reusable workflows and the actions, against a real
controller that is reached by ssh:// with the PROD_* secrets, by tls:// with OIDC, and with a token.

workflow_runner.py says what runs as on GitHub and what stands for it: checkout is a copied folder, setup-python the system's Python,
and the releases and GitHub's OIDC provider are a small server on the loopback.
"""
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time

import stack
import yaml
from github_server import ISSUER, REQUEST_TOKEN, GitHubServer
from remote_host import RemoteHost
from stack import CLI, QUICKSTART, SITE, Checks, Daemon, containers, read, run, until, write
from workflow_expressions import Scope, holds
from workflow_runner import Event, Runner, load, triggered

ROOT = os.path.dirname(os.path.realpath(QUICKSTART))
GIFTY = f"{SITE}/gifty"
DOCS = f"{SITE}/docs-site"
ADDRESS = "127.0.77.2"
PORT = 8090
DOCS_PORT = 8091
# Not in this file, which the runner's checkout has too.
CANARY = f"CANARY-{secrets.token_hex(8)}"
AUDIENCE = "https://slipway.example"
DEPLOY = "Deploy"


def commit(name):
    return hashlib.sha1(name.encode()).hexdigest()


def push(name, message="a push"):
    return Event("push", "refs/heads/main", commit(name), message)


def by_hand(*arguments, name="good", **environment):
    """`slipway` as an administrator runs it on the controller's machine, for a commit of main."""
    env = dict(os.environ, GITHUB_SHA=commit(name), GITHUB_REF="refs/heads/main", **environment)
    return subprocess.run([CLI, *arguments], cwd=GIFTY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, env=env)


def history():
    return json.loads(by_hand("history", "--output", "json").stdout).get("deployments", [])


def version(name, **settings):
    write(f"{GIFTY}/app.env", "".join(f"{key}={value}\n" for key, value in {"HELLO_VERSION": name, **settings}.items()))


def serving():
    return stack.get(PORT).removeprefix("hello from ")


def write_gifty():
    """The template as a user copies it, with the names of this machine, and the example's image for its own."""
    shutil.copytree(f"{ROOT}/deploy/examples/gifty", GIFTY)
    text = read(f"{GIFTY}/slipway.yaml")
    for old, new in (("[web-1]", "[local]"), ("/etc/nginx/conf.d", f"{SITE}/nginx/conf.d"), ("timeout: 120s", "timeout: 8s"), ("{path: /health}", "{path: /health, json: {status: ok}}"), ("bake: 5s", "bake: 1s")):
        assert old in text, old
        text = text.replace(old, new)
    write(f"{GIFTY}/slipway.yaml", text)
    shutil.copy(f"{ROOT}/deploy/examples/hello/Dockerfile", GIFTY)
    compose = read(f"{GIFTY}/docker-compose.yml")
    write(f"{GIFTY}/docker-compose.yml", compose.replace("env_file: .env", "env_file: [app.env, .env]"))
    os.remove(f"{SITE}/nginx/sites/hello.conf")
    write(f"{SITE}/nginx/sites/gifty.conf", "server { listen 127.0.0.1:%d; location / { proxy_pass http://gifty_backend; "
          "proxy_http_version 1.1; proxy_set_header Connection \"\"; } }\n" % PORT)


def let_everybody_in():
    """The ways to the controller: its socket for who comes over SSH, one for tokens, and TLS for workflows."""
    write(f"{SITE}/controller.yaml", read(f"{SITE}/controller.yaml") + f"token_socket: {SITE}/tokens.sock\ntls:\n  listen: 127.0.0.1:9781\n"
          "  allow_clients_without_certificate: true\n"
          f"github:\n  audience: {AUDIENCE}\n  issuer: {ISSUER}\n  keys_file: {SITE}/jwks.json\n")
    controller = Daemon("controller")
    controller.stop()
    controller.start()
    until(20, stack.connected, "the controller is back")
    run("chgrp", "1000", f"{SITE}/controller.sock")


def failing_tests_stop_it(check, runner):
    version("v1")
    write(f"{GIFTY}/tests/unit/test_broken.py", "def test_nothing_is_wrong():\n    assert False\n")
    jobs = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("bad"))
    results = {name: job.result for name, job in jobs.items()}
    check(results == {"production": "failure", "production/test": "failure", "production/report": "success", "production/deploy": "skipped"},
          "a failing test stops the deployment", f"{results}\n{jobs['production/test'].log}{jobs['production/report'].log}")
    checks = json.loads(by_hand("check", "list", "--output", "json", name="bad").stdout).get("checks", [])
    check([(each["check"], each.get("passed", False)) for each in checks] == [("tests", False)], "the controller knows that they failed", str(checks))
    direct = by_hand("deploy", name="bad")
    check(direct.returncode == 8 and "tests failed" in direct.stdout and not history(), "and refuses the commit, also to who deploys directly", direct.stdout)
    os.remove(f"{GIFTY}/tests/unit/test_broken.py")


def success_deploys(check, runner):
    jobs = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("good", "fix the cart\n\nand more"))
    deploy = jobs["production/deploy"]
    check({job.result for job in jobs.values()} == {"success"} and serving() == "v1", "tests that pass are followed by a deployment",
          "".join(job.log for job in jobs.values()))
    check("test groups: unit on, integration OFF" in jobs["production/test"].log and "1 passed, 1 deselected" in jobs["production/test"].log,
          "pytest goes by tests_config.yaml", jobs["production/test"].log)
    newest = history()[0]
    check(deploy.outputs == {"deployment": newest["name"].split("/")[-1], "state": "succeeded"} and newest["commit"] == commit("good"),
          "its outputs name the deployment, of the pushed commit", f"{deploy.outputs} {newest}")
    check(newest["description"] == "fix the cart" and deploy.environment["name"] == "production", "with its message and GitHub's environment", str(newest))
    wanted = ("What runs now", f"| local | blue | 8000 | {newest['release'].split('/')[-1]} |", "What changed", "| local | images built | slipway/gifty:", "Timeline", "| health | done |", "Evidence")
    check(all(part in deploy.summary for part in wanted), "the summary says what changed, when, and what runs", deploy.summary)
    check("::group::build" in deploy.log, "the log is in groups", deploy.log)
    environment = run("docker", "inspect", "--format", "{{json .Config.Env}}", *containers("slipway.app=gifty"))
    check(f"SECRET={CANARY}" in environment, "PROD_ENV_FILE is delivered")
    again = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("good", "fix the cart"))["production/deploy"]
    check(again.result == "success" and again.outputs["state"] == "up_to_date" and "Nothing to do" in again.summary, "the same again is no deployment", again.log)


def broken_version_fails_truly(check, runner):
    version("v2", HELLO_BROKEN="1")
    jobs = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("broken"))
    deploy = jobs["production/deploy"]
    check(deploy.codes[DEPLOY] == 3 and deploy.result == "failure" and serving() == "v1", "a version that never gets healthy ends the job with 3", deploy.log)
    check("::error title=health on local::" in deploy.log and "<details open><summary>What health on local saw" in deploy.summary,
          "annotated, and the summary shows what the step saw", deploy.log + deploy.summary)
    check(deploy.outputs["state"] == "failed" and deploy.result == "failure", "the outputs say so too", str(deploy.outputs))


def cancelled_job_cancels_its_deployment(check, runner):
    version("v3", HELLO_READY_AFTER_MS="60000")
    before = len(history())
    runner.cancel_at = r"start +ok"
    deploy = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("slow"))["production/deploy"]
    newest = history()[0]
    check(deploy.result == "cancelled" and newest["state"] == "DEPLOYMENT_STATE_CANCELLED" and len(history()) == before + 1 and serving() == "v1",
          "a cancelled job's deployment is cancelled and undone", deploy.log)
    check(deploy.codes[DEPLOY] == 6 and deploy.outputs == {"deployment": newest["name"].split("/")[-1], "state": "cancelled"},
          "within the runner's patience, and the outputs say so", f"{deploy.codes} {deploy.outputs}")
    runner.cancel_at = r"variables; the next deployment delivers it"
    deploy = runner.run(f"{GIFTY}/.github/workflows/deploy-prod.yml", push("slower"))["production/deploy"]
    check(deploy.result == "cancelled" and len(history()) == before + 1,
          "one that is cancelled before its deployment begins no deployment", deploy.log)
    runner.cancel_at = None


def documented_workflows(name):
    """The workflow of this name in docs/github-actions.md, as a file."""
    for block in re.findall(r"```yaml\n(.*?)```", read(f"{ROOT}/docs/github-actions.md"), re.DOTALL):
        if yaml.safe_load(block)["name"] == name:
            write(f"{SITE}/{name}.yml", block)
            return f"{SITE}/{name}.yml"
    raise AssertionError(name)


def tokens_are_enough(check, runner):
    token = by_hand("token", "create", "ci", "--app", "gifty", "--ref", "refs/heads/main").stdout.splitlines()[0]
    runner.secrets["SLIPWAY_TOKEN"] = token
    runner.variables["SLIPWAY_CONTROLLER"] = f"ssh://deploy@{ADDRESS}:2200{SITE}/tokens.sock"
    version("v4")
    job = runner.run(documented_workflows("deploy-token"), push("token"))["deploy"]
    check(job.result == "success" and serving() == "v4" and f"succeeded {history()[0]['release'].split('/')[-1]}" in job.log,
          "the documented workflow with a token reports its tests and deploys", job.log)
    runner.secrets["SLIPWAY_TOKEN"] = by_hand("token", "create", "ci", "--role", "viewer").stdout.splitlines()[0]
    job = runner.run(documented_workflows("deploy-token"), push("token"))["deploy"]
    check(job.result == "failure" and 8 in job.codes.values() and "::error title=slipway::" in job.log and "Slipway: not done" in job.summary,
          "a token that may not is refused, and the job says so", job.log)
    return [token, runner.secrets["SLIPWAY_TOKEN"]]


def oidc_is_enough(check, runner, server):
    by_hand("trust", "add", "--app", "gifty", "--repository-id", "4711", "--ref", "refs/heads/main", "--environment", "production")
    version("v5")
    keyless = Runner(f"{SITE}/keyless", server.url, "acme/gifty", runner.repositories, {}, {
        "SLIPWAY_CONTROLLER": "tls://127.0.0.1:9781", "SLIPWAY_AUTHORITY": read(f"{SITE}/controller/tls/authority.pem"), "SLIPWAY_AUDIENCE": AUDIENCE})
    refused = keyless.run(documented_workflows("deploy-oidc"), push("good"))["deploy"]
    check(refused.result == "failure" and "id-token: write" in refused.log, "a job without the permission is told so", refused.log)
    keyless.extra = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/oidc?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN}
    job = keyless.run(documented_workflows("deploy-oidc"), push("good"))["deploy"]
    check(job.result == "success" and serving() == "v5", "the documented workflow deploys by OIDC, without any secret", job.log)
    check(len(keyless.masks) == 1, "the token that it got is masked")
    return [*keyless.masks, REQUEST_TOKEN], keyless


def client_is_fetched_once(check, server):
    fetched = [path.split("/")[-1] for path in server.asked if path.startswith(server.release)]
    check(fetched == ["SHA256SUMS", "slipway-linux-amd64"], "the client is the release's, fetched once for all jobs of a machine", str(server.asked))


def wrong_client_is_refused(check, runner):
    """Not the release's bytes, or not a version: nothing of it is run."""
    install = f"{ROOT}/.github/actions/deploy/install"
    environment = {"PATH": "/usr/bin:/bin", "GITHUB_SERVER_URL": runner.server, "SLIPWAY_REPOSITORY": "OWNER/slipway", "SLIPWAY_PROGRAM": "",
                   "RUNNER_TOOL_CACHE": f"{SITE}/other-tools", "GITHUB_OUTPUT": f"{SITE}/outputs", "SLIPWAY_VERSION": "", "SLIPWAY_SHA256": ""}
    for words, changes in (("is not the one with SHA-256", {"SLIPWAY_SHA256": "0" * 64}), ("has no SHA256SUMS", {"SLIPWAY_VERSION": "9.9.9"}),
                           ("is no version", {"SLIPWAY_VERSION": "../../x"}), ("is no program", {"SLIPWAY_PROGRAM": "no-such-client"})):
        done = subprocess.run([install], env={**environment, **changes}, capture_output=True, text=True, check=False)
        left = [name for _, _, names in os.walk(f"{SITE}/other-tools") for name in names if name != "SHA256SUMS"]
        check(done.returncode == 1 and words in done.stdout and not os.path.exists(f"{SITE}/outputs") and not left, f"a client that {words} is refused", done.stdout)


def overhead(check, runner):
    """Seconds outside of the deployment itself, by the action and by the same command alone, over the same way."""
    address = f"ssh://deploy@{ADDRESS}:2200"
    way = dict(SLIPWAY_CONTROLLER=address, SLIPWAY_SSH_KEY=runner.secrets["PROD_SSH_KEY"], SLIPWAY_SSH_FINGERPRINT=runner.variables["PROD_SSH_FINGERPRINT"])
    write(f"{SITE}/timed.yml", json.dumps({"on": {"push": {}}, "jobs": {"deploy": {"runs-on": "x", "steps": [
        {"uses": "actions/checkout@v4", "with": {"persist-credentials": "false"}},
        {"uses": "OWNER/slipway/.github/actions/deploy@v0.1.0", "with": {
            "controller": address, "ssh-key": "${{ secrets.PROD_SSH_KEY }}", "ssh-fingerprint": "${{ vars.PROD_SSH_FINGERPRINT }}",
            "env-file": "${{ secrets.PROD_ENV_FILE }}"}}]}}}))

    def plain():
        done = by_hand("deploy", **way)
        plain.output = done.stdout
        return done.returncode == 0

    def action():
        job = runner.run(f"{SITE}/timed.yml", push("good"))["deploy"]
        action.seconds = job.seconds
        return job.result == "success"

    took = {plain: [], action: []}
    for turn in range(4):
        for way_to in (plain, action):
            version(f"t{turn}{way_to.__name__}")
            start = time.monotonic()
            good = way_to()
            seconds = action.seconds if way_to is action else time.monotonic() - start
            newest = history()[0]
            took[way_to].append(seconds - (instant(newest["end_time"]) - instant(newest["create_time"])))
            if not good or serving() != f"t{turn}{way_to.__name__}":
                return check(False, f"{way_to.__name__} deploys", getattr(way_to, "output", ""))
    # The best of each is what the rest of the machine disturbed least.
    more = min(took[action]) - min(took[plain])
    return check(more <= 2.0, f"the action takes {more:.2f} s more than the command alone (best of {len(took[plain])} each; outside of the deployment "
                 f"itself {min(took[action]):.2f} s and {min(took[plain]):.2f} s)", str(took))


def instant(text):
    whole, _, part = text.rstrip("Z").partition(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{part or 0}")


def write_docs():
    """The template as a user copies it, with the names of this machine, and the server block that it needs."""
    shutil.copytree(f"{ROOT}/deploy/examples/docs", DOCS)
    text = read(f"{DOCS}/slipway.yaml")
    for old, new in (("[web-1]", "[local]"), ("http://127.0.0.1/", f"http://127.0.0.1:{DOCS_PORT}/")):
        assert old in text, old
        text = text.replace(old, new)
    write(f"{DOCS}/slipway.yaml", text)
    write(f"{SITE}/nginx/sites/docs.conf", "server { listen 127.0.0.1:%d; root %s/executor/sites/docs/current; }\n" % (DOCS_PORT, SITE))
    stack.reload_nginx()


def documentation(check, server, way):
    """The guide's branches: who triggers what, that a build check finds errors, and that only what is merged is published."""
    write_docs()
    write(f"{DOCS}/requirements.txt", "# mkdocs is the system's; no registry is asked.\n")
    caller = load(f"{DOCS}/.github/workflows/docs.yml")
    deploys = load(f"{ROOT}/.github/workflows/docs-site.yml")["jobs"]["deploy"]["if"]
    cases = (("push", "documentation", "refs/heads/documentation", True, True), ("push", "documentation/start", "refs/heads/documentation/start", True, False),
             ("pull_request", "documentation", "refs/pull/7/merge", True, False), ("push", "main", "refs/heads/main", False, False),
             ("pull_request", "main", "refs/pull/8/merge", False, False))
    for event, branch, ref, starts, deployed in cases:
        scope = Scope({"github": {"event_name": event, "ref": ref}, "inputs": {"branch": caller["jobs"]["site"]["with"]["branch"]}})
        begun = triggered(caller, event, branch)
        check(begun == starts and (begun and holds(deploys, scope)) == deployed,
              f"a {event.replace('_', ' ')} to {branch} {'deploys' if deployed else 'only builds' if starts else 'does nothing'}")
    runner = Runner(f"{SITE}/docs-runner", server.url, "acme/gifty", {"acme/gifty": DOCS, "OWNER/slipway": ROOT}, *way)
    for event, ref in (("push", "refs/heads/documentation/start"), ("pull_request", "refs/pull/7/merge")):
        jobs = runner.run(f"{DOCS}/.github/workflows/docs.yml", Event(event, ref, commit("docs")))
        results = {name: job.result for name, job in jobs.items()}
        check(results == {"site": "success", "site/build": "success", "site/deploy": "skipped"}, f"the site is built on {ref}, and not deployed",
              str(results) + jobs["site/build"].log)
    published = f"{SITE}/executor/sites/docs/current"
    check(not os.path.lexists(published), "nothing is published by any of them")
    run("mkdocs", "build", "-q", cwd=DOCS)
    run(CLI, "apply", cwd=DOCS)
    for ref in ("refs/heads/documentation/start", "refs/pull/7/merge"):
        # As a job of that ref would that somebody has edited to deploy.
        refused = subprocess.run([CLI, "deploy"], cwd=DOCS, capture_output=True, text=True, check=False, env=dict(os.environ, GITHUB_REF=ref, GITHUB_SHA=commit("docs")))
        check(refused.returncode == 8 and "only checked" in refused.stderr, f"the controller refuses {ref}, whatever a workflow says", refused.stdout + refused.stderr)
    shutil.rmtree(f"{DOCS}/site")
    for name in ("one", "two"):
        write(f"{DOCS}/docs/{name}.md", f"# {name}\n")
        deploy = runner.run(f"{DOCS}/.github/workflows/docs.yml", Event("push", "refs/heads/documentation", commit(name)))["site/deploy"]
        check(deploy.result == "success" and f"<h1 id=\"{name}\">" in stack.get(DOCS_PORT, f"/{name}/"), f"what is merged is published: {name}", deploy.log)
        check("| local | green |" in deploy.summary or "| local | blue |" in deploy.summary, "and the summary says what runs", deploy.summary)
    write(f"{DOCS}/docs/index.md", "[nowhere](nowhere.md)\n")
    jobs = runner.run(f"{DOCS}/.github/workflows/docs.yml", Event("pull_request", "refs/pull/7/merge", commit("docs")))
    check(jobs["site/build"].result == "failure" and "nowhere.md" in jobs["site/build"].log, "a link to nowhere fails the build", jobs["site/build"].log)


def command_lines_are_clean(stop, needles, hits):
    while not stop.is_set():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read()
                hits += [(pid, line[:80]) for needle in needles if needle.encode() in line]
        stop.wait(0.02)


def secrets_are_nowhere(check, needles, logs):
    """Neither in what jobs showed nor in any file that one left, the client's release and Python's folders aside."""
    check(not any(needle in text for needle in needles for text in logs), f"no secret in {len(logs)} logs, summaries and outputs")
    hits = []
    for top in ("runner", "keyless"):
        for folder, _, names in os.walk(f"{SITE}/{top}"):
            for name in names:
                path = f"{folder}/{name}"
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        data = file.read()
                    hits += [path for needle in needles if needle.encode() in data]
    check(not hits, "no secret in any file of the runner", str(hits))


def remove_gifty():
    """Containers, networks and images, by their names and labels alone."""
    for listed, removed in ((["ps", "-aq", "--filter", "label=slipway.app=gifty"], ["rm", "-f"]), (["network", "ls", "-q", "--filter", "name=^gifty"], ["network", "rm"]),
                            (["images", "-q", "slipway/gifty"], ["rmi", "-f"])):
        ids = sorted(set(run("docker", *listed).split()))
        if ids:
            run("docker", *removed, *ids)


def main():
    if shutil.which("debootstrap") is None or shutil.which("mkdocs") is None:
        print("skipped: debootstrap and mkdocs are needed (tests/packages.txt)")
        return 0
    check = Checks()
    host = RemoteHost("pipeline", ADDRESS, f"{SITE}/remote", SITE)
    stop, hits = threading.Event(), []
    with stack.site():
        try:
            write_gifty()
            server = GitHubServer(re.search(r"VERSION ([0-9.]+)", read(f"{ROOT}/CMakeLists.txt").split("project(")[1])[1], commit("good"))
            let_everybody_in()
            host.start()
            # As packages put it.
            host.text("sh", "-c", f"mkdir -p /run/slipway && ln -s {SITE}/controller.sock /run/slipway/controller.sock")
            key = read(host.key)
            way = ({"PROD_SSH_HOST": ADDRESS, "PROD_SSH_PORT": str(host.port), "PROD_SSH_USER": "deploy", "PROD_SSH_KEY": key},
                   {"PROD_SSH_FINGERPRINT": host.fingerprint()})
            runner = Runner(f"{SITE}/runner", server.url, "acme/gifty", {"acme/gifty": GIFTY, "OWNER/slipway": ROOT},
                            dict(way[0], PROD_ENV_FILE=f"SECRET={CANARY}\n"), way[1])
            needles = [CANARY, REQUEST_TOKEN, key.splitlines()[1]]
            search = threading.Thread(target=command_lines_are_clean, args=(stop, needles, hits))
            search.start()
            failing_tests_stop_it(check, runner)
            success_deploys(check, runner)
            client_is_fetched_once(check, server)
            documentation(check, server, way)
            broken_version_fails_truly(check, runner)
            cancelled_job_cancels_its_deployment(check, runner)
            needles += tokens_are_enough(check, runner)
            more, keyless = oidc_is_enough(check, runner, server)
            needles += more
            wrong_client_is_refused(check, runner)
            overhead(check, runner)
            secrets_are_nowhere(check, needles, [*runner.shown, *keyless.shown])
            stop.set()
            search.join()
            check(not hits, "no secret on any command line, all the time", str(hits[:3]))
        except BaseException:
            print(read(f"{SITE}/controller.log")[-3000:])
            raise
        finally:
            stop.set()
            host.stop()
            remove_gifty()
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
