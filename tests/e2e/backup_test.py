#!/usr/bin/env python3
"""The controller's machine is lost, with everything since the last backup, while the site goes on serving."""
import pathlib
import shutil
import subprocess
import sys

import stack
from stack import APP, SITE, Daemon, Load, run, slipway, slipway_json

CONTROLLER = f"{stack.BUILD}/controller/slipway-controller"
CANARY = "CANARY-8e21c0"


def controller(*arguments):
    return subprocess.run([CONTROLLER, "--config", f"{SITE}/controller.yaml", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)


def deploy(check, version):
    stack.write(f"{APP}/app.env", f"HELLO_VERSION={version}\n")
    done = slipway("deploy", "--commit", version)
    check(done.returncode == 0, f"{version} is deployed", done.stdout)


def lose_the_state(daemon):
    """Everything but the configuration file."""
    daemon.kill()
    shutil.rmtree(f"{SITE}/controller")


def main():
    check = stack.Checks()
    with stack.site():
        daemon = Daemon("controller")
        run(stack.CLI, "apply", cwd=APP)
        check(slipway("env", "set", "SECRET", stdin=CANARY).returncode == 0, "a secret is stored")
        deploy(check, "v1")
        deploy(check, "v2")
        with Load(seconds=300) as load:
            made = controller("backup", f"{SITE}/backups", "--keep", "3")
            check(made.returncode == 0, "a backup while the controller runs", made.stdout)
            backup = pathlib.Path(made.stdout.strip())
            check(backup.parent == pathlib.Path(f"{SITE}/backups") and backup.is_dir(), f"it is at {backup}")
            doctor = slipway("doctor", cwd="/").stdout
            check("backup" in doctor and " old" in doctor, "doctor says how old it is", doctor)
            deploy(check, "v3")
            rows = int(slipway_json("audit", "verify")["rows"])

            refused = controller("restore", str(backup))
            check(refused.returncode == 1 and "another controller uses" in refused.stdout, "no restore under a running controller", refused.stdout)
            lose_the_state(daemon)
            restored = controller("restore", str(backup))
            check(restored.returncode == 0, "restored", restored.stdout)
            daemon.start()
            stack.until(20, stack.connected, "the host is connected")

            verified = slipway_json("audit", "verify")
            check(int(verified["rows"]) < rows and not verified.get("problems") and int(verified["lost_after"]) > 0,
                  "the history is whole, and it is known what is lost of it", str(verified))
            metrics = stack.get(9780, "/metrics")
            check("slipway_history_intact 1" in metrics, "no alarm for what the restore has lost")
            check("v3" in stack.get(8080), "what was deployed after the backup serves")
            status = slipway("status").stdout
            check(" v3 " in status, "status says what serves", status)
            deploy(check, "v4")
            check("v4" in stack.get(8080), "and it can be deployed again")
            back = slipway("rollback")
            check(back.returncode == 0, "and gone back", back.stdout)
            verified = slipway("audit", "verify")
            check(verified.returncode == 0 and "a backup was restored" in verified.stdout, "the hosts keep the history as it is now", verified.stdout)
        check(load.failed == 0 and load.requests > 1000, f"{load.failed} of {load.requests} requests failed", load.table)
        check(CANARY not in made.stdout + restored.stdout + doctor, "no secret in what was printed")
        found = subprocess.run(["grep", "-rl", CANARY, str(backup)], capture_output=True, text=True, check=False).stdout
        check(not found, "no secret readable in the backup", found)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
