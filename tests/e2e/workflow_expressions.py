"""GitHub's expressions, as far as this repository's workflows use them. What is not known here fails, and is never just empty.

A value is a string, a boolean, a map, or None for what is not there.
"""
import re

TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*)|(?P<sign>\|\||&&|==|!=|[!(),]))")
TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS_FUNCTIONS = re.compile(r"\b(success|failure|always|cancelled)\s*\(")


class Unknown(AssertionError):
    """An expression uses what is not understood here, or names what is not there."""


class Scope:
    """What an expression may name: contexts, and the state of the job for the status functions.

    The contexts of OPEN may be asked for anything, as on GitHub: a secret that is not set is empty.
    """

    OPEN = ("secrets", "vars", "env", "event", "outputs")

    def __init__(self, contexts, succeeded=True, cancelled=False):
        self.contexts = contexts
        self.succeeded = succeeded
        self.cancelled = cancelled

    def find(self, path):
        value, name = self.contexts, "contexts"
        for key in path.split("."):
            if value is None:
                return None
            if not isinstance(value, dict):
                raise Unknown(f"{path}: {name} has no parts")
            if key not in value and name not in self.OPEN:
                raise Unknown(f"{path}: {name} has no {key}")
            value, name = value.get(key), key
        return value

    def call(self, name, arguments):
        if name == "format":
            return re.sub(r"\{(\d+)\}", lambda found: text(arguments[1 + int(found[1])]), text(arguments[0]))
        states = {"success": self.succeeded and not self.cancelled, "failure": not self.succeeded, "always": True,
                  "cancelled": self.cancelled}
        if name not in states or arguments:
            raise Unknown(f"{name}({len(arguments)} arguments)")
        return states[name]


class Parser:
    """Recursive descent; `or` binds weakest."""

    def __init__(self, source, scope):
        self.scope = scope
        self.tokens = []
        at = 0
        while at < len(source.rstrip()):
            found = TOKEN.match(source, at)
            if not found:
                raise Unknown(source)
            self.tokens.append(found.group(0).strip())
            at = found.end()
        self.tokens.append("")

    def take(self, *signs):
        if self.tokens[0] in signs:
            return self.tokens.pop(0)
        return None

    def whole(self):
        value = self.either()
        if self.tokens != [""]:
            raise Unknown(" ".join(self.tokens))
        return value

    def either(self):
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value if truth(value) else other
        return value

    def both(self):
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = other if truth(value) else value
        return value

    def compared(self):
        value = self.single()
        while sign := self.take("==", "!="):
            same = text(value).lower() == text(self.single()).lower()
            value = same if sign == "==" else not same
        return value

    def single(self):
        if self.take("!"):
            return not truth(self.single())
        if self.take("("):
            value = self.either()
            self.expect(")")
            return value
        token = self.tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in ("true", "false"):
            return token == "true"
        if not re.match(r"[A-Za-z_]", token):
            raise Unknown(f"'{token}'")
        if not self.take("("):
            return self.scope.find(token)
        arguments = []
        while not self.take(")"):
            arguments.append(self.either())
            self.take(",")
        return self.scope.call(token, arguments)

    def expect(self, sign):
        if not self.take(sign):
            raise Unknown(f"{sign} is missing before '{self.tokens[0]}'")


def truth(value):
    return value not in (None, "", False)


def text(value):
    if isinstance(value, dict):
        raise Unknown("a map where a text belongs")
    return {None: "", True: "true", False: "false"}.get(value, value)


def evaluate(source, scope):
    return Parser(source, scope).whole()


def fill(template, scope):
    """A text with its ${{ }} replaced."""
    return TEMPLATE.sub(lambda found: text(evaluate(found[1], scope)), str(template))


def fill_all(templates, scope):
    return {key: fill(text(value) if isinstance(value, bool) else value, scope) for key, value in (templates or {}).items()}


def holds(condition, scope):
    """An `if:`; one that asks for no state means `and everything went well`."""
    if condition is None:
        return truth(scope.call("success", []))
    source = str(condition).strip()
    whole = TEMPLATE.fullmatch(source)
    source = whole[1] if whole else source
    value = truth(evaluate(source, scope))
    return value if STATUS_FUNCTIONS.search(source) else value and truth(scope.call("success", []))
