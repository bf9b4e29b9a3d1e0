#!/usr/bin/env python3
"""Every command that a message tells people to type is one that `slipway` takes, with the words that the message puts into it.

`hints_test.py ROOT PARSE_COMMANDS`: the sources, and the program of tests/support/parse_commands.cc.
"""
import pathlib
import re
import shlex
import subprocess
import sys

FOLDERS = ("common", "controller", "executor", "clients")
# What stands for a value that the message puts in: names as they are in examples.
VALUE, BREAK = "\x00", "\x01"
VALUES = ("gifty", "20261122-3f2c1a", "9b01cd3f2c1a", "web-1")
LITERAL = re.compile(r'R"\((?P<raw>.*?)\)"|"(?P<text>(?:[^"\\\n]|\\.)*)"', re.DOTALL)
COMMENT = re.compile(r"//[^\n]*")
COMMAND = re.compile(r"`(slipway [^`\x01]*)`")


def flattened(source):
    """The text of a file's string literals, with VALUE for what StrCat() puts between two and BREAK where they do not belong
    together."""
    source = COMMENT.sub("", source)
    text, end = [], 0
    for match in LITERAL.finditer(source):
        between = source[end:match.start()]
        if between.strip() and not re.fullmatch(r'\s*,[^;{}]{1,200},\s*', between, re.DOTALL):
            text.append(BREAK)
        elif between.strip():
            text.append(VALUE)
        literal = match["raw"] if match["raw"] is not None else match["text"]
        text.append(literal.replace('\\"', '"').replace("\\n", "\n"))
        end = match.end()
    return "".join(text)


def commands(root):
    """(file, command with VALUE in it)"""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".cc", ".h", ".py"):
                for command in COMMAND.findall(flattened(path.read_text())):
                    yield path.relative_to(root), " ".join(command.split())


def variants(command):
    """The command with each kind of value in its places; brackets and dots of a synopsis go."""
    plain = re.sub(r"\[[^\]]*\]| \.\.\.|\.\.\.", "", command).replace("'", "")
    if VALUE not in plain:
        return [plain]
    return [plain.replace(VALUE, value) for value in VALUES]


def main():
    root, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    found = list(commands(root))
    tried = [(path, command, variant) for path, command in found for variant in variants(command)]
    lines = "".join("\x1f".join(shlex.split(variant)) + "\n" for _, _, variant in tried)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True, timeout=60)
    verdicts = [line for line in done.stdout.splitlines() if line in ("ok", "bad")]
    assert len(verdicts) == len(tried), done.stdout
    good = {(path, command) for (path, command, _), verdict in zip(tried, verdicts) if verdict == "ok"}
    # A place takes one kind of value; which one the grammar does not say, for names are words.
    problems = sorted({(str(path), command.replace(VALUE, "VALUE")) for path, command in found if (path, command) not in good})
    for path, command in problems:
        print(f"{path}: `{command}` is no command of slipway", file=sys.stderr)
    print(f"{len(set(found))} commands in messages, {len(problems)} of them not taken")
    assert len(set(found)) > 40, "the commands were not found"
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
