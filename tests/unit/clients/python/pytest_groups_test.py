"""What pytest runs by tests_config.yaml, in a pytest of its own for each case."""
import pytest

pytest_plugins = ["pytester"]

TESTS = {
    "tests/unit/test_sums.py": "def test_one(): pass",
    "tests/test_api_users.py": "def test_two(): pass",
    "tests/test_rest.py": "import pytest\ndef test_three(): pass\n@pytest.mark.slow\ndef test_four(): pass",
}


@pytest.fixture
def project(pytester):
    for name, text in TESTS.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(config, *arguments):
        if config is not None:
            (pytester.path / "tests_config.yaml").write_text(config, encoding="utf-8")
        return pytester.runpytest("-p", "slipway_pytest", "-p", "no:cacheprovider", *arguments)

    return run


def test_runs_everything_without_a_file(project):
    project(None).assert_outcomes(passed=4)


def test_runs_the_groups_that_are_on(project):
    done = project("test_groups:\n  unit: true\n  api: false\n  slow: false\n")
    done.assert_outcomes(passed=2, deselected=2)
    done.stdout.fnmatch_lines(["test groups: unit on, api OFF, slow OFF"])


def test_a_group_is_a_folder_a_file_or_a_marker(project):
    project("test_groups: {unit: false}\n").assert_outcomes(passed=3, deselected=1)
    project("test_groups: {api: no}\n").assert_outcomes(passed=3, deselected=1)
    project("test_groups: {slow: off}\n").assert_outcomes(passed=3, deselected=1)


def test_nothing_left_to_run_is_no_success(project):
    done = project("test_groups: {tests: false}\n")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_warns_of_a_group_that_is_nobodys(project):
    done = project("test_groups: {untit: true}\n")
    done.assert_outcomes(passed=4, warnings=1)
    done.stdout.fnmatch_lines(["*no test is of the group 'untit'*"])


def test_other_keys_are_others(project):
    project("coverage: 80\ntest_groups: {}\n").assert_outcomes(passed=4)


@pytest.mark.parametrize(
    "text, where",
    [
        ("test_groups: [unit]\n", "tests_config.yaml:1:14: test_groups must be a map"),
        ("test_groups:\n  unit: 1\n", "tests_config.yaml:2:9: test_groups.unit must be true or false"),
        ("test_groups:\n  unit: 'false'\n", "tests_config.yaml:2:9: test_groups.unit must be true or false"),
        ("test_groups:\n  unit: true\n  unit: false\n", "tests_config.yaml:3:3: 'unit' stands twice"),
        ("test_groups: {unit\n", "tests_config.yaml:2:1:"),
        ("- a\n", "tests_config.yaml:1:1: must be a map"),
        ("", "tests_config.yaml: must be a map"),
    ],
)
def test_says_where_the_file_is_wrong(project, text, where):
    done = project(text)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*{where}*".replace("[", "[[]")])


def test_a_named_file_must_be_there(project):
    done = project(None, "--tests-config", "other.yaml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*other.yaml: No such file or directory*"])
