"""Each command with a report has ``--json``, which prints only JSON on stdout."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import run_hangtag
from tests.integration.cluster import Cluster
from tests.manual import APP, ROOT, find_command
from worker.queue.private_redis import PrivateRedis

MAKE_OR_SERVE = {"demo", "web", "review", "worker", "schedule"}
"""Commands that report nothing; the last two log JSON lines."""
ACT = {f"jobs {name}" for name in ("cancel", "resume", "retry-failed")}
ACT |= {f"models {name}" for name in ("rollback", "promote", "alias", "delete")}
"""Commands whose exit status says whether it was done; ``jobs show`` and ``models history`` tell the rest."""
GROUPS = {"jobs", "models", "corrections"}

HERE = """
check photos
check photos --quarantine aside
check --undo aside
evaluate run photos
train --resume run
export run --out bundles/again --no-int8
verify bundles/shop
benchmark bundles/shop
classify catalogue/1.jpg --model bundles/shop
label catalogue --model bundles/shop --out labels.parquet
corrections import answered.csv --reviewer anna
corrections
corrections list
corrections apply labels.parquet
models publish bundles/shop --name shop --promote
models publish bundles/plain --name shop --promote
models
models history shop
"""
ON_A_QUEUE = """
jobs
jobs show few
jobs watch few
"""


def _reporting() -> set[str]:
    nested = {f"{group} {name}" for group in GROUPS for name in APP.commands[group].commands}
    return (set(APP.commands) | nested) - MAKE_OR_SERVE - ACT


def _name(words: list[str]) -> str:
    return " ".join(words[:2]) if words[0] in GROUPS and len(words) > 1 else words[0]


def _parsed(text: str) -> list[Any]:
    def refuse(constant: str) -> None:
        msg = f"{constant} is no JSON"
        raise ValueError(msg)

    try:
        return [json.loads(text, parse_constant=refuse)]
    except json.JSONDecodeError:
        return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def _run(words: list[str], status: int = 0, **settings: Any) -> list[Any]:
    done = run_hangtag(*words, "--json", **settings)
    assert done.returncode == status, (words, done.stderr)
    found = _parsed(done.stdout)
    assert found, words
    return found


def test_each_command_that_reports_has_the_option() -> None:
    named = {name: find_command(name.split())[0] for name in _reporting()}
    assert {name for name, one in named.items() if not any("--json" in param.opts for param in one.params)} == set()
    run = {_name(line.split()) for line in (HERE + ON_A_QUEUE).strip().splitlines() if line}
    assert run | {"submit", "retrain"} == _reporting(), "each of them is run below"


def test_each_is_described() -> None:
    section = (ROOT / "docs/formats.md").read_text().partition("## What `--json` prints\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`hangtag ([a-z -]+)`", section))
    assert told == _reporting()
    assert {name for name in MAKE_OR_SERVE if f"`{name}`" in section} == MAKE_OR_SERVE


@pytest.fixture
def shop(
    tmp_path: Path, drawn: Path, small_run: Path, bundle: Path, unsure_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    for place, made in (("photos", drawn), ("run", small_run), ("bundles/shop", bundle)):
        shutil.copytree(made, tmp_path / place)
    shutil.copytree(unsure_bundle, tmp_path / "bundles/plain")
    (tmp_path / "catalogue").mkdir()
    for number, photo in enumerate(sorted(drawn.rglob("*.jpg"))[:6], 1):
        shutil.copy(photo, tmp_path / f"catalogue/{number}.jpg")
    (tmp_path / "answered.csv").write_text("image,label\ncatalogue/1.jpg,boots\n")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "shop.toml").write_text('name = "shop"\ndata = "photos"\n[drift]\njobs = ["jobs"]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("shop")
def test_what_each_prints_can_be_read() -> None:
    said = {}
    for line in HERE.strip().splitlines():
        said[line] = _run(line.split())
    (trained,) = said["train --resume run"]
    assert trained["evaluation"] == json.loads(Path("run/evaluation.json").read_text())
    assert (trained["run"], trained["state"], trained["report"]) == ("run", "complete", "run/report.html")
    (moved,), (back,) = said["check photos --quarantine aside"], said["check --undo aside"]
    assert moved["issues"]
    assert back == {"moved": back["moved"], "renamed": [], "lost": []}
    assert back["moved"] > 0
    (outcome,) = _run(["retrain", "shop.toml", "--when", "drift"], status=4)
    assert outcome["status"] == "nothing_new"


@pytest.fixture
def own_queue(redis_installed: None, tmp_path: Path) -> Iterator[Cluster]:
    """A queue with a Redis of its own: the worker of other tests would take the reconciler's turn, for its own jobs."""
    with PrivateRedis(tmp_path / "redis") as server:
        cluster = Cluster(tmp_path, server)
        yield cluster
        cluster.close()


def test_what_each_prints_of_a_queue_can_be_read(
    own_queue: Cluster, tmp_path: Path, catalogue: Path, bundle: Path
) -> None:
    (tmp_path / "few.txt").write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.jpg"))[:4]))
    where, settings, said = ["--image-root", str(catalogue)], {"env": own_queue.environment}, {}
    words = ["submit", str(tmp_path / "few.txt"), "--model", str(bundle), "--job", "few", *where]
    (submitted,) = _run(words, **settings)
    assert (submitted["job"], submitted["rows"]) == ("few", 4)
    for line in ON_A_QUEUE.strip().splitlines():
        if line.startswith("jobs watch"):
            own_queue.worker()
        (said[line],) = _run(line.split(), **settings)
    assert (said["jobs show few"]["state"], said["jobs show few"]["receipt"]) == ("waiting", None)
    assert said["jobs watch few"]["rows"] == 4
