import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.process import this_machine
from worker import doctor
from worker.doctor import Health, examine
from worker.queue.private_redis import PrivateRedis


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HANGTAG_REDIS_URL", raising=False)


@pytest.fixture(scope="module")
def redis(redis_installed, tmp_path_factory):
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def finding(what, **asked):
    return next(one for one in examine(**asked) if one.what == what)


def test_a_redis_that_was_named_and_is_away_is_wrong(monkeypatch):
    asked = finding("Redis", redis="redis://127.0.0.1:1/0")
    assert asked.health is Health.WRONG
    assert "redis://127.0.0.1:1/0 does not answer" in asked.found
    assert "redis-server" in asked.do
    monkeypatch.setenv("HANGTAG_REDIS_URL", "redis://127.0.0.1:1/0")
    assert finding("Redis").health is Health.WRONG


def test_a_redis_that_answers_says_how_many_workers_are_there(redis):
    found = finding("Redis", redis=redis.url)
    assert (found.health, found.found) == (Health.FINE, f"{redis.url} answers; 0 workers there")


def test_packages_that_are_missing_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setattr(doctor, "distributions", lambda name: [] if name in {"tensorflow", "mlflow-skinny"} else [name])
    train = finding("Extra train")
    assert (train.health, train.found) == (Health.MISSING, "without tensorflow")
    assert "pip install 'hangtag[train]'" in train.do
    assert finding("Extra web").health is Health.FINE


@pytest.mark.parametrize(("instructions", "said"), [(("avx2", "avx_vnni"), "quick"), (("avx2",), "little")])
def test_the_processor_says_what_int8_gains(monkeypatch, instructions, said):
    machine = replace(this_machine(), instructions=instructions)
    monkeypatch.setattr(doctor, "this_machine", lambda: machine)
    assert said in finding("Processor").found


def test_the_command_prints_a_table_or_json_and_its_status_says_whether_something_is_wrong(redis):
    app = make_app(["worker"])
    shown = CliRunner().invoke(app, ["doctor", "--redis", redis.url], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    assert "✓ Redis" in " ".join(shown.output.split())
    told = CliRunner().invoke(app, ["doctor", "--redis", "redis://127.0.0.1:1/0", "--json"])
    assert told.exit_code == 1
    assert {one["health"] for one in json.loads(told.output)} == {"fine", "wrong"}
