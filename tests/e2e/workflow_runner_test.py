#!/usr/bin/env python3
"""The runner of workflow files reads conditions, filters and outputs as GitHub does, and fails where it does not know."""
import unittest

from workflow_expressions import Scope, Unknown, evaluate, fill, holds
from workflow_runner import in_order, read_outputs, triggered

CONTEXTS = {"github": {"ref": "refs/heads/main", "event": {}}, "secrets": {"KEY": "k"}, "inputs": {"on-cancel": "leave"},
            "needs": {"test": {"result": "failure", "outputs": {}}}, "steps": {"a": {"outputs": {"o": "x"}, "outcome": "success"}}}


class Expressions(unittest.TestCase):
    def test_values(self):
        scope = Scope(CONTEXTS)
        for source, value in (("github.ref", "refs/heads/main"), ("'it''s'", "it's"), ("secrets.NONE", None), ("secrets.NONE || 'b'", "b"),
                              ("'a' && 'b'", "b"), ("'' && 'b'", ""), ("github.ref == 'REFS/heads/main'", True), ("!secrets.NONE", True),
                              ("github.ref == format('refs/heads/{0}', 'main')", True), ("false || (true && 'c')", "c"), ("github.event.head_commit.message", None),
                              ("inputs.on-cancel != 'leave'", False), ("steps.a.outputs.none", None), ("needs.test.result", "failure")):
            self.assertEqual(evaluate(source, scope), value, source)
        self.assertEqual(fill("${{ secrets.KEY }}-${{ secrets.NONE }}-${{ true }}", scope), "k--true")

    def test_what_is_not_known_fails(self):
        for source in ("nope.x", "github.nope", "inputs.nope", "steps.b.outputs.x", "needs.other.result", "hashFiles('x')", "success('x')", "1 < 2",
                       "github.ref ==", "github.ref github.ref", "(true", "a[0]", ""):
            with self.assertRaises(Unknown, msg=source):
                evaluate(source, Scope(CONTEXTS))
        with self.assertRaises(Unknown):
            fill("${{ needs }}", Scope(CONTEXTS))

    def test_conditions_mean_success_unless_they_ask_for_the_state(self):
        good, bad, cancelled = Scope(CONTEXTS), Scope(CONTEXTS, succeeded=False), Scope(CONTEXTS, cancelled=True)
        for condition, states in ((None, (True, False, False)), ("github.ref != ''", (True, False, False)), ("always()", (True, True, True)),
                                  ("${{ !cancelled() }}", (True, True, False)), ("failure()", (False, True, False)),
                                  ("cancelled() && github.ref != ''", (False, False, True)), ("secrets.NONE", (False, False, False))):
            self.assertEqual(tuple(holds(condition, scope) for scope in (good, bad, cancelled)), states, condition)


class Files(unittest.TestCase):
    def test_branch_filters(self):
        workflow = {"on": {"push": {"branches": ["main", "docs/*", "deep/**"]}, "pull_request": None}}
        for event, branch, starts in (("push", "main", True), ("push", "main2", False), ("push", "docs/a", True), ("push", "docs/a/b", False),
                                      ("push", "docs", False), ("push", "deep/a/b", True), ("pull_request", "any", True), ("schedule", "main", False)):
            self.assertEqual(triggered(workflow, event, branch), starts, f"{event} {branch}")
        with self.assertRaises(Unknown):
            triggered({"on": {"push": {"paths": ["x"]}}}, "push", "main")

    def test_outputs(self):
        self.assertEqual(read_outputs("a=1=2\nb<<END\nx\na=3\nEND\na=4\n"), {"a": "4", "b": "x\na=3"})

    def test_jobs_come_after_what_they_need(self):
        self.assertEqual(in_order({"c": {"needs": ["a", "b"]}, "b": {"needs": "a"}, "a": {}}), ["a", "b", "c"])
        with self.assertRaises(Unknown):
            in_order({"a": {"needs": "b"}, "b": {"needs": "a"}})


if __name__ == "__main__":
    unittest.main()
