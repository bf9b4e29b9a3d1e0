#!/usr/bin/env python3
"""What goes wrong on a real host, under one load from the first deployment to the last; no request may fail.

A listen port that somebody stole, so that nginx refuses a reload without saying so; another site's broken file; foreign
reloads during the switch; a version whose health flaps; a cancelled deployment; what somebody changed by hand; the controller down; readers that never read;
nginx mode marker, which may not even close an idle connection.
"""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import stack
from stack import APP, BUILD, CLI, SITE, Daemon, run, slipway, slipway_json

FAILED_BEFORE, CANCELLED = 3, 6


def version(name, **settings):
    lines = [f"HELLO_VERSION={name}", *(f"{key}={value}" for key, value in settings.items())]
    stack.write(f"{APP}/app.env", "\n".join(lines) + "\n")


def deploy(name, **settings):
    version(name, **settings)
    return slipway("deploy", "--commit", name)


def serving():
    return stack.get(8080).removeprefix("hello from ")


def deploys(check, name, what):
    done = deploy(name)
    check(done.returncode == 0 and serving() == name, what, done.stdout)
    return done.stdout


def refuses(check, name, what, *words, **settings):
    """The deployment fails before the switch, says these words, and what served goes on serving."""
    before = serving()
    done = deploy(name, **settings)
    check(done.returncode == FAILED_BEFORE and serving() == before and all(word in done.stdout for word in words), what, done.stdout)


def same_commit_twice(check):
    deploy("v1")
    done = deploy("v1")
    check(done.returncode == 0 and "nothing to do" in done.stdout, "the same commit twice is nothing to do, and says so", done.stdout)


def stolen_port(check):
    """nginx -t and -s reload say yes, and nginx keeps its old configuration, for it cannot bind."""
    site = f"{SITE}/nginx/sites/stolen.conf"
    before = stack.read(f"{SITE}/nginx/conf.d/hello_upstream.conf")
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 8089))
        thief.listen()
        stack.write(site, "server { listen 127.0.0.1:8089; return 204; }\n")
        done = deploy("stolen")
        check(done.returncode in (3, 4) and serving() == "v1", "a reload that nginx refuses in silence is noticed", done.stdout)
        check("8089" in done.stdout, "and the stolen address is named", done.stdout)
        check(stack.read(f"{SITE}/nginx/conf.d/hello_upstream.conf").splitlines()[-1:] == before.splitlines()[-1:]
              and slipway_json("status", "hello")["applications"][0]["hosts"][0]["active_commit"] == "v1",
              "the file and the status say what serves")
    os.remove(site)
    deploys(check, "v2", "with the port back it goes on")


def broken_foreign_file(check):
    site = f"{SITE}/nginx/sites/another.conf"
    stack.write(site, "server {\n  listen 127.0.0.1:8090;\n  no_such_directive on;\n}\n")
    refuses(check, "foreign", "another site's broken file stops it before anything is built", "another.conf:3")
    os.remove(site)


def foreign_reloads(check):
    stop = threading.Event()

    def reload_often():
        while not stop.wait(0.15):
            stack.reload_nginx()

    thread = threading.Thread(target=reload_often)
    thread.start()
    try:
        deploys(check, "v3", "somebody else reloads nginx all the time")
    finally:
        stop.set()
        thread.join()


def flapping_health(check):
    refuses(check, "flapping", "health that flaps is no health", "503", HELLO_FLAPPING=1)


def dies_while_starting(check):
    start = time.monotonic()
    refuses(check, "dying", "a container that dies ends the gate", "ended", "exit code 7", HELLO_EXIT_AFTER_MS=300, HELLO_READY_AFTER_MS=60000)
    print(f"   after {time.monotonic() - start:.1f}s")


def cancelled(check):
    version("slow", HELLO_READY_AFTER_MS=60000)
    with subprocess.Popen([CLI, "deploy", "--commit", "slow"], cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        for line in child.stdout:
            if line.split()[1:3] == ["start", "ok"]:
                break
        done = slipway("cancel")
        rest = child.stdout.read()
    check(done.returncode == 0 and child.returncode == CANCELLED and serving() == "v3", "cancel", done.stdout + rest)
    check(len(stack.containers("slipway.app=hello", "com.docker.compose.service=web")) <= 2, "and the candidate is gone")


def followed_logs(check):
    with subprocess.Popen([CLI, "logs", "-f", "--service", "ticker"], cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as child:
        line = child.stdout.readline()
        child.send_signal(signal.SIGINT)
    check("worker v3" in line, "logs -f", line)


def deaf_readers(check):
    """Readers of containers' output and of the deployment that take nothing: stopped as soon as they have begun."""
    path = f"{APP}/slipway.yaml"
    quiet = stack.read(path)
    stack.write(path, quiet + "hooks:\n  before_switch:\n    - {name: talk, service: web, command: [migrate]}\n")
    deaf = []

    def begin(*arguments):
        reader = subprocess.Popen([CLI, *arguments], cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deaf.append(reader)
        reader.stdout.readline()
        reader.send_signal(signal.SIGSTOP)

    try:
        version("talk1", HELLO_LOG_LINES=20000)
        done = slipway("deploy", "--commit", "talk1", "--verbose")
        check(done.returncode == 0 and 1900 < done.stdout.count("." * 200) < 2000 and "further lines are left out" in done.stdout,
              "four megabytes of output, of which the deployment keeps 2,000 lines and says so", done.stdout[-2000:])
        for _ in range(10):
            begin("logs", "-f", "--tail", "100000")
        version("talk2", HELLO_LOG_LINES=20000)
        with subprocess.Popen([CLI, "deploy", "--commit", "talk2"], cwd=APP, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as child:
            stack.until(20, lambda: slipway("history").stdout.splitlines()[1].split()[4] == "talk2", "the deployment has begun")
            for _ in range(10):
                begin("watch")
            times = []
            while child.poll() is None:
                start = time.monotonic()
                run(CLI, "status", cwd=APP, timeout=60)
                times.append(time.monotonic() - start)
        check(child.returncode == 0 and serving() == "talk2", f"20 readers that read nothing; the slowest status of {len(times)}: {max(times):.2f}s")
    finally:
        stack.write(path, quiet)
        for reader in deaf:
            reader.kill()
            reader.wait()
            reader.stdout.close()


def drifts(check):
    """A worker that somebody stopped, an image that was tagged anew, an upstream file that was edited so that nginx refuses it."""
    check(slipway("drift").returncode == 0, "nothing differs")
    run("docker", "stop", *stack.containers("com.docker.compose.service=ticker"))
    base = run("docker", "inspect", "-f", "{{.Image}}", *stack.containers("com.docker.compose.service=store")).strip()
    other = run("docker", "inspect", "-f", "{{.Image}}", *stack.containers("com.docker.compose.service=web")).split()[0]
    run("docker", "tag", other, "hello-base:1")
    path = f"{SITE}/nginx/conf.d/hello_upstream.conf"
    stack.write(path, stack.read(path).replace("server ", "serve ", 1))
    seen = slipway("drift")
    check(seen.returncode == 1 and all(word in seen.stdout for word in ("ticker: does not run", "hello_upstream.conf: was edited", "hello-base:1 is")),
          "drift names the worker, the image and the file", seen.stdout)
    # The host tells its controller of it by itself.
    stack.until(10, lambda: "drifted" in slipway("status", "hello").stdout, "status says so")
    run("docker", "tag", base, "hello-base:1")
    before = serving()
    done = slipway("reconcile")
    check(done.returncode == 0 and serving() == before, "reconciled", done.stdout)
    seen = slipway("drift")
    check(seen.returncode == 0, "and nothing differs any more", seen.stdout)


def controller_down(check):
    controller = Daemon("controller")
    controller.stop()
    try:
        executor = [f"{BUILD}/executor/slipway-executor", "--config", f"{SITE}/executor.yaml"]
        told = run(*executor, "status", "hello")
        check("v3" in told, "slipway-executor status with the controller down", told)
        told = run(*executor, "rollback", "hello")
        check(serving() == "v2", "slipway-executor rollback with the controller down", told)
    finally:
        controller.start()
    stack.until(20, stack.connected, "the executor is connected")
    stack.until(20, lambda: "slipway-executor" in slipway("history").stdout, "the controller hears of it")
    newest = slipway("history").stdout.splitlines()[1].split()
    seen = slipway_json("status", "hello")["applications"][0]["hosts"][0]
    check(newest[1:3] == ["rollback", "succeeded"] and newest[4] == "v2" and seen["active_commit"] == "v2",
          "the controller's history and status have it", newest)
    deploys(check, "v4", "and the next deployment goes on from there")


def move_to_marker(check):
    """First the site, then the mode; each while it serves."""
    site, marker = f"{SITE}/nginx/sites/hello.conf", f"{SITE}/executor/markers/hello"
    stack.write(site, stack.read(site).replace(
        "proxy_pass http://hello_backend;",
        # nginx closes a connection after 1000 requests by itself.
        f"keepalive_requests 10000000; set $slot blue; if (-f {marker}) {{ set $slot green; }} proxy_pass http://hello_backend_$slot;"))
    stack.reload_nginx()
    deploys(check, "v5", "a site that is ready for mode marker, still in mode reload")
    path = f"{APP}/slipway.yaml"
    stack.write(path, stack.read(path).replace("nginx:\n", "nginx:\n  mode: marker\n"))
    deploys(check, "v6", "the first deployment in mode marker")


def marker(check):
    """No reload any more, so that not even an idle connection is closed."""
    with stack.Load() as load:
        for name in ("m1", "m2", "m3"):
            deploys(check, name, f"{name} in mode marker")
        done = slipway("rollback")
        check(done.returncode == 0 and serving() == "m2", "rollback in mode marker", done.stdout)
    check(load.failed == load.closed == load.raced == 0, f"{load.requests} requests, {load.failed} failed, {load.closed} idle connections closed", load.table)


def main():
    check = stack.Checks()
    with stack.site("up", SLIPWAY_COMPOSE=list(stack.composes().values())[-1]):
        path = f"{APP}/slipway.yaml"
        stack.write(path, stack.read(path).replace("bake: 2s", "bake: 500ms"))
        with stack.Load() as load:
            for fault in (same_commit_twice, stolen_port, broken_foreign_file, foreign_reloads, flapping_health,
                          dies_while_starting, cancelled, followed_logs, drifts, controller_down, move_to_marker, deaf_readers):
                fault(check)
        check(load.failed == 0, f"{load.requests} requests, {load.failed} failed", load.table)
        marker(check)
        done = slipway("doctor")
        check(done.returncode == 0, "doctor finds nothing wrong", done.stdout)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
