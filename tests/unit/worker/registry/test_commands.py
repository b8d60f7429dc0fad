"""``hangtag models``: real bundles of a small model where they are published, made-up ones where nothing runs."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from models.bundle import open_bundle
from models.registry.history import CHALLENGER, CHAMPION
from models.registry.registry import Registry, open_registry
from models.text import without_file_links
from tests.command import clean_environment, run_hangtag
from tests.paper_bundle import three_versions, write_paper_bundle
from worker.registry.show import ago


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return three_versions(tmp_path, "boots lost 7 points.")


def run(registry: Registry, *words: object, columns: int = 200) -> "CompletedProcess[str]":
    environment = clean_environment(HANGTAG_REGISTRY=registry.place, COLUMNS=str(columns))
    return run_hangtag("models", *words, env=environment)


def printed(registry: Registry, *words: object) -> str:
    done = run(registry, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_shows_what_there_is(registry: Registry) -> None:
    rows = [line for line in printed(registry).splitlines() if "shop" in line]
    assert len(rows) == 3
    for words in ("champion", "70.0% (100 validation)", "0.00 MB", "just now"):
        assert words in rows[1]
    assert ["refused" in row for row in rows] == [False, False, True]
    assert "challenger" in rows[2]
    versions = json.loads(printed(registry, "--json"))
    assert [(one["version"], one["aliases"], one["refused"]) for one in versions] == [
        (1, [], []),
        (2, [CHAMPION], []),
        (3, [CHALLENGER], ["boots lost 7 points."]),
    ]
    assert versions[0]["published_at"].endswith("+00:00")
    assert versions[0]["bytes"] == len(b"network 1")
    assert [one["measured"]["accuracy"] for one in versions] == [0.6, 0.7, 0.8]


def test_a_model_that_cannot_be_read_hides_no_other(registry: Registry) -> None:
    registry.model_storage("broken").commit("history/000001.json", b"{")
    done = run(registry)
    assert done.returncode == 0
    assert "broken: history/000001.json" in done.stderr
    assert done.stdout.count("shop") == 3


@pytest.fixture
def training(tmp_path: Path, bundle: Path) -> Path:
    """The files that are kept of a run, the bundle's."""
    run, manifest = tmp_path / "run", open_bundle(bundle).manifest
    (run / "weights").mkdir(parents=True)
    for name in ("splits.csv", "weights/best.keras", "confusion_matrix.png", "classes.csv"):
        (run / name).write_text(name)
    (run / "report.html").write_text('<a class="file" href="splits.csv">splits.csv</a>')
    args = {"arch": manifest.arch, "classes": manifest.labels, "image_size": manifest.preprocess.size}
    (run / "args.json").write_text(json.dumps(args))
    return run


def test_what_is_published_was_verified_and_is_told(tmp_path: Path, bundle: Path, training: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    first = printed(registry, "publish", bundle, "--name", "shop", "--run", training)
    for words in ("shop@1", "precision 0.90", "hangtag models promote shop@1"):
        assert words in first
    assert registry.state("shop").aliases == {}
    kept = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
    kept |= {name: name for name in ("report.html", "confusion_matrix.png", "classes.csv")}
    for name, place in kept.items():
        data = (training / place).read_bytes()
        expected = without_file_links(data) if name == "report.html" else data  # they would lead nowhere there
        assert registry.training("shop", 1, name).read_bytes() == expected
    again = printed(registry, "publish", bundle, "--name", "shop", "--promote", "--why", "first", "--json")
    assert json.loads(again) == {"model": "shop", "version": 1, "new": False}
    assert registry.state("shop").aliases == {CHAMPION: 1}
    assert [event.why for event in registry.history("shop").events()] == ["published by hand", "first"]


def test_a_model_that_promises_nothing_is_said_to(tmp_path: Path, unsure_bundle: Path, bundle: Path) -> None:
    registry, words = open_registry(str(tmp_path / "registry")), "It promises no precision"
    assert words in printed(registry, "publish", unsure_bundle, "--name", "shop")
    assert words in printed(registry, "promote", "shop@1", "--why", "the first")
    better = printed(registry, "publish", bundle, "--name", "shop", "--promote", "--why", "better")
    assert words not in better
    assert "Next: hangtag label PHOTOS --model shop@champion" in better
    assert [one["promise"] for one in json.loads(printed(registry, "--json"))] == ["none", "0.90"]
    restored = printed(registry, "rollback", "shop", "--why", "worse")
    assert words in restored
    assert "To undo: hangtag models promote shop@2" in restored
    assert [event.numbers["precision"] for event in registry.history("shop").events() if event.numbers] == [None, 0.9]


def test_a_bundle_that_is_not_sound_is_not_published(tmp_path: Path, bundle: Path) -> None:
    registry, spoiled = open_registry(str(tmp_path / "registry")), Path(shutil.copytree(bundle, tmp_path / "spoiled"))
    (spoiled / "labels.txt").write_text("a\nb\n")
    paper = write_paper_bundle(tmp_path / "paper", 1)
    for one in (spoiled, paper):
        assert run(registry, "publish", one, "--name", "shop").returncode == 5
    assert registry.names() == []


def test_the_history_says_who_what_when_why_and_with_which_numbers(registry: Registry) -> None:
    lines = printed(registry, "history", "shop").splitlines()
    assert "made-up [1]" in next(line for line in lines if "published" in line)
    assert "points -7" in [line for line in lines if "@" in line][-1]
    events = [json.loads(line) for line in printed(registry, "history", "shop", "--json").splitlines()]
    assert [event["what"] for event in events] == ["published", "promoted"] * 2 + ["published", "refused"]
    assert (events[1]["numbers"], events[1]["cycle"]) == ({"points": 1.25}, "000002")
    assert events[1]["at"].endswith("+00:00")


def test_an_interval_is_rounded_and_a_missing_figure_left_out(registry: Registry) -> None:
    figures = {"points_95": (-2.463685416910962, 8.346), "precision": None}
    registry.refuse("shop", 2, ("too few photos",), figures)
    shown = printed(registry, "history", "shop")
    assert "points_95 -2.464 to 8.346" in shown
    assert "None" not in shown


NOW = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("2026-11-22T03:00:30+00:00", "just now"), ("2026-11-22T02:59:30+00:00", "just now"),
        ("2026-11-22T02:59:00+00:00", "1 minute ago"), ("2026-11-22T02:01:00+00:00", "59 minutes ago"),
        ("2026-11-22T03:00:00+02:00", "2 hours ago"), ("2024-11-01T03:00:00+00:00", "2 years ago"),
    ],
)  # fmt: skip
def test_people_are_told_how_long_ago(then: str, words: str) -> None:
    assert ago(then, NOW) == words
