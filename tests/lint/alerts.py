"""Every alert is tested and has its page, and every page and test is of an alert that there is.

An alert needs a severity, a summary, a description and a runbook_url that ends in /runbooks/NAME/, where docs/runbooks/NAME.md has
the four headings below; tests/unit/deploy/monitoring has a case in which it fires and one in which it does not. A recording rule
needs a case that asks for it by its name.
"""
import os
import re

import yaml

import tree

RULES = "deploy/monitoring/rules/"
TESTS = "tests/unit/deploy/monitoring/"
PAGES = "docs/runbooks/"
HEADINGS = ["## What it means", "## What it does to visitors", "## How to find out", "## What to do"]


def documents(root, folder):
    """(path, content) of each YAML file under the folder."""
    for path in tree.files(root, (".yml",)):
        if path.startswith(folder):
            yield path, yaml.safe_load("\n".join(tree.lines(root, path))) or {}


def rules(root):
    """(path, line, rule), alerts and recording rules."""
    for path, content in documents(root, RULES):
        text = tree.lines(root, path)
        for group in content.get("groups", []):
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                line = next(number for number, one in enumerate(text, 1) if re.search(rf": {re.escape(name)}$", one))
                yield path, line, rule


def tested(root):
    """Alerts that some case sees fire, those that some case sees silent, and the expressions that are asked for."""
    fire, silent, asked = set(), set(), set()
    for _, content in documents(root, TESTS):
        for case in content.get("tests", []):
            for test in case.get("alert_rule_test", []):
                (fire if test.get("exp_alerts") else silent).add(test["alertname"])
            for test in case.get("promql_expr_test", []):
                if test.get("exp_samples"):
                    asked.add(test["expr"])
    return fire, silent, asked


def page_findings(root, page):
    full = os.path.join(root, page)
    if not os.path.exists(full):
        yield "is missing; say what the alert means and what to do"
        return
    headings = [line for line in tree.lines(root, page) if line.startswith("## ")]
    if headings != HEADINGS:
        yield f"has the headings {headings}, not {HEADINGS}"


def alert_findings(rule, fire, silent):
    annotations = rule.get("annotations", {})
    for key in ("summary", "description"):
        if not annotations.get(key):
            yield f"has no {key}"
    if rule.get("labels", {}).get("severity") not in ("critical", "warning"):
        yield "has neither severity critical nor warning"
    if not re.search(r"/runbooks/[a-z-]+/$", annotations.get("runbook_url", "")):
        yield "has no runbook_url that ends in /runbooks/NAME/"
    if rule["alert"] not in fire:
        yield f"fires in no case of {TESTS}"
    if rule["alert"] not in silent:
        yield f"is silent in no case of {TESTS}"


def findings(root):
    fire, silent, asked = tested(root)
    alerts, pages = set(), set()
    for path, line, rule in rules(root):
        if "record" in rule:
            if rule["record"] not in asked:
                yield f"{path}:{line}: {rule['record']} is asked for in no case of {TESTS}"
            continue
        alerts.add(rule["alert"])
        for finding in alert_findings(rule, fire, silent):
            yield f"{path}:{line}: {rule['alert']} {finding}"
        page = PAGES + rule.get("annotations", {}).get("runbook_url", "").rstrip("/").rsplit("/", 1)[-1] + ".md"
        pages.add(page)
        for finding in page_findings(root, page):
            yield f"{path}:{line}: {page} {finding}"
    for path in tree.files(root, (".md",)):
        if path.startswith(PAGES) and path not in pages:
            yield f"{path}:1: no alert leads here"
    for name in sorted((fire | silent) - alerts):
        yield f"{TESTS}: {name} is tested, and there is no such alert"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
