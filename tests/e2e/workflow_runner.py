"""Runs workflow files as GitHub does, as far as this repository's workflows go; whatever else is in them fails.

Real: every `run:` step by bash, with the environment, files and signals that a runner gives; local composite actions; reusable
workflows; conditions, outputs, and the order of jobs. Stand-ins: actions/checkout copies a folder, actions/setup-python makes a
virtual environment of the system's Python, which must be of the wanted version, artifacts are folders of the run. Services,
containers and matrices are not there.
"""
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import yaml
from workflow_expressions import STATUS_FUNCTIONS, Scope, Unknown, fill, fill_all, holds

SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}
# From the first signal to a cancelled step to the next, as a runner waits.
PATIENCE = ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 60))


def load(path):
    """A workflow or action file; `on` stays a word."""
    with open(path, encoding="utf-8") as file:
        document = yaml.safe_load(file)
    if True in document:
        document["on"] = document.pop(True)
    return document


def matches(pattern, name):
    """A branch filter: * stays within a part of the name, ** does not."""
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.fullmatch("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts), name) is not None


def triggered(workflow, event, branch):
    """Whether a push to the branch, or a pull request into it, starts the workflow."""
    if event not in workflow["on"]:
        return False
    filters = workflow["on"][event] or {}
    if set(filters) - {"branches"}:
        raise Unknown(f"filters {set(filters)}")
    return any(matches(pattern, branch) for pattern in filters.get("branches", ["**"]))


@dataclasses.dataclass
class Event:
    name: str
    ref: str
    sha: str
    message: str = ""


@dataclasses.dataclass
class Job:
    """What a job has come to."""

    result: str = "skipped"
    outputs: dict = dataclasses.field(default_factory=dict)
    log: str = ""
    summary: str = ""
    environment: dict = dataclasses.field(default_factory=dict)
    # In scripts, and not in what stands for somebody else's actions.
    seconds: float = 0.0
    steps: dict = dataclasses.field(default_factory=dict)
    codes: dict = dataclasses.field(default_factory=dict)


class Runner:
    """A repository on a server, and the machine that runs its jobs.

    `repositories` has the folder that each repository's checkout copies. `cancel_at` is a pattern: the job is cancelled as soon as
    a line of its log has it. `masks` is what steps asked to be masked, `shown` every log, summary and output.
    """

    def __init__(self, folder, server, repository, repositories, secrets, variables):
        self.folder = folder
        self.server = server
        self.repository = repository
        self.repositories = repositories
        self.secrets = secrets
        self.variables = variables
        self.extra = {}
        self.cancel_at = None
        self.masks = []
        self.shown = []
        self.jobs = 0

    def run(self, path, event):
        """Jobs by name; those of a reusable workflow as CALLER/NAME."""
        workflow = load(path)
        contexts = {"secrets": self.secrets, "inputs": {}}
        return self.run_jobs(workflow, event, contexts, (self.repository, event.sha))

    def run_jobs(self, workflow, event, contexts, source):
        if set(workflow) - {"name", "on", "permissions", "concurrency", "jobs"}:
            raise Unknown(f"a workflow with {list(workflow)}")
        jobs = {}
        for name in in_order(workflow["jobs"]):
            job = workflow["jobs"][name]
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            known = dict(contexts, github=self.github(event), vars=self.variables,
                         needs={need: {"result": jobs[need].result, "outputs": jobs[need].outputs} for need in needs})
            scope = Scope(known, succeeded=all(jobs[need].result == "success" for need in needs),
                          cancelled=any(jobs[need].result == "cancelled" for need in needs))
            fill(workflow.get("concurrency", {}).get("group", ""), scope)
            if not holds(job.get("if"), scope):
                jobs[name] = Job()
            elif "uses" in job:
                jobs.update(self.call(name, job, event, scope))
            else:
                jobs[name] = JobRun(self, job, event, known, source).run()
        return jobs

    def call(self, name, job, event, scope):
        """A reusable workflow: OWNER/NAME/PATH@REF."""
        owner, repository, path = job["uses"].split("@")[0].split("/", 2)
        source = f"{owner}/{repository}"
        workflow = load(f"{self.repositories[source]}/{path}")
        wanted = workflow["on"]["workflow_call"]
        given = fill_all(job.get("with"), scope)
        inputs = {key: given.pop(key, value.get("default")) for key, value in wanted["inputs"].items()}
        secrets = fill_all(job.get("secrets"), scope)
        unknown = set(given) | set(secrets) - set(wanted["secrets"])
        if unknown:
            raise Unknown(f"{path} does not take {unknown}")
        jobs = self.run_jobs(workflow, event, {"secrets": secrets, "inputs": inputs}, (source, "c0ffee"))
        results = [each.result for each in jobs.values()]
        result = next((state for state in ("failure", "cancelled") if state in results), "success")
        return {name: Job(result=result), **{f"{name}/{inner}": each for inner, each in jobs.items()}}

    def github(self, event):
        return {"repository": self.repository, "ref": event.ref, "sha": event.sha, "event_name": event.name, "actor": "ann",
                "server_url": self.server, "run_id": "99", "run_attempt": "1", "action_repository": "",
                "event": {"head_commit": {"message": event.message}}}


class JobRun:
    """One job on a machine of its own: a workspace, a home without keys, and nothing of this process's environment."""

    def __init__(self, runner, job, event, contexts, source):
        self.runner = runner
        self.definition = job
        self.event = event
        runner.jobs += 1
        self.folder = f"{runner.folder}/job-{runner.jobs}"
        self.workspace = f"{self.folder}/work"
        for name in ("work", "temp", "home"):
            os.makedirs(f"{self.folder}/{name}")
        self.github = dict(contexts["github"], workspace=self.workspace)
        self.contexts = dict(contexts, github=self.github, job={"workflow_repository": source[0], "workflow_sha": source[1]})
        self.path = ["/usr/local/bin", "/usr/bin", "/bin"]
        self.job = Job(result="success")
        self.cancelled = False
        self.files = 0

    def run(self):
        if set(self.definition) - {"needs", "if", "runs-on", "timeout-minutes", "permissions", "environment", "outputs", "steps"}:
            raise Unknown(f"a job with {list(self.definition)}")
        steps = self.run_steps(self.definition["steps"], self.contexts, {}, self.job.steps)
        scope = self.scope(dict(self.contexts, steps=steps), True)
        self.job.environment = fill_all(self.definition.get("environment"), scope)
        self.job.outputs = fill_all(self.definition.get("outputs"), scope)
        if self.cancelled:
            self.job.result = "cancelled"
        self.runner.shown += [self.job.log, self.job.summary, *self.job.outputs.values()]
        return self.job

    def scope(self, contexts, succeeded):
        return Scope(contexts, succeeded, self.cancelled)

    def run_steps(self, steps, contexts, env, ran):
        """Their outputs by id. What failed stays in self.job.result."""
        outputs = {step["id"]: {"outputs": {}, "outcome": "skipped"} for step in steps if "id" in step}
        succeeded = True
        for step in steps:
            scope = self.scope(dict(contexts, steps=outputs, env=env), succeeded)
            name = step.get("name") or step.get("uses")
            if not holds(step.get("if"), scope):
                ran[name] = "skipped"
                continue
            good, values = self.run_step(step, name, scope, dict(env, **fill_all(step.get("env"), scope)))
            ran[name] = "success" if good else "failure"
            succeeded = succeeded and good
            if "id" in step:
                outputs[step["id"]] = {"outputs": values, "outcome": ran[name]}
        if not succeeded:
            self.job.result = "failure"
        return outputs

    def run_step(self, step, name, scope, env):
        if set(step) - {"id", "name", "if", "uses", "with", "env", "run", "shell", "working-directory"}:
            raise Unknown(f"a step with {list(step)}")
        if "run" in step:
            return self.run_script(step, name, scope, env)
        with_ = fill_all(step.get("with"), scope)
        if step["uses"].startswith("./"):
            return self.run_action(f"{self.workspace}/{step['uses']}", with_, env, "")
        for repository, folder in self.runner.repositories.items():
            if step["uses"].startswith(f"{repository}/"):
                return self.run_action(folder + step["uses"].split("@")[0].removeprefix(repository), with_, env, repository)
        stand_in = {"actions/checkout": self.check_out, "actions/setup-python": self.set_up_python, "actions/upload-artifact": self.keep,
                    "actions/download-artifact": self.fetch}.get(step["uses"].split("@")[0])
        if stand_in is None:
            raise Unknown(step["uses"])
        stand_in(**{key.replace("-", "_"): value for key, value in with_.items()})
        return True, {}

    def keep(self, name, path, retention_days="90"):
        """Only within this run; a file that was kept under the name before is gone, as in a run of its own."""
        kept = f"{self.runner.folder}/artifacts/{name}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(f"{self.workspace}/{path}", kept)

    def fetch(self, name, path):
        shutil.copytree(f"{self.runner.folder}/artifacts/{name}", f"{self.workspace}/{path}")

    def check_out(self, path=".", repository=None, ref=None, persist_credentials="true"):
        if persist_credentials != "false":
            raise Unknown("a checkout that leaves the job's token behind")
        if (repository is None) != (ref is None):
            raise Unknown("a checkout of another repository needs its commit")
        shutil.copytree(self.runner.repositories[repository or self.runner.repository], f"{self.workspace}/{path}", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".git", "build", "node_modules", "__pycache__"))

    def set_up_python(self, python_version):
        if python_version != f"{sys.version_info.major}.{sys.version_info.minor}":
            raise Unknown(f"Python {python_version}: this is {sys.version}")
        folder = f"{self.runner.folder}/python-{python_version}"
        if not os.path.exists(folder):
            subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
        self.path.insert(0, f"{folder}/bin")

    def run_action(self, folder, given, env, repository):
        action = load(f"{folder}/action.yml")
        if action["runs"]["using"] != "composite":
            raise Unknown(action["runs"]["using"])
        # They would never run: whatever cancels a job cancels its action's steps with the action.
        if any(STATUS_FUNCTIONS.search(str(step.get("if", ""))) for step in action["runs"]["steps"]):
            raise Unknown(f"{folder}: a step that asks for the state of the job")
        inputs = {key: given.pop(key, value.get("default")) for key, value in action["inputs"].items()}
        if given or None in inputs.values():
            raise Unknown(f"{folder}: inputs {given or inputs}")
        # As on GitHub an action sees no secret that it was not given.
        contexts = {"github": dict(self.github, action_path=folder, action_repository=repository), "inputs": inputs}
        before = self.job.result
        self.job.result = "success"
        outputs = self.run_steps(action["runs"]["steps"], contexts, env, self.job.steps)
        good = self.job.result == "success"
        self.job.result = before
        scope = self.scope(dict(contexts, steps=outputs), good)
        values = {key: fill(value["value"], scope) for key, value in action.get("outputs", {}).items()}
        self.runner.shown += values.values()
        return good, values

    def run_script(self, step, name, scope, env):
        if "${{" in step["run"]:
            raise Unknown(f"an expression in the text of a script, which it could become part of: {step['run']}")
        self.files += 1
        files = {word: f"{self.folder}/temp/{word.lower()}-{self.files}" for word in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")}
        for path in files.values():
            write(path, "")
        script = f"{self.folder}/temp/script-{self.files}.sh"
        write(script, step["run"])
        environment = {
            "CI": "true", "GITHUB_ACTIONS": "true", "HOME": f"{self.folder}/home", "LANG": "C.UTF-8", "PATH": ":".join(self.path),
            "RUNNER_TEMP": f"{self.folder}/temp", "RUNNER_TOOL_CACHE": f"{self.runner.folder}/tools", "GITHUB_WORKSPACE": self.workspace,
            **{f"GITHUB_{key.upper()}": self.github[key] for key in ("repository", "ref", "sha", "event_name", "actor", "server_url", "run_id", "run_attempt")},
            **files, **self.runner.extra, **env}
        if "action_path" in scope.contexts["github"]:
            environment["GITHUB_ACTION_PATH"] = scope.contexts["github"]["action_path"]
        folder = os.path.join(self.workspace, fill(step.get("working-directory", "."), scope))
        start = time.monotonic()
        code = self.watch([*SHELLS[step.get("shell")], script], folder, environment)
        self.job.seconds += time.monotonic() - start
        if read(files["GITHUB_ENV"]) or read(files["GITHUB_PATH"]):
            raise Unknown(f"{name} changes the environment of later steps")
        self.job.summary += read(files["GITHUB_STEP_SUMMARY"])
        self.job.codes[name] = code
        return code == 0, read_outputs(read(files["GITHUB_OUTPUT"]))

    def watch(self, argv, folder, environment):
        """Its exit code; its lines go into the log, and one of them may cancel the job."""
        # Whoever started this test in the background had it ignore SIGINT, which a runner's children do not.
        child = subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, errors="replace", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        for line in child.stdout:
            if line.startswith("::add-mask::"):
                self.runner.masks.append(line.strip().removeprefix("::add-mask::"))
                continue
            self.job.log += line
            if not self.cancelled and self.runner.cancel_at and re.search(self.runner.cancel_at, line):
                self.cancelled = True
                threading.Thread(target=end, args=(child,)).start()
        return child.wait()


def end(child):
    for number, seconds in PATIENCE:
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            return


def in_order(jobs):
    """Names, each after what it needs."""
    done = []
    while len(done) < len(jobs):
        ready = [name for name, job in jobs.items() if name not in done and set(aslist(job.get("needs", []))) <= set(done)]
        if not ready:
            raise Unknown(f"jobs that need each other: {set(jobs) - set(done)}")
        done.append(ready[0])
    return done


def aslist(value):
    return [value] if isinstance(value, str) else value


def read_outputs(text):
    """NAME=VALUE and NAME<<END lines; of two values the later one counts."""
    values, lines = {}, iter(text.splitlines())
    for line in lines:
        name, block, mark = line.partition("<<")
        if not block:
            name, _, values[name] = line.partition("=")
            continue
        value = []
        for inner in lines:
            if inner == mark:
                break
            value.append(inner)
        values[name] = "\n".join(value)
    return values


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
