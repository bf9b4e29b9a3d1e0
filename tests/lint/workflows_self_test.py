"""lint.workflows finds what is planted for it. `workflows_self_test.py ACTIONLINT`"""
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import workflows  # noqa: E402

ACTIONLINT = sys.argv.pop()
WORKFLOW = "name: x\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: %s\n"
ACTION = ("name: x\ndescription: x\ninputs:\n  word: {description: x, default: ''}\noutputs:\n  o: {description: x, value: '${{ steps.s.outputs.o }}'}\n"
          "runs:\n  using: composite\n  steps:\n    - id: s\n      shell: bash\n      run: %s\n      env: {WORD: '${{ inputs.%s }}'}\n")


GOOD = {
    ".github/workflows/good.yml": WORKFLOW % "echo hello",
    ".github/workflows/newer.yml": WORKFLOW % "echo\n        env: {A: '${{ job.workflow_sha }}', B: '${{ vars.B }}'}",
    ".github/actions/good/action.yml": ACTION % ("echo", "word"),
    "docs/good.md": "# A\n```yaml\nkey: value\n```\n",
}
# What is wrong, and the only finding that it makes.
BAD = {
    "x/.github/workflows/context.yml": (WORKFLOW % "echo\n        env: {A: '${{ nope.x }}'}", r'8: undefined variable "nope"'),
    "x/.github/workflows/script.yml": (WORKFLOW % "echo ${{ github.actor }}", r"1: an expression in a script"),
    ".github/actions/context/action.yml": (ACTION % ("echo", "wrod"), r'1: property "wrod"'),
    ".github/actions/script/action.yml": (ACTION % ("echo ${{ inputs.word }}", "word"), r"1: an expression in a script"),
    ".github/actions/program/go": ("#!/bin/bash\nrm $1\n", r"2:\d+: note: .*SC2086"),
    "docs/example.md": ("# A\n\n```yaml\n" + (WORKFLOW % "echo\n        nope: 1") + "```\n", r"11: unexpected key \"nope\""),
}


class Workflows(unittest.TestCase):
    def test_finds_what_is_wrong_where_it_is_and_nothing_else(self):
        with tempfile.TemporaryDirectory(prefix="slipway-lint-") as root:
            for path, text in {**GOOD, **{path: text for path, (text, _) in BAD.items()}}.items():
                os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
                with open(f"{root}/{path}", "w", encoding="utf-8") as file:
                    file.write(text)
            found = list(workflows.findings(root, ACTIONLINT))
        for path, (_, finding) in BAD.items():
            of_file = [each for each in found if each.startswith(f"{path}:")]
            self.assertEqual(len(of_file), 1, f"{path}: {found}")
            self.assertRegex(of_file[0], f"^{re.escape(path)}:{finding}")
        self.assertEqual(len(found), len(BAD), found)


if __name__ == "__main__":
    unittest.main()
