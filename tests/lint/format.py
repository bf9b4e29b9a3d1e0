"""Every file is as clang-format 14 leaves it with our .clang-format."""
import re
import shutil
import subprocess
import sys

import tree

VERSION = 14


def program():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        path = shutil.which(name)
        if path and re.search(rf"version {VERSION}\.", subprocess.run([path, "--version"], capture_output=True,
                                                                      text=True, check=True).stdout):
            return path
    sys.exit(f"clang-format {VERSION} is not installed; other versions format otherwise")


def findings(root):
    paths = tree.files(root)
    if not paths:
        return
    run = subprocess.run([program(), "--dry-run", "-Werror", "--style=file", *paths], cwd=root, capture_output=True,
                         text=True)
    wrong = {}
    for match in re.finditer(r"^(.+?):(\d+):\d+: error:", run.stderr, re.MULTILINE):
        wrong.setdefault(match[1], match[2])
    for path, line in sorted(wrong.items()):
        yield f"{path}:{line}: not formatted; run clang-format -i {path}"
    if run.returncode != 0 and not wrong:
        yield f"clang-format: {run.stderr.strip()}"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
