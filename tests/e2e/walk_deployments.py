"""Deployments on a real walk, and what became of them."""
import re
import time

from stack import write
from walk_checks import Violation

SERVES = ("SUCCEEDED", "PARTIAL")
# So often the Engine may fail to answer in time.
MOST_SLOW = 10


def disturbs(action):
    """Requests may fail while it lasts."""
    action.disturbs = True
    return action


class Deployments:
    """Mixed into Walk, which has `random`, `hosts`, `applications`, `cordoned` and note()."""

    def release(self, app, settings=""):
        self.version += 1
        write(f"{app.folder}/app.env", f"HELLO_VERSION=w{self.version}\n{settings}\n")
        app.write()
        return f"w{self.version}"

    def deploy(self, app, settings="", kind="", meanwhile=None):
        version = self.release(app, settings)
        self.note(f"deploy {app.name} {version} {kind}")
        child = app.begin("deploy", "--commit", version)
        try:
            if meanwhile:
                time.sleep(self.random.uniform(0, 3))
                meanwhile()
        finally:
            output, _ = child.communicate(timeout=300)
        return self.outcome(app, version, output)

    def outcome(self, app, version, output):
        lines = output.strip().splitlines()
        self.note(f"  {next((line for line in lines if ' in ' in line and ': ' in line and 'host-' not in line[:6]), lines[-1] if lines else '')}")
        self.settle()
        newest = [one for one in app.newest(4) if one["commit"] == version]
        if not newest:
            self.note(f"  it was never begun: {output}")
            return "NONE"
        self.message = newest[0].get("message", "")
        state = newest[0]["state"].removeprefix("DEPLOYMENT_STATE_")
        if state in SERVES:
            self.serves(app, version)
        elif state == "NEEDS_ATTENTION":
            app.serving = dict.fromkeys(app.serving)
        return state

    def serves(self, app, version):
        for host in app.hosts:
            if host not in self.cordoned:
                app.serving[host] = version
        app.served = [version] + [known for known in app.served if known != version]

    def must_serve(self, state, why):
        if state in SERVES:
            return
        # On a machine that has far too much to do, which is no fault of a deployment; the next one must mend what is left.
        if "Docker: no answer in time" in self.message and self.slow < MOST_SLOW:
            self.slow += 1
            self.heal()
            return
        raise Violation(f"{why}, and it ended {state}")

    def deploy_good(self, app):
        self.must_serve(self.deploy(app), "a good release was deployed on sound hosts")

    def deploy_unhealthy(self, app):
        broken = "HELLO_EXIT_AFTER_MS=1" if app.health == "{path: /}" else "HELLO_BROKEN=1"
        app.patience = "2s"
        state = self.deploy(app, broken, "unhealthy")
        app.patience = "15s"
        if state != "FAILED":
            raise Violation(f"a release that never gets healthy ended {state}")

    @disturbs
    def deploy_dying(self, app):
        if self.deploy(app, "HELLO_DIE_AFTER_REQUESTS=3", "dies when it serves") in SERVES:
            self.deploy_good(app)

    def deploy_with_a_failing_hook(self, app):
        app.hook = True
        state = self.deploy(app, "HELLO_MIGRATE_EXIT=1", "its hook fails")
        if state != "FAILED":
            raise Violation(f"a release whose hook fails ended {state}")

    def deploy_both(self, _):
        versions = {app: self.release(app) for app in self.applications}
        self.note(f"deploy both: {list(versions.values())}")
        children = {app: app.begin("deploy", "--commit", version) for app, version in versions.items()}
        outputs = {app: child.communicate(timeout=300)[0] for app, child in children.items()}
        for app, output in outputs.items():
            self.must_serve(self.outcome(app, versions[app], output), "two good releases were deployed at once")

    def deploy_twice_at_once(self, app):
        """The second waits for the first."""
        first = self.release(app)
        early = app.begin("deploy", "--commit", first)
        time.sleep(self.random.uniform(0.3, 2))
        self.note(f"deploy {app.name} {first}, and before it has ended another")
        state = self.deploy(app, kind="queued")
        early.communicate(timeout=300)
        self.must_serve(state, "the second of two good releases")

    def cancel(self, app):
        def meanwhile():
            done = app.slipway("cancel", app.name)
            self.note(f"  cancel: {done.stdout.strip().splitlines()[-1]}")
        state = self.deploy(app, kind="and cancel", meanwhile=meanwhile)
        if state not in ("CANCELLED", "NONE") + SERVES:
            raise Violation(f"a deployment that was cancelled ended {state}")

    def hold_and_resume(self, app):
        version = self.release(app)
        held = app.slipway("deploy", "--commit", version, "--hold-before-flip")
        if held.returncode != 9:
            raise Violation(f"--hold-before-flip ends with {held.returncode}: {held.stdout}")
        word = self.random.choice(["resume", "abort"])
        if self.random.random() < 0.5:
            self.restart_ours(self.random.choice(["executor", "controller"]))
        self.note(f"hold {app.name} {version} before the flip, then {word}")
        done = app.slipway(word, app.name)
        state = self.outcome(app, version, done.stdout)
        if (state in SERVES) != (word == "resume"):
            raise Violation(f"after {word} it ended {state}")

    def roll_back(self, app):
        if len(app.served) < 2 or self.cordoned:
            return
        self.note(f"roll back {app.name}")
        done = app.slipway("rollback")
        self.note(f"  {done.stdout.strip().splitlines()[-1]}")
        self.settle()
        newest = app.newest()[0]
        if newest["state"].removeprefix("DEPLOYMENT_STATE_") in SERVES:
            self.serves(app, newest["commit"])

    def roll_back_on_the_host(self, app):
        host = self.random.choice(self.hosts)
        if host.name not in app.hosts:
            return
        self.note(f"roll back {app.name} on {host.name}")
        code, words = host.roll_back(app.name)
        self.note(f"  {words}")
        if code == 0:
            app.serving[host.name] = re.sub("^hello from ", "", host.get(app.page))
        if len(self.hosts) > 1:
            self.check()
            self.deploy_good(app)
