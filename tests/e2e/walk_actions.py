"""What people and machines do on a real walk beside deployments."""
import signal
import subprocess
import time

import stack
from stack import run, slipway, until
from walk_checks import Violation, soon
from walk_deployments import Deployments, disturbs
from walk_world import SLOTS

EXECUTOR_STEPS = ("stage", "build", "start", "health", "switch", "drain", "workers", "prune", "confirm")
EXECUTOR_POINTS = [f"executor.{step}.{moment}" for step in EXECUTOR_STEPS for moment in ("intended", "acted", "recorded")] + [
    f"nginx.switch.{moment}" for moment in ("before_write", "after_write", "after_test", "after_reload", "after_proof")]
CONTROLLER_POINTS = [f"controller.{step}.{moment}" for step in EXECUTOR_STEPS for moment in ("intended", "acted", "recorded")]


class Actions(Deployments):
    """Mixed into Walk, which has `random`, `hosts`, `all_hosts`, `controller`, `applications`, `cordoned` and note()."""

    # What slipway.yaml says.

    def configure(self, app, **settings):
        for name, value in settings.items():
            setattr(app, name, value)
        self.note(f"{app.name}: {settings}")
        app.write()
        done = app.slipway("apply")
        if done.returncode != 0:
            raise Violation(f"apply: {done.stdout}")

    def move_slots(self, app):
        self.configure(app, slots=self.random.choice(SLOTS[app.name]))

    def change_warmth(self, app):
        self.configure(app, warm=self.random.choice(["0s", "2s", "10m"]))

    def change_kept_releases(self, app):
        self.configure(app, releases=self.random.choice([2, 3, 5]))

    def change_health(self, app):
        self.configure(app, health=self.random.choice(["{path: /health, json: {status: ok}}", "{path: /}", "{path: /health, status: 200}"]))

    def deploy_with_a_wrong_health_path(self, app):
        before, app.health, app.patience = app.health, "{path: /nowhere}", "2s"
        state = self.deploy(app, kind="asked for its health where there is none")
        app.health, app.patience = before, "15s"
        if state != "FAILED":
            raise Violation(f"a health path without an answer, and it ended {state}")

    def toggle_hook(self, app):
        self.configure(app, hook=not app.hook)

    def change_environment(self, app):
        self.note(f"another environment for {app.name}")
        run(stack.CLI, "env", "set", cwd=app.folder, input=f"GREETING={self.random.random()}\n")

    def change_mode(self, app):
        """The site first, then the mode, then a deployment; and back in the other order."""
        marker = app.mode == "reload"
        if marker:
            for host in self.hosts:
                host.choose_by_marker(app.name, True)
        self.configure(app, mode="marker" if marker else "reload")
        self.deploy_good(app)
        if not marker and not self.cordoned:
            for host in self.hosts:
                host.choose_by_marker(app.name, False)

    # What hands do on a host.

    def edit_the_upstream_file(self, app):
        host = self.random.choice(self.hosts)
        path = f"{host.etc}/nginx/conf.d/{app.name}_upstream.conf"
        self.note(f"edit {app.name}'s upstream file on {host.name}")
        with open(path, "a", encoding="utf-8") as file:
            file.write("# by hand\n")
        self.deploy_good(app)

    def reload_nginx(self, _):
        self.note("reload nginx")
        self.random.choice(self.hosts).reload_nginx()

    @disturbs
    def restart_nginx(self, _):
        self.turn_nginx(self.random.choice(self.hosts))

    def turn_nginx(self, host):
        how = self.random.choice([signal.SIGTERM, signal.SIGQUIT])
        self.note(f"nginx of {host.name} ends by {how.name} and starts")
        host.end("nginx", how)
        host.start_nginx()

    @disturbs
    def restart_containers(self, app):
        host = self.random.choice(self.hosts)
        self.note(f"restart all containers of {host.name}")
        host.docker("restart", "-t", "1", *host.docker("ps", "-q").split())

    @disturbs
    def kill_processes(self, app):
        """Docker starts again what ends by itself."""
        host = self.random.choice(self.hosts)
        for one in host.containers(app.name):
            if one["State"] == "running" and self.random.random() < 0.5:
                self.note(f"kill the process of {one['Names'][0]} on {host.name}")
                pid = host.ask_engine(f"/containers/{one['Id']}/json")["State"]["Pid"]
                subprocess.run(["kill", "-9", str(pid)], check=False)

    @disturbs
    def kill_what_serves(self, app):
        """Docker does not start again what somebody has stopped: it must be said, and reconcile mends it."""
        host = self.random.choice(self.hosts)
        if host.name not in app.hosts or self.cordoned:
            return
        self.check()
        slot = next(one for one in self.status()[app.name]["hosts"] if one["host"] == host.name)["active_slot"]
        killed = [one for one in host.containers(app.name) if one["Labels"].get("slipway.slot") == slot.removeprefix("SLOT_").lower()]
        self.note(f"docker kill {killed[0]['Names'][0]} on {host.name}, which serves {app.name}; then reconcile")
        host.docker("kill", killed[0]["Id"])
        drift = app.slipway("drift")
        if drift.returncode == 0 or "web" not in drift.stdout:
            raise Violation(f"what serves was killed, and drift says {drift.stdout}")
        done = app.slipway("reconcile")
        if done.returncode != 0:
            raise Violation(f"reconcile ends with {done.returncode}: {done.stdout}")

    # What machines do.

    def restart_ours(self, name):
        kill = self.random.random() < 0.5
        how = signal.SIGKILL if kill else signal.SIGTERM
        if name == "controller":
            self.note(f"the controller ends by {how.name} and starts")
            self.controller.end(how)
            self.controller.start()
            return
        host = self.random.choice(self.hosts)
        self.note(f"the executor of {host.name} ends by {how.name} and starts")
        host.end("executor", how)
        host.start_executor()
        until(30, self.controller.ready, "the executor is connected")

    def restart_one_of_ours(self, _):
        self.restart_ours(self.random.choice(["executor", "controller"]))

    def restart_one_of_ours_meanwhile(self, app):
        name = self.random.choice(["executor", "controller"])
        self.must_serve(self.deploy(app, meanwhile=lambda: self.restart_ours(name)), f"the {name} was restarted")

    def freeze_an_executor_meanwhile(self, app):
        host = self.random.choice(self.hosts)

        def freeze():
            self.note(f"the executor of {host.name} stands still")
            host.children["executor"].send_signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(0.5, 4))
            host.children["executor"].send_signal(signal.SIGCONT)
        self.must_serve(self.deploy(app, meanwhile=freeze), "an executor stood still for seconds")

    def die_at_a_point(self, app):
        """Where a crash hurts most."""
        host = self.random.choice(self.hosts)
        ours = self.random.random() < 0.6
        point = self.random.choice(EXECUTOR_POINTS if ours else CONTROLLER_POINTS)
        self.note(f"{host.name if ours else 'the controller'} dies at {point}")
        if ours:
            host.end("executor")
            host.start_executor(point)
            until(30, self.controller.ready, "the executor is connected")
        else:
            self.controller.end()
            self.controller.start(point)
        version = self.release(app)
        child = app.begin("deploy", "--commit", version)
        alive = host.executor_alive if ours else self.controller.alive
        while alive() and child.poll() is None:
            time.sleep(0.05)
        if ours:
            host.end("executor")
            host.start_executor()
        else:
            self.controller.end()
            self.controller.start()
        output, _ = child.communicate(timeout=300)
        self.must_serve(self.outcome(app, version, output), f"one of ours died at {point}")

    def turn_engine(self, host):
        # A killed Engine without live-restore leaves networks of dead containers behind that answer for their addresses.
        how = self.random.choice([signal.SIGKILL, signal.SIGTERM]) if host.live_restore else signal.SIGTERM
        self.note(f"the Engine of {host.name} ends by {how.name} and starts, {'with' if host.live_restore else 'without'} live-restore")
        host.end("dockerd", how)
        time.sleep(self.random.choice([0, 0, 2]))
        host.start_engine()

    @disturbs
    def restart_engine(self, _):
        self.turn_engine(self.random.choice(self.hosts))
        self.heal()

    @disturbs
    def restart_engine_meanwhile(self, app):
        host = self.random.choice(self.hosts)
        self.deploy(app, meanwhile=lambda: self.turn_engine(host))
        self.heal()
        self.check()
        self.deploy_good(app)

    def heal(self):
        """Where the Engine did not start every container again it must be said, and reconcile mends it."""
        for app in self.applications:
            def serves(app=app):
                return "" if all(host.get(app.page).startswith("hello from") for host in self.hosts if host.name in app.hosts) else "not yet"
            try:
                soon(serves, seconds=5)
            except Violation:
                drift = app.slipway("drift")
                if drift.returncode == 0:
                    raise Violation(f"{app.name} is not answered, and drift says {drift.stdout}") from None
            if None in app.serving.values():
                self.deploy_good(app)
            elif app.slipway("drift").returncode != 0 and not self.cordoned:
                self.note(f"reconcile {app.name}")
                done = app.slipway("reconcile")
                if done.returncode != 0:
                    raise Violation(f"reconcile ends with {done.returncode}: {done.stdout}") from None

    @disturbs
    def restart_nginx_meanwhile(self, app):
        host = self.random.choice(self.hosts)
        self.deploy(app, meanwhile=lambda: self.turn_nginx(host))
        self.check()
        self.deploy_good(app)

    # It may serve already when it is removed.
    @disturbs
    def kill_the_candidate_meanwhile(self, app):
        host = self.random.choice(self.hosts)
        serving = {one["Id"] for one in host.containers(app.name)}

        def kill():
            for one in host.containers(app.name):
                if one["Id"] not in serving and one["Labels"]["slipway.role"] == "slot":
                    self.note(f"  remove {one['Names'][0]} on {host.name}")
                    subprocess.run(["docker", "-H", f"unix://{host.engine}", "rm", "-f", one["Id"]], check=False, capture_output=True)
        self.deploy(app, meanwhile=kill)
        self.heal()
        self.check()
        self.deploy_good(app)

    def roll_back_on_the_host_meanwhile(self, app):
        if len(self.hosts) > 1:
            return
        host = self.hosts[0]
        done = []

        def back():
            code, words = host.roll_back(app.name)
            self.note(f"  roll back on the host: {words}")
            done.append(code == 0)
        self.deploy(app, meanwhile=back)
        if done == [True]:
            # Whichever came last: it is what status says that counts.
            app.serving = dict.fromkeys(app.serving)

    def fill_a_disk(self, app):
        host = self.random.choice(self.hosts)
        name, disk = self.random.choice([(host.name, host.disk), ("the controller", self.controller.disk)])
        left = self.random.choice([0, 0, 8192, 100_000, 1_000_000])

        def fill():
            self.note(f"  the disk of {name} is full but for {left} bytes")
            disk.fill(left)
        before = self.random.random() < 0.3
        if before:
            fill()
        timer = self.random.uniform(1, 4)
        version = self.release(app)
        self.note(f"deploy {app.name} {version} on a full disk of {name}")
        child = app.begin("deploy", "--commit", version)
        if not before:
            time.sleep(self.random.uniform(0, 2.5))
            fill()
        time.sleep(timer)
        disk.empty()
        self.note("  the disk has room again")
        output, _ = child.communicate(timeout=300)
        if name == "the controller" and not self.controller.alive():
            raise Violation("the controller died of a full disk")
        if not host.executor_alive():
            raise Violation(f"the executor of {host.name} died of a full disk")
        self.outcome(app, version, output)
        # What came of a step may not have been written down; the next deployment puts that in order.
        soon(self.whether_status_is_what_serves)
        self.deploy_good(app)

    def let_time_pass(self, _):
        self.note("three seconds pass")
        time.sleep(3)

    # Of fleets.

    def hosts_command(self, *words):
        done = slipway("hosts", *words, cwd="/")
        self.note(f"hosts {' '.join(words)}: {(done.stdout.strip().splitlines() or [''])[-1]}")
        if done.returncode != 0:
            raise Violation(f"hosts {' '.join(words)}: {done.stdout}")

    def cordon(self, app):
        if self.cordoned:
            self.uncordon(app)
            return
        host = self.random.choice(self.hosts)
        self.hosts_command(self.random.choice(["cordon", "drain"]), host.name)
        self.cordoned.add(host.name)
        for _ in range(self.random.choice([0, 1, 2])):
            self.deploy_good(self.random.choice(self.applications))

    def uncordon(self, _):
        for name in list(self.cordoned):
            self.hosts_command("uncordon", name)
            self.cordoned.discard(name)
            self.catch_up(name)

    def catch_up(self, name):
        """It is brought to what the others serve."""
        for app in self.applications:
            others = [app.serving[host] for host in app.hosts if host != name]
            if name in app.hosts and others:
                app.serving[name] = others[0]

    def leave_and_return(self, app):
        """What a host that is removed serves, it goes on serving; when it is named again the next deployment reaches it."""
        if self.cordoned:
            return
        host = self.hosts[-1]
        for one in self.applications:
            self.configure(one, hosts=[name for name in one.hosts if name != host.name])
        pages = {one: host.get(one.page) for one in self.applications}
        self.hosts_command("remove", host.name)
        self.hosts = [one for one in self.hosts if one is not host]
        self.deploy_good(app)
        self.check()
        for one, page in pages.items():
            if host.get(one.page) != page:
                raise Violation(f"{host.name} was removed, and serves {host.get(one.page)} where it served {page}")
        self.hosts_command("add", host.name, "--address", host.address())
        self.hosts = self.hosts + [host]
        for one in self.applications:
            self.configure(one, hosts=[*one.hosts, host.name])
            self.deploy_good(one)

    def restart_in_a_fleet_deployment(self, app):
        host = self.random.choice(self.hosts)
        kill = self.random.choice([signal.SIGKILL, signal.SIGTERM])

        def turn():
            self.note(f"the executor of {host.name} ends by {kill.name}, and starts two seconds later")
            host.end("executor", kill)
            time.sleep(2)
            host.start_executor()
        self.must_serve(self.deploy(app, meanwhile=turn), f"the executor of {host.name} was away for two seconds")

    def weighted_actions(self):
        actions = [(self.deploy_good, 6), (self.deploy_unhealthy, 2), (self.deploy_dying, 1), (self.deploy_with_a_failing_hook, 1),
                   (self.deploy_both, 2), (self.deploy_twice_at_once, 1), (self.cancel, 3), (self.hold_and_resume, 2),
                   (self.roll_back, 4), (self.roll_back_on_the_host, 3), (self.move_slots, 2), (self.change_warmth, 2),
                   (self.change_kept_releases, 1), (self.change_health, 1), (self.deploy_with_a_wrong_health_path, 1),
                   (self.toggle_hook, 1), (self.change_environment, 1), (self.change_mode, 2), (self.edit_the_upstream_file, 1),
                   (self.reload_nginx, 1), (self.restart_nginx, 1), (self.restart_containers, 1), (self.kill_processes, 1),
                   (self.kill_what_serves, 1), (self.restart_one_of_ours, 2), (self.restart_one_of_ours_meanwhile, 4),
                   (self.freeze_an_executor_meanwhile, 1), (self.die_at_a_point, 4), (self.restart_engine, 1),
                   (self.restart_engine_meanwhile, 1), (self.restart_nginx_meanwhile, 1), (self.kill_the_candidate_meanwhile, 1),
                   (self.roll_back_on_the_host_meanwhile, 1), (self.fill_a_disk, 2), (self.let_time_pass, 1)]
        if len(self.all_hosts) > 1:
            actions += [(self.cordon, 6), (self.leave_and_return, 2), (self.restart_in_a_fleet_deployment, 3)]
        return actions
