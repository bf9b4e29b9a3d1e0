"""Which room may include which, where third-party headers stand, and how every header begins.

    proto <- common <- clients/transport <- controller        controller and executor meet only in the proto
                 ^ <- executor          <- clients/cli        tests -> everything; nothing -> tests
"""
import re

import tree

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
ROOMS = ("common", "controller", "executor", "clients", "deploy", "tests")
# Room of the including file (the longest prefix counts) -> prefixes that it may include.
ALLOWED = {
    "common/": ("common/",),
    "executor/": ("common/", "executor/"),
    "clients/": ("common/", "clients/"),
    "clients/transport/": ("common/", "clients/transport/"),
    "controller/": ("common/", "controller/"),
    "controller/fleet/": ("common/", "controller/", "clients/transport/"),
    "deploy/": (),
}
# Third-party header -> where it may be included; tests may include anything.
PLACES = {
    "libssh": ("clients/transport/ssh_",),
    "sqlite3.h": ("controller/store/sqlite.",),
    "libpq-fe.h": ("controller/store/postgres.cc",),
    "prometheus": ("controller/metrics.", "controller/metrics_present."),
    "yaml-cpp": ("common/yaml_document.",),
}


def include_findings(path, number, bracket, header):
    if path.startswith("tests/"):
        return
    top = header.split("/")[0]
    if bracket == "<":
        if top in PLACES and not path.startswith(PLACES[top]):
            yield f"{path}:{number}: <{header}> belongs in {' or '.join(PLACES[top])} only"
        if top in ROOMS:
            yield f'{path}:{number}: write "{header}", it is ours'
        return
    if top not in ROOMS:
        if "/" not in header:
            yield f'{path}:{number}: "{header}" is not a path from the root; name it in full'
        return
    room = max((prefix for prefix in ALLOWED if path.startswith(prefix)), key=len, default=None)
    if room is None:
        yield f"{path}:{number}: this folder has no rule; add it to tests/lint/include_direction.py"
    elif not header.startswith(ALLOWED[room]):
        allowed = ", ".join(ALLOWED[room]) or "nothing of ours"
        yield f'{path}:{number}: {room} must not include "{header}" (it may include {allowed})'


def findings(root):
    for path in tree.files(root):
        text = tree.lines(root, path)
        for number, line in enumerate(text, 1):
            match = INCLUDE.match(line)
            if match:
                yield from include_findings(path, number, *match.groups())
        if path.endswith(".h"):
            if not text or not text[0].startswith("//"):
                yield f"{path}:1: a header starts with a comment that says what it is for"
            if "#pragma once" not in text:
                yield f"{path}:1: #pragma once is missing"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
