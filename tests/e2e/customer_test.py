#!/usr/bin/env python3
"""The first customer's whole application, from the day on which a script deployed it, with the packaged executor: a plain user in its
unit's sandbox, who removes what containers wrote as root by sudo alone.

Its image has a user of its own, reads `.env` out of the bound source when it starts and waits for the database; worker and beat
write `__pycache__` into it as root; prometheus, loki and promtail bind files of the repository; the site behind the host's nginx is
under load all the time. The Engine is the machine's, so /var/lib/slipway and the checkout lie where it sees them.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import packages_test
import stack
from packages_test import MADE, NAMES, Host, said
from remote_host import TREE
from stack import APP, BUILD, QUICKSTART, SITE, Checks, run, until, write

DATA = f"{os.path.dirname(os.path.realpath(__file__))}/../data/customer"
# As the server has it, and as the pipeline checks it out.
INSTALLED = "/srv/slipway-e2e/survey-backend"
CHECKOUT = f"{SITE}/survey-backend"
STATE = "/var/lib/slipway"
PORT = 8096
ADDRESS = "127.0.79.1"
OLD = "survey-backend"
PYTHON_USER = 1000
BUILT = ("api", "worker", "beat", "exporter")
SHARED = ("postgres", "prometheus", "loki", "promtail", "exporter")
IMAGES = tuple(f"survey-test/{name}:1" for name in ("base", "postgres", "prometheus", "loki", "promtail"))
ENV_FILE = "SECRET_KEY=s3cret-5b1f\nPOSTGRES_PASSWORD='a$b#c'\n"
VHOST = """include /etc/nginx/conf.d/survey_upstream.conf;

map $http_upgrade $survey_connection { default upgrade; '' ''; }

server {
  listen 127.0.0.1:%d;
  client_max_body_size 20m;
  location / {
    proxy_pass http://survey_backend;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $survey_connection;
    proxy_buffering off;
  }
}
"""


class CustomerHost(Host):
    mounts = (STATE, INSTALLED)

    def slipway(self, *arguments, user="root", stdin=None, **environment):
        words = [f"{name}={value}" for name, value in environment.items()]
        return self.inside("env", "-C", CHECKOUT, *words, "runuser", "-u", user, "--", "slipway", *arguments, stdin=stdin)

    def as_printed(self, text):
        """A command line that was printed, in a shell, where the pipeline would run it."""
        return self.inside("env", "-C", CHECKOUT, "sh", "-c", text)


class Totals:
    """The load of all parts of the test together."""

    def __init__(self):
        self.requests = self.failed = 0

    def add(self, check, load, what):
        self.requests += load.requests
        self.failed += load.failed
        check(load.failed == 0, f"{what}: {load.requests} requests, {load.failed} failed", load.table)


def build_images():
    base = f"{SITE}/survey-base"
    shutil.copytree(f"{DATA}/base", base)
    shutil.copy("/bin/busybox", base)
    shutil.copy(f"{BUILD}/deploy/hello", base)
    run("docker", "build", "-q", "-t", IMAGES[0], base, env=dict(os.environ, DOCKER_BUILDKIT="0"))
    for image in IMAGES[1:]:
        run("docker", "tag", IMAGES[0], image)


def write_version(version, folder=CHECKOUT, **files):
    """The source as it is checked out: one file differs, and those that are named."""
    shutil.copytree(f"{DATA}/app", folder, dirs_exist_ok=True)
    write(f"{folder}/VERSION", version + "\n")
    for name, text in files.items():
        write(f"{folder}/{FILES[name]}", text + "\n")


FILES = {"loki": "deploy/monitoring/loki-config.yml", "prometheus": "deploy/monitoring/prometheus.yml", "exporter": "deploy/exporter/queries"}


def install_by_hand(host):
    """The guide's server: its checkout, its permissions, its vhost, its script."""
    write_version("v0", INSTALLED)
    write(f"{INSTALLED}/.env", ENV_FILE)
    os.chmod(f"{INSTALLED}/.env", 0o600)
    run("chown", "-R", f"{PYTHON_USER}:{PYTHON_USER}", INSTALLED)
    host.text("sed", "-i", "/include .etc.nginx.conf.d/d", "/etc/nginx/nginx.conf")
    write(f"{SITE}/vhost", VHOST % PORT)
    host.text("cp", f"{SITE}/vhost", "/etc/nginx/sites-enabled/survey")
    host.text("sh", f"{INSTALLED}/scripts/deploy.sh")
    until(30, lambda: stack.answers(PORT, "hello from v0"), "the version of the script serves")


def containers(*labels):
    return stack.containers(*labels)


def installed(service):
    """The container of the project that was taken over."""
    found = containers(f"com.docker.compose.project={OLD}", f"com.docker.compose.service={service}")
    return found[0] if len(found) == 1 else None


def worker(service):
    found = containers("com.docker.compose.project=survey-workers", f"com.docker.compose.service={service}")
    assert len(found) == 1, f"{service}: {found}"
    return found[0]


def output(container, *argv):
    return subprocess.run(["docker", "exec", container, *argv], capture_output=True, text=True, check=False).stdout.strip()


def who_answers(container):
    """Whoever answers to the API's name there, every address of it."""
    return sorted(output(container, "ask", "api", "8000").splitlines())


def names_lead_to(check, version, when):
    asked = {service: who_answers(installed(service)) for service in ("prometheus", "postgres", "exporter")}
    asked |= {service: who_answers(worker(service)) for service in ("worker", "beat")}
    wrong = {service: answer for service, answer in asked.items() if answer != [f"hello from {version}"]}
    check(not wrong, f"{when}: from workers and shared services `api` is {version} and nothing else", wrong)


def deploy(host, version, *options):
    done = host.slipway("deploy", "--commit", version, *options)
    print(said(done), flush=True)
    return done


def deployed(check, host, version, *options):
    done = deploy(host, version, *options)
    check(done.returncode == 0 and stack.answers(PORT, f"hello from {version}"), f"{version} is deployed")
    check("Warnings" not in said(done), f"{version}: without a warning", said(done))
    return said(done)


def status(host):
    return json.loads(host.slipway("status", "survey", "--output", "json").stdout)["applications"][0]["hosts"][0]


def history(host):
    return json.loads(host.slipway("history", "survey", "--output", "json").stdout)["deployments"]


def volumes():
    return run("docker", "volume", "ls", "--format", "{{.Name}}").split()


def settings(change=lambda text: text):
    path = f"{CHECKOUT}/slipway.yaml"
    write(path, change(stack.read(path)))


def init(check, host):
    write_version("v1")
    done = host.slipway("init", "--app", "survey", "--host", "local")
    text = stack.read(f"{CHECKOUT}/slipway.yaml")
    check(done.returncode == 0 and "slotted: [api]" in text and f"  project: {OLD}\n" in text,
          "init proposes the project that compose itself would name", said(done) + text)
    text = text.replace("workers: [beat, exporter, worker]", "workers: [beat, worker]")
    settings(lambda _: text.replace("status: 200}", "json: {status: ok}}").replace("bake: 5s, drain: 30s", "bake: 1s, drain: 10s")
             .replace("releases: 5", "releases: 3"))
    added = host.slipway("hosts", "add", "local", "--address", "unix:///run/slipway/executor.sock")
    check(added.returncode == 0, "the packaged executor is added", said(added))
    until(20, host.connected, "the host is connected")
    applied = host.slipway("apply")
    check(applied.returncode == 0, "apply", said(applied))
    set_env = host.slipway("env", "set", stdin=ENV_FILE)
    check(set_env.returncode == 0, "env set", said(set_env))


def printed_commands(text, verb):
    return re.findall(rf"`(slipway {verb} [^`]*)`", text)


def forgotten_project(check, host):
    """Without compose.project, beside a full volume: plan and deploy refuse both, and what they print helps."""
    settings(lambda text: text.replace(f"  project: {OLD}\n", ""))
    plan = said(host.slipway("plan"))
    beside = f"survey_pgdata would be new and empty beside {OLD}_pgdata"
    check(beside in plan and "promtail" in plan, "plan names the installation beside, and what the policy refuses, at once", plan)
    done = deploy(host, "v1")
    check(done.returncode != 0 and beside in said(done) and stack.answers(PORT, "hello from v0"),
          "a first deployment beside a full volume is refused, and the old version serves", said(done))
    check(not [name for name in volumes() if name.startswith("survey_")], "no empty volume was made")
    for command in printed_commands(plan, "allow"):
        if "beside" in command:
            continue
        allowed = host.as_printed(command)
        check(allowed.returncode == 0, f"as printed: {command}", said(allowed))
    began_anew = next(command for command in printed_commands(plan, "allow") if "beside" in command)
    check(host.as_printed(began_anew).returncode == 0 and beside not in said(host.slipway("plan")), f"as printed: {began_anew}")
    host.slipway("allow", "survey", "--remove", f"*:beside:{OLD}")
    line = re.search(r"write `(project: [^`]*)` under `compose:`", plan).group(1)
    settings(lambda text: text.replace("compose:\n", f"compose:\n  {line}\n", 1))
    plan = said(host.slipway("plan"))
    check("would be new and empty" not in plan and "takes over from the version that serves on port 8000" in plan,
          f"as printed: {line}", plan)


def takes_over(check, host, totals):
    before = {service: installed(service) for service in SHARED}
    identity = output(installed("postgres"), "cat", "/var/lib/postgresql/data/identity")
    old_api = installed("api")
    with stack.Load(PORT) as load:
        deployed(check, host, "v1")
        check({service: installed(service) for service in SHARED} == before, "the shared services keep their containers")
        check(not installed("worker") and not installed("beat"), "the old workers are gone")
        check(installed("api") == old_api and status(host)["warm_release"] == "0" * 12, "the version that was taken over is warm", status(host))
        names_lead_to(check, "v1", "in the window of the take-over")
        check("database" in output(old_api, "ask", "postgres", "5432"), "and it still reaches its database")
        done = host.slipway("rollback")
        print(said(done), flush=True)
        check(done.returncode == 0 and stack.answers(PORT, "hello from v0"), "`slipway rollback` goes back to it", said(done))
        names_lead_to(check, "v0", "after the rollback")
        newest = history(host)[0]
        check(newest["kind"] == "DEPLOYMENT_KIND_ROLLBACK" and newest["state"] == "DEPLOYMENT_STATE_SUCCEEDED"
              and newest["release"].endswith("/" + "0" * 12) and "taken over" in newest["message"], "and the history says so", newest)
        until(20, lambda: status(host).get("standing") == "HOST_STANDING_CURRENT", "the host stands where it ought to")
        write_version("v2")
        deployed(check, host, "v2")
        names_lead_to(check, "v2", "taken over again")
        write_version("v3")
        deployed(check, host, "v3")
        check(installed("api") is None, "the next deployment, at once, takes the place of what was taken over")
        names_lead_to(check, "v3", "after the window")
        back = host.slipway("rollback")
        check(back.returncode == 0 and stack.answers(PORT, "hello from v2"), "and a rollback leads to v2", said(back))
    totals.add(check, load, "take-over, rollback, take-over and the next deployment")
    check(output(installed("postgres"), "cat", "/var/lib/postgresql/data/identity") == identity, "the database is the same")


def updates(check, host, totals):
    """Of shared services that were taken over: one as it is, one of which a bound file changed, one with other image inputs."""
    with stack.Load(PORT) as load:
        write_version("v4", loki="auth_enabled: false  # 2", prometheus="scrape_configs: []  # 2", exporter="queries 2")
        plan = said(host.slipway("plan"))
        old = {service: installed(service) for service in SHARED}
        check("definition unknown" in plan, "plan says of what it did not start that it does not know its definition", plan)
        told = deployed(check, host, "v4", "--update", "loki", "--update", "promtail")
        new = {service: installed(service) for service in SHARED}
        changed = {service for service in SHARED if new[service] != old[service]}
        check(changed == {"loki", "promtail"}, "those that are named are replaced, and no others", told)
        check("# 2" in run("docker", "logs", new["loki"]), "loki runs with the new file")
        write_version("v5", loki="auth_enabled: false  # 3", prometheus="scrape_configs: []  # 3", exporter="queries 3")
        deployed(check, host, "v5", "--update", "prometheus", "--update", "exporter")
        check("queries 3" in run("docker", "logs", installed("exporter")), "exporter runs the image of the new inputs")
        check("# 3" in run("docker", "logs", installed("prometheus")), "prometheus runs with the new file")
        check("# 2" in output(installed("loki"), "cat", "/etc/loki/local-config.yaml"), "loki keeps the file that it was started with")
        write_version("v6", loki="auth_enabled: false  # 4", exporter="queries 4", prometheus="scrape_configs: []  # 3")
        plan = said(host.slipway("plan"))
        check("bound file deploy/monitoring/loki-config.yml changed" in plan and "what its image is built from changed" in plan,
              "plan says what has changed since", plan)
        deployed(check, host, "v6", "--update", "loki", "--update", "exporter")
        check("# 4" in run("docker", "logs", installed("loki")) and "queries 4" in run("docker", "logs", installed("exporter")),
              "and both run with it")
        logs = host.slipway("logs", "survey", "--service", "postgres")
        check(logs.returncode == 0, "the log of a service that was taken over", said(logs))
    totals.add(check, load, "updates of shared services")


def mounts(container):
    found = json.loads(run("docker", "inspect", "-f", "{{json .Mounts}}", container))
    return [mount["Source"] for mount in found]


def releases():
    return sorted(os.listdir(f"{STATE}/executor/apps/survey/releases"))


def ten_deployments(check, host, totals):
    seen = set()
    with stack.Load(PORT) as load:
        for number in range(7, 17):
            write_version(f"v{number}", loki="auth_enabled: false  # 4", exporter="queries 4", prometheus="scrape_configs: []  # 3")
            deployed(check, host, f"v{number}")
            compiled = f"{STATE}/executor/apps/survey/releases/{status(host)['active_release']}/worker/__pycache__/beat/tasks.cpython-311.pyc"
            seen.add(os.path.exists(compiled) and os.stat(compiled).st_uid == 0)
    totals.add(check, load, "ten deployments")
    check(seen == {True}, "each release had files that a container wrote as root")
    left = releases()
    check(len(left) <= 4, "prune has removed all but a few releases", left)
    helped = host.log("slipway-executor") + host.text("journalctl", "--no-pager", "_COMM=sudo")
    check("remove-release" in helped and "COMMAND=/usr/lib/slipway/slipway-executor remove-release" in helped, "by sudo and the helper", helped[-3000:])
    gone = {service: path for service in SHARED for path in mounts(installed(service)) if not os.path.exists(path)}
    check(not gone, "everything that shared services have mounted is there", gone)


def survives_a_restart(check, host, totals):
    ours = [container for project in (OLD, "survey-blue", "survey-green", "survey-workers")
            for container in containers(f"com.docker.compose.project={project}")]
    for container in ours:
        run("docker", "restart", "-t", "2", container)
    until(60, lambda: stack.answers(PORT, "hello from v16"), "the site answers after a restart of all containers")
    stopped = [container for container in ours if run("docker", "inspect", "-f", "{{.State.Running}}", container).strip() != "true"]
    check(len(ours) >= 9 and not stopped, f"all {len(ours)} containers run again", stopped)
    with stack.Load(PORT) as load:
        write_version("v17", loki="auth_enabled: false  # 4", exporter="queries 4", prometheus="scrape_configs: []  # 3")
        deployed(check, host, "v17")
        names_lead_to(check, "v17", "after the restart")
    totals.add(check, load, "a deployment after the restart")


def doctor_knows_the_helper(check, host):
    good = host.slipway("doctor")
    check(good.returncode == 0 and "sudo allows /usr/lib/slipway/slipway-executor remove-release" in said(good), "doctor: the helper can be run", said(good))
    rules = "/etc/sudoers.d/slipway-executor"
    host.text("sed", "-i", "s/, [^,]*remove-release.*//", rules)
    bad = said(host.slipway("doctor"))
    line = re.search(r"\(visudo\): (slipway ALL=.*remove-release .*)", bad)
    check(line is not None and "sudo does not allow" in bad, "doctor: without its line it says which to add", bad)
    host.inside("sh", "-c", f"cat >>{rules}", stdin=line.group(1).strip() + "\n")
    again = host.slipway("doctor")
    check(host.inside("visudo", "-c").returncode == 0 and again.returncode == 0, f"as printed: {shlex.quote(line.group(1))}", said(again))
    host.text("sed", "-i", "/remove-release/d", rules)
    setup = host.inside("slipway-executor", "setup")
    check(setup.returncode == 0 and "remove-release" in host.text("cat", rules), "`slipway-executor setup` puts it there too", said(setup))


def remove():
    ours = []
    for project in (OLD, "survey-blue", "survey-green", "survey-workers", "survey-hooks", "survey-jobs", "survey"):
        ours += stack.containers(f"com.docker.compose.project={project}", stopped=True)
    if ours:
        run("docker", "rm", "-f", "-v", *set(ours))
    for kind in ("network", "volume"):
        names = [name for name in run("docker", kind, "ls", "--format", "{{.Name}}").split() if re.match(r"survey[-_]", name)]
        if names:
            run("docker", kind, "rm", *names)
    built = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    mine = [image for image in built if image.startswith(("slipway/survey:", f"{OLD}_", f"{OLD}-", "survey-test/"))]
    if mine:
        run("docker", "rmi", "-f", *mine)
    for folder in (STATE, os.path.dirname(INSTALLED)):
        shutil.rmtree(folder, ignore_errors=True)


def main():
    if shutil.which("debootstrap") is None and not os.path.exists(f"{TREE}/.made"):
        print("skipped: debootstrap is needed (tests/packages.txt)")
        return 0
    if os.path.exists(STATE) or os.path.exists(INSTALLED):
        print(f"skipped: {STATE} or {INSTALLED} is there, which the test would use")
        return 0
    check = Checks()
    totals = Totals()
    shutil.rmtree(SITE, ignore_errors=True)
    os.makedirs(SITE)
    host = CustomerHost("customer", ADDRESS, f"{SITE}/remote", SITE)
    try:
        packages_test.make_packages()
        build_images()
        host.start()
        host.text("apt-get", "-q", "update")
        done = host.install(MADE, *NAMES)
        check(done.returncode == 0 and host.states() == ["active"] * 2, "the packages install and run", said(done))
        user = host.text("ps", "-o", "user=", "-p", host.pids()[1]).strip()
        check(user == "slipway", "the executor is a plain user", user)
        install_by_hand(host)
        init(check, host)
        forgotten_project(check, host)
        takes_over(check, host, totals)
        updates(check, host, totals)
        ten_deployments(check, host, totals)
        survives_a_restart(check, host, totals)
        doctor_knows_the_helper(check, host)
        print(f"in all {totals.requests} requests, {totals.failed} failed")
    except BaseException:
        print(host.inside("journalctl", "-u", "slipway-executor", "-u", "slipway-controller", "--no-pager", "-n", "80").stdout)
        raise
    finally:
        if not os.environ.get("SLIPWAY_KEEP"):
            host.stop()
            remove()
            shutil.rmtree(SITE, ignore_errors=True)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
