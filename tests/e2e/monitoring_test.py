#!/usr/bin/env python3
"""A real Prometheus scrapes a real run, and everything in deploy/monitoring is asked of it.

The run: deployments that succeed, fail before the switch and are rolled back, a rollback, a call that is not let in. Then every
panel, annotation and variable of the dashboards and every rule must answer with numbers; every metric of the page must be used by
one of them, and every metric that they name must be on the page. docs/metrics.md lists just these. promtool likes their names.
"""
import contextlib
import datetime
import json
import math
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

import stack
from stack import APP, SITE, Daemon, Load, run, slipway

SOURCE = pathlib.Path(stack.QUICKSTART).resolve().parent
MONITORING = SOURCE / "deploy/monitoring"
PAGE = "http://127.0.0.1:9780/metrics"
TOKEN = "scrape-5b1d9c"
# A comparison with a number, which an alert has and a healthy run does not satisfy.
COMPARISON = re.compile(r"\s(?:==|!=|>=|<=|<|>)\s*[0-9.]+(?:e[+-]?[0-9]+)?")
RECORDED = re.compile(r"\b[a-z]+:slipway_[a-z0-9_:]+")
METRIC = re.compile(r"(?<![:a-z])slipway_[a-z0-9_]+")


class Prometheus:
    """On the loopback, with the rules of deploy/monitoring and its scrape job, once a second."""

    def __init__(self):
        folder = pathlib.Path(SITE) / "prometheus"
        folder.mkdir()
        shutil.copytree(MONITORING / "rules", folder / "rules")
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["authorization"] = {"credentials_file": f"{SITE}/metrics-token"}
        stack.write(f"{folder}/prometheus.yml", yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}/api/v1"
        self.begin = time.time()
        with open(folder / "log", "wb") as log:
            self.child = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                           f"--web.listen-address={address}"], stdout=log, stderr=log)

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=30)

    def ask(self, path, **parameters):
        """The answer's data; LookupError with Prometheus' own words for a query that it does not take."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise LookupError(error.read().decode()) from error

    def numbers(self, query, over_time=False):
        """Every finite number of the answer, at this moment or over the run."""
        if over_time:
            series = self.ask("query_range", query=query, start=self.begin, end=time.time(), step=1)["result"]
            samples = [value for one in series for _, value in one["values"]]
        else:
            samples = [one["value"][1] for one in self.ask("query", query=query)["result"]]
        return [float(value) for value in samples if math.isfinite(float(value))]

    def number(self, query):
        """The one number of the answer; None without one, or while nobody answers."""
        try:
            found = self.numbers(query)
        except (OSError, LookupError):
            return None
        return found[0] if len(found) == 1 else None

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextlib.contextmanager
def prometheus():
    one = Prometheus()
    try:
        stack.until(30, lambda: one.number('up{job="slipway"}') == 1, "Prometheus scrapes the controller")
        yield one
    finally:
        one.stop()


def protect(check):
    """The page asks for a token from now on."""
    stack.write(f"{SITE}/metrics-token", TOKEN + "\n")
    pathlib.Path(f"{SITE}/metrics-token").chmod(0o600)
    stack.write(f"{SITE}/controller.yaml", stack.read(f"{SITE}/controller.yaml") + f"metrics_token_file: {SITE}/metrics-token\n")
    controller = Daemon("controller")
    controller.stop()
    controller.start()
    stack.until(20, stack.connected, "the host is connected")
    try:
        urllib.request.urlopen(PAGE, timeout=5).close()
        check(False, "the page asks for its token")
    except urllib.error.HTTPError as error:
        check(error.code == 401, "the page asks for its token")
    check(stack.get(9780, "/healthz") == "ok", "/healthz asks for none")


def page():
    request = urllib.request.Request(PAGE, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read().decode()


def deploy(check, version, code, **settings):
    stack.write(f"{APP}/app.env", "".join(f"{key}={value}\n" for key, value in {"HELLO_VERSION": version, **settings}.items()))
    committed = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
    done = slipway("deploy", "--commit", version, "--commit-time", committed.isoformat(timespec="seconds"))
    check(done.returncode == code, f"{version} ends with {code}", done.stdout)


def work(check):
    """What there is to see: five deployments and a rollback."""
    run(stack.CLI, "apply", cwd=APP)
    check(slipway("why", "--app", "nosuch", cwd="/").returncode != 0, "an application that there is not")
    deploy(check, "v1", 0)
    deploy(check, "v2", 0)
    deploy(check, "v3", 3, HELLO_BROKEN=1)
    with Load(seconds=120):
        deploy(check, "v4", 4, HELLO_DIE_AFTER_REQUESTS=200)
    deploy(check, "v5", 0)
    check(slipway("rollback").returncode == 0, "a rollback")


def dashboards():
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((MONITORING / "dashboards").glob("*.json"))]


def filled(expression, elapsed):
    """As Grafana asks it, for the time of the run."""
    for name, value in {"$__rate_interval": "10s", "$__range": f"{int(elapsed) + 1}s", "$app": "hello", "$host": "local"}.items():
        expression = expression.replace(name, value)
    return expression


def queries():
    """(where, expression, over time or at one moment) of everything that the dashboards ask."""
    for board in dashboards():
        for annotation in board["annotations"]["list"]:
            yield f"{board['title']}, annotation {annotation['name']}", annotation["expr"], True
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{board['title']}, {panel['title']}, {target['refId']}", target["expr"], target["range"]


def variables():
    """(dashboard, metric, label) of every variable that is looked up."""
    for board in dashboards():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield (board["title"], *re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups())


def answers(check, server, where, expression, over_time=False):
    try:
        found = server.numbers(expression, over_time)
        check(bool(found), f"{where}: {len(found)} numbers", expression)
    except LookupError as error:
        check(False, where, f"{expression}\n{error}")


def panels_answer(check, server):
    elapsed = time.time() - server.begin
    for where, expression, over_time in queries():
        answers(check, server, where, filled(expression, elapsed), over_time)
    for title, metric, label in variables():
        values = server.ask(f"label/{label}/values", **{"match[]": metric})
        check(bool(values), f"{title}, variable {label}: {values}")


def rules_answer(check, server):
    rules = server.rules()
    for rule in rules:
        check(rule["health"] == "ok", f"{rule['name']} is evaluated", rule.get("lastError", ""))
        # What an alert looks at must be there; that it is as it should be is health.
        answers(check, server, rule["name"], COMPARISON.sub("", rule["query"]) if rule["type"] == "alerting" else rule["query"])
    firing = [rule["name"] for rule in rules if rule.get("state") == "firing"]
    check(not firing, f"nothing fires: {firing}")


def nothing_is_unused_or_made_up(check, server, exported):
    expressions = [expression for _, expression, _ in queries()] + [metric for _, metric, _ in variables()]
    rules = server.rules()
    for rule in rules:
        expressions.append(rule["query"])
    text = "\n".join(expressions)
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    check(recorded == set(RECORDED.findall(text)), "the recorded series are those that are used", str(recorded ^ set(RECORDED.findall(text))))
    families = set(exported) | {f"{name}_{part}" for name, kind in exported.items() if kind == "histogram" for part in ("bucket", "sum", "count")}
    named = set(METRIC.findall(text))
    check(not named - families, "panels and rules name what is exported", str(named - families))
    unused = [name for name in exported if not any(one == name or one.startswith(f"{name}_") for one in named)]
    check(not unused, "what is exported is in a panel or a rule", str(unused))
    listed = set(METRIC.findall("\n".join(line.split("|")[1] for line in stack.read(SOURCE / "docs/metrics.md").splitlines() if line.startswith("| `"))))
    check(listed == set(exported), "docs/metrics.md lists what is exported", str(listed ^ set(exported)))


def backups_are_seen(check, server):
    """Before there is one, `0` is what makes the alert fire."""
    check(server.number("slipway_backup_timestamp_seconds") == 0, "no backup yet")
    begun = time.time()
    run(f"{stack.BUILD}/controller/slipway-controller", "--config", f"{SITE}/controller.yaml", "backup", f"{SITE}/backups")
    stack.until(30, lambda: (server.number("slipway_backup_timestamp_seconds") or 0) >= int(begun), "the backup is seen")


def figures_are_true(check, server):
    """The run was chosen, so what its figures must be is known."""
    outcomes = {("deploy", "succeeded"): 3, ("deploy", "failed_before_switch"): 1, ("deploy", "rolled_back"): 1, ("rollback", "succeeded"): 1}
    for (kind, outcome), times in outcomes.items():
        query = f'slipway_deployments_total{{app="hello",kind="{kind}",outcome="{outcome}"}}'
        check(server.number(query) == times, f"{query} is {times}")
    ratio = server.number("app:slipway_change_failure:ratio7d")
    check(ratio is not None and abs(ratio - 0.5) < 0.02, f"two of four changes failed: {ratio}")
    lead = server.number("slipway_deployment_lead_time_seconds_sum / slipway_deployment_lead_time_seconds_count")
    check(lead is not None and 600 <= lead < 700, f"the lead time is ten minutes and the deployment: {lead}")
    recovery = server.number("slipway_deployment_recovery_seconds_sum / slipway_deployment_recovery_seconds_count")
    check(recovery is not None and 0 < recovery < 10, f"the time to restore is seconds: {recovery}")


def main():
    check = stack.Checks()
    with stack.site():
        protect(check)
        with prometheus() as server:
            work(check)
            backups_are_seen(check, server)
            ended = 'sum(slipway_deployments_total{app="hello"})'
            stack.until(30, lambda: server.number(ended) == 6, "Prometheus has seen the whole run")
            stack.until(30, lambda: (server.number("app:slipway_change_failures:increase7d") or 0) > 1.5, "the rules have seen it, too")
            text = page()
            exported = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
            run("promtool", "check", "metrics", input=text)
            check(True, "promtool finds nothing to say about the names")
            panels_answer(check, server)
            rules_answer(check, server)
            nothing_is_unused_or_made_up(check, server, exported)
            figures_are_true(check, server)
            print(f"{len(exported)} metrics, {len(list(queries()))} queries, {len(server.rules())} rules; the page has {len(text.splitlines())} lines"
                  f" and took {server.number('scrape_duration_seconds')}s")
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
