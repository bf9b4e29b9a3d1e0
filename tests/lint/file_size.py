"""A file of more than 500 lines does too many things."""
import tree

LIMIT = 500


def findings(root):
    for path in tree.files(root):
        count = len(tree.lines(root, path))
        if count > LIMIT:
            yield f"{path}:{LIMIT + 1}: has {count} lines, {LIMIT} are allowed; split it by what it does"


if __name__ == "__main__":
    tree.answer(list(findings(tree.root())))
