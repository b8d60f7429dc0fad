"""The Compose files of ``docker/`` follow their specification, and the promises of docs/deploy.md."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from tests.docker_files import ROOM
from tests.manual import snippets

COMPOSE: dict[str, Any] = yaml.safe_load((ROOM / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
QUEUE: dict[str, Any] = yaml.safe_load((ROOM / "compose.queue.yaml").read_text())
MACHINES: dict[str, Any] = yaml.safe_load((ROOM / "compose.machines.yaml").read_text())
ELSEWHERE: dict[str, Any] = MACHINES["services"]["worker"]
DEPLOY = (ROOM.parent / "docs" / "deploy.md").read_text()
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
OURS = ("worker", "hangtag", "web")
RETRAINING = ("schedule", "trainer")


def wrong(compose: object) -> list[str]:
    return [error.message for error in validator_for(SCHEMA)(SCHEMA).iter_errors(compose)]


@pytest.mark.parametrize("compose", [COMPOSE, QUEUE, MACHINES], ids=["compose", "queue", "machines"])
def test_it_keeps_to_the_specification(compose: dict[str, Any]) -> None:
    assert not wrong(compose)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_hardened_pinned_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert service["tmpfs"]
    assert not any("docker.sock" in volume for volume in service["volumes"])
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+", service["image"])
    if name != "hangtag":
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
        assert service["restart"] == "unless-stopped"


def test_redis_is_reached_by_hangtags_user_from_inside_only() -> None:
    redis = SERVICES["redis"]
    assert "ports" not in redis
    assert redis["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert redis["entrypoint"][:2] == ["sh", "/etc/hangtag/start.sh"]
    assert redis["healthcheck"]["test"][1:3] == ["sh", "/etc/hangtag/healthy.sh"]
    assert "./redis:/etc/hangtag:ro" in redis["volumes"]
    settings = dict(
        line.split(" ", 1) for line in (ROOM / "redis" / "redis.conf").read_text().splitlines() if line[0] != "#"
    )
    assert settings["appendonly"] == "yes"
    assert settings["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("name", [*OURS, *RETRAINING])
def test_the_password_comes_by_a_file(name: str) -> None:
    service = SERVICES[name]
    assert [service["secrets"][0]] == SERVICES["redis"]["secrets"] == ["redis_password"]
    assert service["environment"]["HANGTAG_REDIS_PASSWORD_FILE"] == f"/run/secrets/{service['secrets'][0]}"
    assert service["environment"]["HANGTAG_REDIS_URL"] == "redis://hangtag@redis:6379/0"
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_the_page_wants_a_token_and_a_proxy_on_this_machine() -> None:
    web = SERVICES["web"]
    options = dict(zip(web["command"][1::2], web["command"][2::2], strict=True))
    assert web["command"][0] == "web"
    assert options["--token-file"] == "/run/secrets/web_token"
    assert "web_token" in web["secrets"]
    assert COMPOSE["secrets"]["web_token"]["file"].endswith("./secrets/web_token}")
    assert web["ports"] == ["127.0.0.1:8800:8800"]
    assert web["profiles"] == ["web"]
    assert any(volume.endswith(f":{Path(options['--corrections']).parent}") for volume in web["volumes"])
    assert any(volume.endswith(":/registry") for volume in web["volumes"])


def test_a_worker_has_time_to_end_what_it_has_in_hand() -> None:
    worker = SERVICES["worker"]
    assert float(worker["stop_grace_period"].removesuffix("s")) >= float(worker["environment"]["HANGTAG_GRACE_S"]) + 10


def test_each_later_up_keeps_the_number_of_workers() -> None:
    assert SERVICES["worker"]["deploy"]["replicas"] == "${HANGTAG_WORKER_CONTAINERS:-1}"
    assert "HANGTAG_WORKER_CONTAINERS=2" in DEPLOY
    assert "--scale" not in DEPLOY, "Compose forgets it at the next up"


def test_down_stops_the_services_of_all_profiles() -> None:
    assert re.findall(r"compose \S+ \S+ (.*?)down\b", DEPLOY) == ["--profile '*' "]


def test_the_trainer_reads_the_answers_that_the_page_writes() -> None:
    (written,) = (volume for volume in SERVICES["web"]["volumes"] if volume.endswith(":/corrections"))
    assert f"{written}:ro" in SERVICES["trainer"]["volumes"]
    assert 'corrections = "/corrections/corrections.csv"' in DEPLOY
    assert SERVICES["web"]["command"][-1] == "/corrections/corrections.csv"


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name].get("image") == "hangtag-worker"])
def test_only_a_service_that_writes_the_heartbeat_is_checked_by_it(name: str) -> None:
    from_image = "healthcheck" not in SERVICES[name]
    assert from_image == (SERVICES[name]["command"][0] == "worker")


def test_a_worker_elsewhere_is_the_same_worker() -> None:
    here = SERVICES["worker"]
    for key in ("command", "image", "build", "user", "volumes", "tmpfs", "stop_grace_period"):
        assert ELSEWHERE[key] == here[key], key
    assert ELSEWHERE["deploy"] == here["deploy"] | {"replicas": 1}, "one container, because it uses a port"
    for key in ("read_only", "init", "cap_drop", "security_opt", "restart"):
        assert ELSEWHERE[key] == here[key], key
    apart = {"HANGTAG_REDIS_URL"}
    assert {k: v for k, v in ELSEWHERE["environment"].items() if k not in apart} == {
        k: v for k, v in here["environment"].items() if k not in apart
    }
    assert ELSEWHERE["ports"] == ["${HANGTAG_METRICS_ADDRESS:-127.0.0.1}:9108:9108"], "one address, never all"


def test_it_finds_redis_by_the_name_of_its_certificate_and_trusts_only_its_authority() -> None:
    url = ELSEWHERE["environment"]["HANGTAG_REDIS_URL"]
    assert url == "rediss://hangtag@queue.example:6379/0?ssl_ca_certs=/run/secrets/redis_ca"
    assert ELSEWHERE["extra_hosts"][0].startswith("queue.example:${HANGTAG_QUEUE_ADDRESS:?")
    assert MACHINES["secrets"]["redis_ca"]["file"] == QUEUE["secrets"]["redis_ca"]["file"] == "./secrets/ca.pem"
    assert set(ELSEWHERE["secrets"]) == set(MACHINES["secrets"]), "what is copied to the other machines, and no more"


def test_only_the_port_with_tls_leaves_the_machine_that_has_redis() -> None:
    redis = QUEUE["services"]["redis"]
    options = redis["entrypoint"]
    (port,) = redis["ports"]
    assert port.startswith("${HANGTAG_QUEUE_ADDRESS:?")
    assert port.endswith(f":6379:{options[options.index('--tls-port') + 1]}")
    assert options[: len(SERVICES["redis"]["entrypoint"])] == SERVICES["redis"]["entrypoint"]
    named = {f"/run/secrets/{name}" for name in (*SERVICES["redis"]["secrets"], *redis["secrets"])}
    assert {option for option in options if option.startswith("/run/secrets/")} == named


@pytest.mark.parametrize("program", ["hangtag", "docker"])
@pytest.mark.parametrize("yesterday", [True, False])
def test_a_night_without_a_job_of_yesterday_labels_all_photos(tmp_path: Path, program: str, yesterday: bool) -> None:
    """Each program that the script calls writes down its words; a missing job refuses ``--previous``."""
    script, function = (snippet.text for snippet in snippets(ROOM.parent / "docs" / "how-to" / "nightly.md"))
    if program == "docker":
        script = re.sub(r"^export .*\nPATH=.*$", lambda _: function, script, flags=re.MULTILINE)
    (tmp_path / program).write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/typed\ncase "$*" in *--previous*) exit {0 if yesterday else 2};; esac\n'
    )
    (tmp_path / program).chmod(0o755)
    script = script.replace("/opt/hangtag/bin", str(tmp_path))
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", script], env={"PATH": path}, check=True)
    typed = (tmp_path / "typed").read_text().splitlines()
    assert ["--previous shop-" in line for line in typed] == ([True] if yesterday else [True, False])
    assert all("submit" in line and " --job shop-" in line for line in typed)
    assert all(line.startswith("compose --file ") == (program == "docker") for line in typed)
