#!/usr/bin/env python3
"""A static site from its build to its rollback: Slipway's own documentation, built by mkdocs, behind real nginx, under load.

Run as stack.py says; mkdocs is needed.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import stack
from stack import SITE, Checks, Daemon, containers, read, slipway, slipway_json, until, write

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 8090
HOST = "docs.example.org"
FOLDER = f"{SITE}/docs"
SERVED = f"{SITE}/executor/sites/docs"


def server_block(root):
    write(f"{SITE}/nginx/sites/docs.conf", f"""server {{
  listen 127.0.0.1:{PORT};
  server_name {HOST};
  root {SERVED}/{root};
  recursive_error_pages on;
  location / {{ error_page 404 = @previous; }}
  location @previous {{ root {SERVED}/previous; error_page 404 = @current; }}
  location @current {{ root {SERVED}/current; }}
}}
""")
    stack.reload_nginx()


def get(path):
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", headers={"Host": HOST})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def mark():
    return get("/slipway-release.txt")[1].split()


class Visitors:
    """Requests on fresh connections while the `with` lasts."""

    def __init__(self, *paths):
        self.paths = paths
        self.sent = 0
        self.failed = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            for path in self.paths:
                self.sent += 1
                try:
                    status, _ = get(path)
                except OSError as error:
                    status = error
                if status != 200:
                    self.failed.append((path, status))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def build(note):
    """The documentation with one page more, built strictly as its pipeline does."""
    sources = f"{FOLDER}/source"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(ROOT / "docs", f"{sources}/docs")
    write(f"{sources}/docs/note.md", f"# Note\n\n{note}\n")
    config = read(ROOT / "deploy/site/mkdocs.yml").replace("../../docs", "docs").replace("site_dir: site", "site_dir: ../site")
    write(f"{sources}/mkdocs.yml", config)
    stack.run("mkdocs", "build", "--strict", "-q", "-f", f"{sources}/mkdocs.yml")
    # An asset that only this build has, as themes with digests in their names do.
    write(f"{FOLDER}/site/assets/app.{note}.css", note)


def docs(*arguments, ref="refs/heads/documentation", stdin=""):
    """`slipway` as a job of that ref runs it."""
    env = dict(os.environ, GITHUB_REF=ref, GITHUB_SHA="c0ffee")
    return subprocess.run([stack.CLI, *arguments], cwd=FOLDER, env=env, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, check=False)


def publish(check):
    spec = read(ROOT / "deploy/site/slipway.yaml").replace("app: slipway-docs", "app: docs").replace("web-1", "local")
    write(f"{FOLDER}/slipway.yaml", spec.replace("http://127.0.0.1/", f"http://127.0.0.1:{PORT}/"))
    unbuilt = docs("apply").returncode, docs("plan")
    check(unbuilt[0] == 0 and unbuilt[1].returncode == 8 and "mkdocs build" in unbuilt[1].stdout,
          "a site that is not built yet is not deployed, and what to do is said", unbuilt[1].stdout)

    build("one")
    # The example's upstream never comes here, and nginx reloads nothing without it.
    os.remove(f"{SITE}/nginx/sites/hello.conf")
    server_block("current")
    plan = docs("plan")
    check(plan.returncode == 0 and "steps: preflight, stage, start, health, switch, prune, confirm" in plan.stdout,
          "plan shows a site's steps", plan.stdout)
    done = docs("deploy", "-m", "the first one")
    check(done.returncode == 0 and "after the link changed" in done.stdout, "the first release is deployed and proven", done.stdout)
    check("one" in get("/note/")[1] and get("/")[0] == 200, "nginx serves it")
    check(mark()[0] == "docs" and mark()[2] == "blue", "and says which", mark())
    check(not containers("slipway.app=docs", stopped=True), "no container has to do with it")
    again = docs("deploy")
    check("nothing to do" in again.stdout, "deploying it again is nothing to do", again.stdout)
    secret = docs("env", "set", "SECRET", stdin="x")
    check(secret.returncode == 8 and "public" in secret.stdout, "a site takes no secrets", secret.stdout)


def switch_under_load(check):
    first = mark()[1]
    build("two")
    with Visitors("/", "/note/", "/install/", "/assets/app.one.css") as visitors:
        done = docs("deploy", "-m", "the second one")
        second = mark()[1]
        began = time.monotonic()
        back = docs("rollback")
        took = time.monotonic() - began
        check(mark()[1] == first, "a rollback serves the first release again", mark())
    forth = docs("deploy", "--force")
    check(done.returncode == 0 and second != first, "the second release is deployed", done.stdout)
    check(back.returncode == 0 and "stage" not in back.stdout, f"back is one step, {took:.2f}s with the command's own start", back.stdout)
    check(forth.returncode == 0 and "two" in get("/note/")[1], "and forth again", forth.stdout)
    check(not visitors.failed, f"of {visitors.sent} requests none failed, for the old assets neither", visitors.failed[:5])
    states = [one["state"] for one in slipway_json("history", cwd=FOLDER)["deployments"]]
    check(states == ["DEPLOYMENT_STATE_SUCCEEDED"] * 4, "the history has all four", states)
    status = slipway("status", "docs", cwd=FOLDER).stdout
    check(second in status, "status shows what serves", status)


def refs_decide(check):
    build("draft")
    for ref in ("refs/heads/documentation/typo", "refs/pull/7/merge"):
        check(docs("plan", ref=ref).returncode == 0, f"{ref} may plan")
        refused = docs("deploy", ref=ref)
        check(refused.returncode == 8 and "only checked" in refused.stdout, f"{ref} may not deploy", refused.stdout)
    refused = docs("deploy", ref="refs/heads/main")
    check(refused.returncode == 8 and "not among" in refused.stdout, "neither may main", refused.stdout)
    check("draft" not in get("/note/")[1], "nothing of it was published")


def failures(check):
    served = mark()
    shutil.rmtree(f"{FOLDER}/site")
    write(f"{FOLDER}/site/page.html", "no index")
    done = docs("deploy")
    check(done.returncode == 3 and "has no index.html" in done.stdout, "a build without an index is not published", done.stdout)
    check(mark() == served, "and what served goes on")

    # Somebody mends the server block and breaks it: it names one copy in place of the link.
    build("three")
    server_block(served[2])
    done = docs("deploy")
    check(done.returncode == 3 and "the server block must say `root" in done.stdout,
          "a server block that does not follow the link is found out", done.stdout)
    check(os.readlink(f"{SERVED}/current") == served[2] and mark() == served, "the link is back")
    server_block("current")
    done = docs("deploy")
    check(done.returncode == 0 and "three" in get("/note/")[1], "with the block mended it is deployed", done.stdout)


def crashes(check):
    executor, controller = Daemon("executor"), Daemon("controller")
    for number, point in enumerate(("executor.start.acted", "executor.switch.linked", "executor.switch.proven",
                                    "executor.switch.recorded", "executor.retire.acted")):
        build(f"crash{number}")
        executor.stop()
        executor.start(point)
        until(20, stack.connected, "the executor is connected")
        with Visitors("/", "/note/") as visitors:
            deploying = threading.Thread(target=lambda: results.append(docs("deploy")))
            results = []
            deploying.start()
            until(60, lambda: not executor.alive(), f"the executor dies at {point}")
            executor.start()
            deploying.join()
        check(results[0].returncode == 0 and f"crash{number}" in get("/note/")[1], f"killed at {point}, it is finished", results[0].stdout)
        check(not visitors.failed, f"of {visitors.sent} requests none failed", visitors.failed[:5])

    served = mark()
    controller.stop()
    program = f"{stack.BUILD}/executor/slipway-executor"
    back = subprocess.run([program, "rollback", "docs", "--config", f"{SITE}/executor.yaml"], capture_output=True, text=True, check=False)
    check(back.returncode == 0 and mark()[2] != served[2] and "crash3" in get("/note/")[1],
          "with the controller down the host itself goes back", back.stdout + back.stderr)
    controller.start()
    until(20, stack.connected, "the controller is back")
    until(20, lambda: len(slipway_json("history", "-n", "1", cwd=FOLDER)["deployments"]) == 1
          and "ROLLBACK" in slipway_json("history", "-n", "1", cwd=FOLDER)["deployments"][0].get("kind", ""), "the history has it")
    kept = os.listdir(f"{SITE}/executor/apps/docs/releases")
    check(len(kept) <= 5, f"{len(kept)} releases are kept on the host", kept)
    check(sorted(os.listdir(SERVED)) == ["blue", "current", "green", "previous"], "and two copies, nothing else", os.listdir(SERVED))


def main():
    check = Checks()
    with stack.site():
        publish(check)
        switch_under_load(check)
        refs_decide(check)
        failures(check)
        crashes(check)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
