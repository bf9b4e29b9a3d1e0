"""The checks of deploy/monitoring find what is planted for them, and nothing where all is right."""
import copy
import json
import os
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import alerts  # noqa: E402
import dashboards  # noqa: E402

RULES = """groups:
- name: x
  rules:
  - alert: Lost
    expr: a == 0
    labels: {severity: warning}
    annotations: {summary: s, description: d, runbook_url: "https://docs.example.org/runbooks/lost/"}
  - record: app:a:sum
    expr: sum by (app) (a)
"""
CASES = """tests:
- alert_rule_test:
  - {alertname: Lost, eval_time: 1m, exp_alerts: [{exp_labels: {}}]}
  - {alertname: Lost, eval_time: 0m, exp_alerts: []}
  promql_expr_test:
  - {expr: 'app:a:sum', eval_time: 1m, exp_samples: [{labels: '{}', value: 1}]}
"""
PAGE = "# Lost\n" + "".join(f"\n{heading}\n" for heading in alerts.HEADINGS)
TREE = {alerts.RULES + "x.yml": RULES, alerts.TESTS + "x_test.yml": CASES, alerts.PAGES + "lost.md": PAGE}

SOURCE = dashboards.DATASOURCE
BOARD = {
    "uid": "slipway-x", "schemaVersion": 38, "tags": ["slipway"],
    "templating": {"list": [{"name": "datasource", "type": "datasource"}, {"name": "app", "type": "query"}]},
    "annotations": {"list": [{"enable": True, "datasource": SOURCE, "expr": "changes(slipway_deployments_total[1m]) > 0"}]},
    "panels": [{"id": 1, "type": "stat", "title": "A", "description": "a", "datasource": SOURCE, "gridPos": {"x": 0, "y": 0, "w": 12, "h": 5},
                "targets": [{"datasource": SOURCE, "expr": 'a{app=~"$app"}'}]}],
}


class Planted(unittest.TestCase):
    def findings(self, check, files):
        root = tempfile.mkdtemp(prefix="slipway-lint-")
        self.addCleanup(shutil.rmtree, root)
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return list(check.findings(root))


class Alerts(Planted):
    def expect(self, path, before, after, words):
        found = self.findings(alerts, {**TREE, path: TREE[path].replace(before, after)})
        self.assertTrue(any(words in finding for finding in found), f"{words!r}: {found}")

    def test_nothing_is_found_where_nothing_is_wrong(self):
        self.assertEqual(self.findings(alerts, TREE), [])

    def test_an_alert_without_a_case(self):
        cases = alerts.TESTS + "x_test.yml"
        self.expect(cases, "[{exp_labels: {}}]", "[]", "x.yml:4: Lost fires in no case")
        self.expect(cases, "exp_alerts: []", "exp_alerts: [{exp_labels: {}}]", "x.yml:4: Lost is silent in no case")
        self.expect(cases, "app:a:sum", "app:b:sum", "x.yml:8: app:a:sum is asked for in no case")
        self.expect(cases, "alertname: Lost, eval_time: 0m", "alertname: Gone, eval_time: 0m", "Gone is tested")

    def test_an_alert_without_its_page(self):
        self.expect(alerts.RULES + "x.yml", "/lost/", "/last/", "docs/runbooks/last.md is missing")
        self.expect(alerts.RULES + "x.yml", "/lost/", "/last/", "docs/runbooks/lost.md:1: no alert leads here")
        self.expect(alerts.RULES + "x.yml", "runbook_url", "url", "Lost has no runbook_url")
        self.expect(alerts.PAGES + "lost.md", "## What to do", "## Else", "lost.md has the headings")

    def test_an_alert_that_says_too_little(self):
        self.expect(alerts.RULES + "x.yml", "summary: s, ", "", "Lost has no summary")
        self.expect(alerts.RULES + "x.yml", "severity: warning", "severity: some", "Lost has neither severity")


class Dashboards(Planted):
    def expect(self, change, words):
        board = copy.deepcopy(BOARD)
        change(board)
        found = self.findings(dashboards, {dashboards.FOLDER + "x.json": json.dumps(board)})
        self.assertTrue(any(words in finding for finding in found), f"{words!r}: {found}")

    def test_nothing_is_found_where_nothing_is_wrong(self):
        self.assertEqual(self.findings(dashboards, {dashboards.FOLDER + "x.json": json.dumps(BOARD)}), [])

    def test_what_grafana_could_not_take(self):
        self.expect(lambda board: board.update(uid="other"), "its uid is 'other'")
        self.expect(lambda board: board.update(id=7), "it has an id")
        self.expect(lambda board: board.pop("schemaVersion"), "no schemaVersion")
        self.expect(lambda board: board["templating"]["list"].pop(0), "no variable for the data source")
        self.expect(lambda board: board["annotations"]["list"].clear(), "does not show deployments")

    def test_panels_that_do_not_work(self):
        self.expect(lambda board: board["panels"].append(board["panels"][0]), "same id")
        self.expect(lambda board: board["panels"].append({**board["panels"][0], "id": 2}), "overlap")
        self.expect(lambda board: board["panels"][0].update(targets=[]), "asks for nothing")
        self.expect(lambda board: board["panels"][0].update(datasource={"uid": "mine"}), "variable of the data source")
        self.expect(lambda board: board["panels"][0].update(description=""), "no description")
        self.expect(lambda board: board["panels"][0]["gridPos"].update(x=13), "wider than the page")

    def test_variables_that_are_not_declared_or_not_used(self):
        self.expect(lambda board: board["panels"][0]["targets"][0].update(expr='a{host=~"$host"}'), "$host is used and not declared")
        self.expect(lambda board: board["panels"][0]["targets"][0].update(expr="a"), "$app is declared and not used")


if __name__ == "__main__":
    unittest.main()
