"""What every check here shares: the files it looks at, and how it answers.

A check is a script that takes the tree's root, prints one `FILE:LINE: what is wrong` per finding and exits with 1 when
there is any. Only files that git knows are looked at; without git, as in the self-test, all files are.
"""
import os
import subprocess
import sys


def files(root, endings=(".cc", ".h")):
    """Paths relative to the root, sorted."""
    listed = None
    if os.path.exists(os.path.join(root, ".git")):
        answer = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=True)
        listed = [path for path in answer.stdout.decode().split("\0") if path]
    else:
        listed = [os.path.relpath(os.path.join(folder, name), root)
                  for folder, _, names in os.walk(root) for name in names]
    return sorted(path for path in listed
                  if path.endswith(endings) and os.path.isfile(os.path.join(root, path)))


def lines(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def answer(findings):
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)


def root():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} ROOT")
    return os.path.abspath(sys.argv[1])
