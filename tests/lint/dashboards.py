"""Grafana can take the dashboards as they are: what it asks for is there, and links and variables go on working after an edit.

Each file has a uid of its own, which is slipway-NAME for NAME.json; a variable for the data source, which everything uses; every
variable that its queries name; deployments as an annotation; panels with a title, a description and places that do not overlap.
"""
import itertools
import json
import os
import re

import tree

FOLDER = "deploy/monitoring/dashboards/"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Those that Grafana knows by itself.
BUILT_IN = {"__range", "__rate_interval"}


def overlap(a, b):
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def panel_findings(panels):
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids):
        yield "two panels have the same id"
    for a, b in itertools.combinations(panels, 2):
        if overlap(a["gridPos"], b["gridPos"]):
            yield f"panels {a['title']!r} and {b['title']!r} overlap"
    for panel in panels:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            yield f"panel {panel['title']!r} is wider than the page"
        if panel["type"] == "row":
            continue
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']} has no title or no description"
        if not panel.get("targets"):
            yield f"panel {panel['title']!r} asks for nothing"
        if any(one.get("datasource") != DATASOURCE for one in [panel, *panel.get("targets", [])]):
            yield f"panel {panel['title']!r} does not use the variable of the data source"


def board_findings(name, board):
    if board.get("uid") != f"slipway-{name}":
        yield f"its uid is {board.get('uid')!r}, not 'slipway-{name}'"
    if board.get("id") is not None:
        yield "it has an id, which is one Grafana's own"
    if not isinstance(board.get("schemaVersion"), int) or "slipway" not in board.get("tags", []):
        yield "it has no schemaVersion, or not the tag slipway"
    variables = board.get("templating", {}).get("list", [])
    if not any(one["type"] == "datasource" and one["name"] == "datasource" for one in variables):
        yield "it has no variable for the data source"
    annotations = board.get("annotations", {}).get("list", [])
    if not any(one.get("enable") and "slipway_deployments_total" in one.get("expr", "") for one in annotations):
        yield "it does not show deployments as annotations"
    if any(one.get("datasource") != DATASOURCE for one in annotations):
        yield "an annotation does not use the variable of the data source"
    panels = board.get("panels", [])
    yield from panel_findings(panels)
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])] + [one["expr"] for one in annotations]
    used = set(re.findall(r"\$\{?(\w+)", "\n".join(asked)))
    declared = {one["name"] for one in variables} - {"datasource"}
    for variable in sorted(used - declared - BUILT_IN):
        yield f"${variable} is used and not declared"
    for variable in sorted(declared - used):
        yield f"${variable} is declared and not used"


def findings(root):
    for path in tree.files(root, (".json",)):
        if not path.startswith(FOLDER):
            continue
        board = json.loads("\n".join(tree.lines(root, path)))
        name = os.path.basename(path).removesuffix(".json")
        for finding in board_findings(name, board):
            yield f"{path}:1: {finding}"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
