"""What an earlier Hangtag left, read by this one: ``tests/data/README.md`` says what it is and how it was made."""

import csv
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow.parquet as pq
import pytest

import hangtag
from models.errors import ExitCode
from tests.command import clean_environment, run_hangtag
from worker.queue.private_redis import PrivateRedis

from .cluster import Cluster

PACKED = Path(__file__).parents[1] / "data" / "earlier_version.tar.xz"
TEXTS = {".csv", ".json", ".jsonl", ".txt"}
SAID = ("label", "status", "error", "sha256")
CONFIG = """
name = "shop"
data = "photos"
corrections = "corrections.csv"
[train]
arch = "simple"
image_size = 16
epochs = 1
batch = 8
folds = 0
warm_start = false
[export]
int8 = false
"""

Hangtag = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The folder that it was made in, unpacked here."""
    folder = tmp_path / "earlier"
    with tarfile.open(PACKED) as packed:
        packed.extractall(folder, filter="data")
    for file in folder.rglob("*"):
        if file.suffix in TEXTS and b"/earlier/" in (text := file.read_bytes()):
            file.write_bytes(text.replace(b"/earlier/", f"{folder}/".encode()))
    return folder


@pytest.fixture
def run(earlier: Path) -> Hangtag:
    """Run a command there."""
    environment = clean_environment(XDG_CACHE_HOME=str(earlier / "cache"), HANGTAG_REGISTRY=str(earlier / "registry"))
    return lambda *words: run_hangtag(*map(str, words), env=environment)


def label(run: Hangtag, earlier: Path, output: str, *more: object) -> "CompletedProcess[str]":
    """As it was asked then."""
    options = ("--model", earlier / "bundle", "--image-root", "/", "--workers", 1, "--group-column", "sku")
    done = run("label", earlier / "products.csv", *options, "--output", earlier / output, *more)
    assert done.returncode == 0, done.stderr
    return done


def said_in(result: Path) -> list[tuple[str, ...]]:
    with result.open(newline="") as file:
        return [tuple(row[name] for name in SAID) for row in csv.DictReader(file)]


def test_a_bundle_is_sound_and_labels(run: Hangtag, earlier: Path) -> None:
    assert run("verify", earlier / "bundle").returncode == 0
    assert run("evaluate", "shop@champion", earlier / "photos").returncode == 0
    photo = next((earlier / "photos" / "vase").iterdir())
    assert hangtag.load(earlier / "bundle").classify(photo).label in {"boot", "hat", "vase"}


def test_a_run_is_exported(run: Hangtag, earlier: Path) -> None:
    done = run("export", earlier / "runs" / "train" / "shop", "--out", earlier / "again", "--no-int8")
    assert done.returncode == 0, done.stderr
    again, before = (json.loads((earlier / name / "parity.json").read_text()) for name in ("again", "bundle"))
    assert again["passed"] is before["passed"] is True


def test_a_finished_job_stays_as_it_is_and_is_carried_over(run: Hangtag, earlier: Path) -> None:
    before = (earlier / "finished.csv").read_bytes()
    assert "done already" in label(run, earlier, "finished.csv").stderr
    assert (earlier / "finished.csv").read_bytes() == before
    label(run, earlier, "next.csv", "--previous", earlier / "finished.csv")
    assert said_in(earlier / "next.csv") == said_in(earlier / "finished.csv")
    photos = json.loads((earlier / "next.csv.job" / "receipt.json").read_text())["photos"]
    assert (photos["decoded"], photos["carried"] > 0) == (0, True)


def test_an_unfinished_job_goes_on(run: Hangtag, earlier: Path) -> None:
    part = earlier / "unfinished.csv.job" / "parts" / "000000.r0.parquet"
    written = part.stat().st_mtime_ns
    label(run, earlier, "unfinished.csv")
    assert said_in(earlier / "unfinished.csv") == said_in(earlier / "finished.csv")
    assert part.stat().st_mtime_ns == written
    votes, expected = (
        pq.read_table(earlier / f"{name}.csv.job" / "by_group.parquet", columns=["sku", "label", "status"])
        for name in ("unfinished", "finished")
    )
    assert votes == expected


@pytest.fixture
def queue(server: PrivateRedis, earlier: Path) -> Iterator[Cluster]:
    cluster = Cluster(earlier, server)
    yield cluster
    cluster.close()


def test_a_queued_job_is_found_and_finished_by_a_worker(queue: Cluster, earlier: Path) -> None:
    job = queue.job("spring")
    assert len(job.job.missing_chunks()) == job.chunks - 1
    queue.worker(slots=1)
    assert job.wait_for_end().rows == 150
    rows = [tuple(str(row[name] or "") for name in SAID) for row in job.rows()]
    assert rows == said_in(earlier / "finished.csv")


def test_the_champion_of_a_registry_moves_and_moves_back(run: Hangtag, earlier: Path) -> None:
    for words in (("promote", "shop@1", "--why", "a test"), ("rollback", "shop", "--why", "a test")):
        assert run("models", *words).returncode == 0
    events = [json.loads(line) for line in run("models", "history", "shop", "--json").stdout.splitlines()]
    assert [(event["what"], event["aliases"]["champion"]) for event in events[-3:]] == [
        ("promoted", 2),
        ("promoted", 1),
        ("rolled_back", 2),
    ]


def test_a_retraining_goes_on_from_registry_splits_corrections_and_caches(run: Hangtag, earlier: Path) -> None:
    listed = run("corrections", "list", "--in", earlier / "corrections.csv", "--json")
    assert json.loads(listed.stdout)["votes"] == 3
    with (earlier / "registry" / "shop" / "training" / "2" / "splits.csv").open(newline="") as file:
        splits = {row["sha256"]: row["split"] for row in csv.DictReader(file)}
    kept = {file for file in (earlier / "cache" / "hangtag").rglob("*") if file.is_file()}
    (earlier / "shop.toml").write_text(CONFIG)
    done = run("retrain", earlier / "shop.toml")
    assert done.returncode in {ExitCode.OK, ExitCode.GATE_REFUSED}, done.stderr
    with (earlier / "retraining" / "shop" / "000001" / "splits.csv").open(newline="") as file:
        now = {row["sha256"]: (row["split"], row["label"]) for row in csv.DictReader(file)}
    assert {sha256: split for sha256, (split, _) in now.items()} == splits
    assert sum(label == "hat" for _, label in now.values()) == 15
    comparison = json.loads((earlier / "retraining" / "shop" / "000001" / "comparison.json").read_text())
    assert comparison["champion"] == "shop@2"
    new = {file for file in (earlier / "cache" / "hangtag").rglob("*") if file.is_file()} - kept
    assert not [file for file in new if file.parents[1].name in {"pixels", "looks"}], "photos were decoded again"
