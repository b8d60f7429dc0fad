"""Parse the files of ``docker/`` as far as tests need: Dockerfiles, the dashboard, the alerts."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOM = Path(__file__).parents[1] / "docker"


class Instruction(NamedTuple):
    stage: int
    verb: str
    rest: str


def read_dockerfile(name: str) -> list[Instruction]:
    lines = [line for line in (ROOM / name).read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = -1
    for line in joined.splitlines():
        verb, rest = line.split(" ", 1)
        stage += verb == "FROM"
        found.append(Instruction(stage, verb, rest.strip()))
    return found


def environment_of(instructions: list[Instruction]) -> dict[str, str]:
    last = instructions[-1].stage
    texts = [i.rest for i in instructions if i.verb == "ENV" and i.stage == last]
    return dict(pair.split("=", 1) for text in texts for pair in shlex.split(text))


def health_check_of(instructions: list[Instruction]) -> list[str]:
    (text,) = [i.rest for i in instructions if i.verb == "HEALTHCHECK"]
    command: list[str] = json.loads(text.split("CMD ", 1)[1])
    return command


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOM / "grafana" / "hangtag.json").read_text())
    return found


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOM / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    targets = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [*targets, *(rule["expr"] for rule in alert_rules())]


def metrics_named() -> set[str]:
    return {name for query in queries() for name in re.findall(r"\bhangtag_\w+", query)}
