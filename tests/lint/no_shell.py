"""No shell ever parses our data: programs are started by argv, through executor/process only."""
import re

import tree

FORBIDDEN = [
    (re.compile(r"(?<![\w.>])(?:std::|::)?system\s*\("), "system() hands text to a shell; use ProcessRunner"),
    (re.compile(r"(?<![\w.>])(?:std::|::)?popen\s*\("), "popen() hands text to a shell; use ProcessRunner"),
    (re.compile(r'"(?:/[\w/]*/)?(?:ba|da|z|k)?sh"\s*,\s*"-\w*c"'), "a shell that parses text; pass argv"),
]


def findings(root):
    for path in tree.files(root):
        if path.startswith("tests/"):
            continue
        numbered = tree.lines(root, path)
        # Comments may speak of it. Lines are kept, so that an argv over two lines is seen and its line is right.
        text = "\n".join(re.sub(r"^\s*//.*", "", line) for line in numbered)
        for pattern, why in FORBIDDEN:
            for match in pattern.finditer(text):
                yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {why}"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
