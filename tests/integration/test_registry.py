"""A registry that several processes use at once; some of them are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.registry.history import CHAMPION, What
from models.registry.registry import Registry, open_registry
from tests.paper_bundle import write_paper_bundle

from . import registry_process
from .registry_process import MODEL

READERS = 3
PROMOTIONS = 100
READS = 1000


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "registry")


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    return [write_paper_bundle(tmp_path / str(number), number) for number in (1, 2, 3)]


def start(work: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, registry_process.__file__, work, *map(str, words)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> object:
    said, _ = process.communicate("\n", timeout=300)
    assert process.returncode == 0
    return json.loads(said.splitlines()[-1])


def test_an_alias_is_never_torn_or_missing_while_it_moves(place: str, bundles: list[Path]) -> None:
    registry = open_registry(place)
    for bundle in bundles:
        registry.publish(MODEL, bundle, "")
    registry.promote(MODEL, 1, "")
    readers = [start("read", place, READS // READERS + 1) for _ in range(READERS)]
    assert [reader.stdout.readline() for reader in readers] == ["reading\n"] * READERS
    promotions = 0
    while promotions < PROMOTIONS or len(list(Path(place).parent.glob("registry.enough-*"))) < READERS:
        assert all(reader.poll() is None for reader in readers)
        promotions += 1
        registry.promote(MODEL, 1 + promotions % 3, f"promotion {promotions}")
    Path(f"{place}.stop").touch()
    found = [end(reader) for reader in readers]
    assert len(registry.state(MODEL).champions) == promotions + 1
    assert all(one["seen"] > PROMOTIONS / 10 for one in found), "they did not read while it moved"
    assert sum(one["reads"] for one in found) >= READS


def publish_at_once(place: str, works: list[list[Path]]) -> list[list[int]]:
    writers = [start("publish", place, *bundles) for bundles in works]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * len(works)
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    return [end(writer) for writer in writers]


def test_two_that_publish_at_once_get_two_numbers(place: str, bundles: list[Path]) -> None:
    assert sorted(publish_at_once(place, [[bundle] for bundle in bundles])) == [[1], [2], [3]]
    assert sorted(open_registry(place).state(MODEL).versions) == [1, 2, 3]


def test_the_same_bundle_published_at_once_is_one_version(place: str, bundles: list[Path]) -> None:
    assert publish_at_once(place, [[bundles[0]] * 2] * 3) == [[1, 1]] * 3
    events = open_registry(place).history(MODEL).events()
    assert [(event.what, event.version) for event in events] == [(What.PUBLISHED, 1)]


@pytest.fixture
def ended() -> Iterator[Callable[..., int]]:
    process = start("die_in_turn")

    def work(*words: object) -> int:
        process.stdin.write(f"{json.dumps([str(word) for word in words])}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield work
    process.communicate(timeout=60)


def whole(registry: Registry) -> dict[int, set[str]]:
    """Version → the files in its folder; incomplete files of killed processes have hidden names."""
    folder = registry.model_storage(MODEL).on_disk("")
    return {
        int(version.name): {
            str(file.relative_to(version))
            for file in version.rglob("*")
            if file.is_file() and not file.name.startswith(".")
        }
        for version in folder.iterdir()
        if version.name.isdecimal()
    }


def aliases_name_what_is_there(registry: Registry) -> bool:
    state = registry.history(MODEL).state()
    return all(registry.path(MODEL, version).is_dir() for version in state.aliases.values())


def test_a_publish_killed_at_any_step_and_repeated_gives_one_complete_version(
    place: str, bundles: list[Path], ended: Callable[..., int]
) -> None:
    registry, step, killed = open_registry(place), 0, True
    registry.publish(MODEL, bundles[0], "", alias=CHAMPION)
    while killed:
        bundle = write_paper_bundle(bundles[1].with_name(f"new-{step}"), 100 + step)
        end = ended("die_publishing", place, step, bundle)
        killed = end == -signal.SIGKILL
        assert killed or end == 0
        assert aliases_name_what_is_there(registry)
        assert ended("die_publishing", place, "none", bundle) == 0
        state = registry.state(MODEL)
        assert sorted(state.versions) == list(range(1, step + 3))
        assert state.aliases == {CHAMPION: step + 2}
        step += 1
    assert step > 10
    files = {"manifest.json", "model.onnx", "labels.txt", "golden/a.jpg", "reference.json"}
    assert whole(registry) == dict.fromkeys(range(1, step + 2), files)


def test_a_killed_deletion_is_completed_by_the_next(place: str, bundles: list[Path], ended: Callable[..., int]) -> None:
    registry, step, killed = open_registry(place), 0, True
    registry.publish(MODEL, bundles[0], "", alias=CHAMPION)
    while killed:
        version = registry.publish(MODEL, write_paper_bundle(bundles[1], 200 + step), "").version
        killed = ended("die_deleting", place, step, version) == -signal.SIGKILL
        assert aliases_name_what_is_there(registry)
        if version in registry.state(MODEL).versions:
            assert registry.path(MODEL, version).is_dir()
        registry.delete(MODEL, version, "again")
        assert set(whole(registry)) == set(registry.state(MODEL).versions) == {1}
        step += 1
    assert step > 4


def test_a_registry_in_s3_does_the_same(in_s3, bundles: list[Path], tmp_path: Path) -> None:
    registry = open_registry(in_s3.place)
    splits = tmp_path / "splits.csv"
    splits.write_text("image\n")
    for number, bundle in enumerate(bundles, start=1):
        assert registry.publish(MODEL, bundle, "", training={"splits.csv": splits}).version == number
        registry.promote(MODEL, number, "better")
    registry.rollback(MODEL, "worse")
    assert registry.resolve(MODEL, CHAMPION) == 2
    here = registry.path(MODEL, 2)
    assert (here / "golden" / "a.jpg").read_bytes() == b"a"
    assert registry.path(MODEL, 2) == here
    assert registry.training(MODEL, 2, "splits.csv").read_text() == "image\n"
    assert registry.training(MODEL, 2, "best.keras") is None
    registry.delete(MODEL, 3, "worse")
    assert registry.model_storage(MODEL).names("3") == []
    assert registry.model_storage(MODEL).child("training").folders() == ["1", "2"]
    assert registry.names() == [MODEL]
    assert registry.publish(MODEL, bundles[2], "again").version == 4
