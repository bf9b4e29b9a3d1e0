"""pytest goes by tests_config.yaml: which groups of tests run.

    test_groups:
      unit: true
      integration: false

A test is of the group NAME when it has the marker NAME, stands below a folder NAME, or in a file test_NAME.py, test_NAME_*.py or
NAME_test.py; of several, each must be true. What is of no named group runs. A group that no test is of is warned about, for it may
be misspelt.
"""
from __future__ import annotations

import pathlib

import pytest
import yaml

DEFAULT_FILE = "tests_config.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tests-config",
        metavar="FILE",
        help=f"which groups of tests run; default: {DEFAULT_FILE} in the root folder, if it is there",
    )


def pytest_configure(config: pytest.Config) -> None:
    named = config.getoption("--tests-config")
    path = pathlib.Path(named) if named else config.rootpath / DEFAULT_FILE
    groups: dict[str, bool] = {}
    if named or path.exists():
        groups = read_groups(path)
    for name in groups:
        config.addinivalue_line("markers", f"{name}: a group of {path.name}")
    config.stash[_GROUPS] = groups


def pytest_report_header(config: pytest.Config) -> list[str]:
    groups = config.stash[_GROUPS]
    if not groups:
        return []
    return ["test groups: " + ", ".join(f"{name} {'on' if on else 'OFF'}" for name, on in groups.items())]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    groups = config.stash[_GROUPS]
    off: list[pytest.Item] = []
    seen: set[str] = set()
    for item in items:
        own = _groups_of(item, groups, config.rootpath)
        seen |= own
        if not all(groups[name] for name in own):
            off.append(item)
    for name in sorted(groups.keys() - seen):
        config.issue_config_time_warning(pytest.PytestWarning(f"no test is of the group '{name}' of {DEFAULT_FILE}"), stacklevel=2)
    if off:
        config.hook.pytest_deselected(items=off)
        kept = set(items) - set(off)
        items[:] = [item for item in items if item in kept]


_GROUPS = pytest.StashKey[dict[str, bool]]()


def read_groups(path: pathlib.Path) -> dict[str, bool]:
    """pytest.UsageError that names file, line and column for what is not a map of names to true or false."""
    try:
        document = yaml.compose(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise pytest.UsageError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(path, mark, error.problem or "is no YAML") from error
    if not isinstance(document, yaml.MappingNode):
        raise _wrong(path, document.start_mark if document else None, "must be a map with the key test_groups")
    groups: dict[str, bool] = {}
    for key, value in document.value:
        if key.value != "test_groups":
            continue
        if not isinstance(value, yaml.MappingNode):
            raise _wrong(path, value.start_mark, "test_groups must be a map of names to true or false")
        for name, on in value.value:
            if name.value in groups:
                raise _wrong(path, name.start_mark, f"'{name.value}' stands twice")
            if on.tag != "tag:yaml.org,2002:bool":
                raise _wrong(path, on.start_mark, f"test_groups.{name.value} must be true or false")
            groups[name.value] = on.value.lower() in ("true", "yes", "on")
    return groups


def _wrong(path: pathlib.Path, mark: yaml.Mark | None, what: str) -> pytest.UsageError:
    where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    return pytest.UsageError(f"{path}{where}: {what}")


def _groups_of(item: pytest.Item, groups: dict[str, bool], root: pathlib.Path) -> set[str]:
    folders = set(item.path.relative_to(root).parts[:-1]) if item.path.is_relative_to(root) else set()
    stem = item.path.stem
    return {
        name
        for name in groups
        if item.get_closest_marker(name) is not None
        or name in folders
        or stem in (f"test_{name}", f"{name}_test")
        or stem.startswith(f"test_{name}_")
    }
