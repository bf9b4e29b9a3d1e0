#!/usr/bin/env python3
"""No value of an environment variable, an option or an argument brings `slipway` down: it ends with an exit code of its table, and says
what is wrong in its own words. And names that are not ASCII reach the controller as they are."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import lone_controller

sys.path.insert(0, os.environ["SLIPWAY_PYTHON_CLIENT"])
import slipway  # noqa: E402

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "clients"
CODES = range(0, 12)
# Bytes, for an environment may hold any but NUL.
HOSTILE = [b"", b" ", b"-", b"--", b"\n", b"a\nb", b"\r\n", "ünï".encode(), b"\xff\xfe", b"%s%n%00", b"a" * 5000, b"../../etc/passwd",
           b"unix://", b"tls://127.0.0.1:1", b"ssh://", b"https://127.0.0.1:1", b"0", b"-1", b"99999999999999999999", b"\x1b[31m", b"/"]
# gRPC's log and assertions, libc++'s and Abseil's last words.
NOISE = re.compile(rb"^[EIWD][0-9]{4} |ASSERTION|assertion failed|terminate called|Check failed|\*\*\* |stack smashing|AddressSanitizer",
                   re.MULTILINE)


def variables():
    """All that the command reads."""
    text = "".join(path.read_text() for path in sorted(SOURCES.rglob("*.cc")))
    found = set(re.findall(r'getenv\("([A-Z_]+)"\)', text)) | set(re.findall(r'OrFromEnvironment\("([A-Z_]+)"\)', text))
    for names in re.findall(r"FromEnvironment\(\{([^}]*)\}", text):
        found |= set(re.findall(r'"([A-Z_]+)"', names))
    return sorted(found | {"HOME", "PATH", "LANG", "TERM", "COLUMNS", "http_proxy", "https_proxy", "GRPC_VERBOSITY", "TMPDIR"})


def grammar(cli, words=()):
    """(words of the verb, options that take a value, has arguments) for each verb, as --help shows it."""
    text = lone_controller.run(cli, *words, "--help")
    under = re.split(r"^Subcommands:\n", text, flags=re.MULTILINE)
    if len(under) > 1:
        for name in re.findall(r"^  ([a-z-]+) ", re.split(r"\n\n|^\S", under[1], flags=re.MULTILINE)[0], re.MULTILINE):
            yield from grammar(cli, (*words, name))
        return
    options = re.findall(r"^  (?:-\w,)?(--[a-z-]+) (?:TEXT|INT|UINT|\w+)", text, re.MULTILINE)
    yield words, options, "Positionals:" in text


def cases(cli):
    """(what is tried, words, variable, value)"""
    for variable in variables():
        for value in HOSTILE:
            yield f"{variable}={value!r:.40}", ["whoami"], variable, value
        yield f"{variable} for tls", ["--controller", "tls://127.0.0.1:1", "whoami"], variable, "ünï\n".encode()
    roots = ["--controller", "--file", "--ssh-key", "--ssh-fingerprint", "--authority", "--certificate", "--key", "--output"]
    for option in roots:
        for value in HOSTILE:
            yield f"{option} {value!r:.40}", [option, value, "status", "gifty"], None, None
    for words, options, has_arguments in grammar(cli):
        for value in HOSTILE:
            if has_arguments:
                yield f"{' '.join(words)} {value!r:.40}", [*words, value], None, None
            for option in options:
                yield f"{' '.join(words)} {option} {value!r:.40}", [*words, option, value], None, None


def attempt(folder, case):
    """What is wrong with how it ended; None when nothing is."""
    what, words, variable, value = case
    environment = {b"SLIPWAY_CONTROLLER": f"unix://{folder}/controller.sock".encode(), b"HOME": str(folder).encode(),
                   b"PATH": os.environb[b"PATH"]}
    if variable:
        environment[variable.encode()] = value
    try:
        done = subprocess.run([lone_controller.CLI, *words], cwd=folder / "app", env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return f"{what}: no end within a minute"
    if done.returncode not in CODES:
        return f"{what}: ended with {done.returncode}: {done.stderr[-300:]!r}"
    noise = NOISE.search(done.stdout + done.stderr)
    if noise:
        return f"{what}: {noise[0]!r} in {done.stderr[-300:]!r}"
    if done.returncode != 0 and not done.stdout + done.stderr:
        return f"{what}: ended with {done.returncode} without a word"
    return None


def names(folder):
    """A branch and people whose names are not ASCII, and a token as it was pasted."""
    problems = []
    cli = [lone_controller.CLI, "--controller", f"unix://{folder}/controller.sock"]
    environment = dict(os.environ, GITHUB_SHA="c0ffee", GITHUB_REF="refs/heads/feature/ünï", GITHUB_ACTOR="Ådne Bøe")
    seen = lone_controller.run(*cli, "whoami", "--output", "json", env=environment)
    if "Ådne Bøe" not in seen:
        problems.append(f"the actor became {seen}")
    lone_controller.run(*cli, "allow", "gifty", "--add", "api:privileged", env=environment)
    audit = lone_controller.run(*cli, "audit", "list", "--output", "json")
    if "Ådne Bøe" not in audit:
        problems.append(f"the history names the actor otherwise: {audit[:500]}")
    with slipway.Client(f"unix://{folder}/controller.sock", actor="Ådne Bøe") as client:
        if client.whoami().name != "user:root, says Ådne Bøe":
            problems.append(f"the Python client's actor became {client.whoami().name}")
    token = lone_controller.run(*cli, "token", "create", "ci", "--app", "gifty", "--output", "json")
    secret = re.search(r"slipway_[0-9A-Za-z_-]+", token)[0]
    for pasted in (f"{secret}\n", f" {secret}\r\n"):
        lone_controller.run(lone_controller.CLI, "--controller", f"unix://{folder}/token.sock", "whoami",
                            env=dict(os.environ, SLIPWAY_TOKEN=pasted))
        with slipway.Client(f"unix://{folder}/token.sock", token=pasted) as client:
            client.whoami()
    try:
        slipway.Client(f"unix://{folder}/token.sock", token=f"{secret}\n{secret}")
        problems.append("the Python client takes a token of two lines")
    except ValueError:
        pass
    return problems


def printed(folder):
    """Commands as messages print them, run for real: none is refused for its words."""
    problems = []
    for words in (["why", "gifty"], ["status", "gifty"], ["watch", "gifty"], ["resume", "gifty"], ["abort", "gifty"], ["cancel", "gifty"],
                  ["rollback", "gifty"], ["reconcile", "gifty"], ["history", "gifty"], ["logs", "gifty"], ["drift", "gifty"],
                  ["why", "20261122-3f2c1a"], ["watch", "20261122-3f2c1a"], ["resume", "20261122-3f2c1a"],
                  ["why", "gifty/20261122-3f2c1a"], ["history", "20261122-3f2c1a"], ["hosts", "list"], ["doctor"], ["plan"]):
        done = subprocess.run([lone_controller.CLI, "--controller", f"unix://{folder}/controller.sock", *words], cwd=folder / "app",
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode in (2, 7):
            problems.append(f"slipway {' '.join(words)}: {done.stderr}")
    return problems


def main():
    with lone_controller.controller() as folder:
        problems = names(folder) + printed(folder)
        tried = list(cases(lone_controller.CLI))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            problems += [problem for problem in pool.map(lambda case: attempt(folder, case), tried) if problem]
    for problem in problems[:50]:
        print(problem, file=sys.stderr)
    print(f"{len(tried)} hostile values, {len(problems)} problems")
    assert len(tried) > 1000, "the grammar was not found"
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
