"""The files that a deployment goes by fit each other; put your own tests beside this one."""
import pathlib

import yaml

ROOT = pathlib.Path(__file__).parents[2]
SPEC = yaml.safe_load((ROOT / "slipway.yaml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / SPEC["compose"]["file"]).read_text(encoding="utf-8"))


def test_every_named_service_is_in_the_compose_file() -> None:
    named = {*SPEC["compose"]["slotted"], *SPEC["compose"].get("workers", [])}
    assert named <= COMPOSE["services"].keys()
