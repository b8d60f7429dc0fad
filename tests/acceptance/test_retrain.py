"""Whole cycles with real training on drawn photos: only a better model replaces the champion."""

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.errors import ExitCode
from models.registry.history import CHALLENGER, CHAMPION
from models.registry.registry import Registry, open_registry
from tests.command import HANGTAG, clean_environment, run_hangtag
from tests.until import until

CONFIG = """
name = "{name}"
data = "{name}.csv"
[train]
{train}
arch = "simple"
image_size = 32
batch = 16
folds = 0
[export]
int8 = false
[gate]
min_speed_ratio = 0.0
"""
"""Speeds mean nothing while other tests run beside."""


@dataclass(frozen=True)
class Photo:
    path: Path
    label: str
    split: str


@dataclass(frozen=True)
class Shop:
    folder: Path
    name: str
    cache: Path

    @property
    def config(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(XDG_CACHE_HOME=str(self.cache))

    @property
    def registry(self) -> Registry:
        return open_registry(str(self.folder / "registry"))

    def ask(self, train: str) -> None:
        self.config.write_text(CONFIG.format(name=self.name, train=train))

    def put(self, photos: list[Photo]) -> None:
        with (self.folder / f"{self.name}.csv").open("w", newline="") as file:
            rows = [(photo.path, photo.label, photo.split) for photo in photos]
            csv.writer(file).writerows([("image", "label", "split"), *rows])

    def retrain(self, *options: str) -> int:
        done = run_hangtag("retrain", self.config, *options, env=self.environment)
        print(done.stdout, done.stderr)
        return done.returncode

    def cycle(self, number: int) -> Path:
        return self.folder / "retraining" / self.name / f"{number:06d}"

    def read(self, number: int, file: str):
        return json.loads((self.cycle(number) / file).read_text())

    def aliases(self) -> dict[str, int]:
        return self.registry.state(self.name).aliases


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    from trainer.sample.catalogue import draw_catalogue

    folder = tmp_path_factory.mktemp("drawn") / "photos"
    draw_catalogue(folder, 480, seed=3)
    splits = ("train", "test", "train", "val", "test", "train")
    files = {place.name: sorted(place.glob("*"))[:60] for place in sorted(folder.iterdir())}
    sound = {name: [file for file in some if int(file.stem) < 480] for name, some in files.items()}
    return [Photo(file, name, splits[at % 6]) for name, some in sound.items() for at, file in enumerate(some)]


def some(photos: list[Photo], keep: Callable[[Photo, int], bool]) -> list[Photo]:
    places: dict[str, int] = {}
    kept = []
    for photo in photos:
        place = places.get(photo.label, 0)
        if photo.split == "train":
            places[photo.label] = place + 1
        if photo.split != "train" or keep(photo, place):
            kept.append(photo)
    return kept


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, session_cache: Path, photos: list[Photo]) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop"), "shop", session_cache)
    shop.put(some(photos, lambda photo, place: place < 8))
    shop.ask("epochs = 2")
    assert shop.retrain() == ExitCode.OK
    shop.put(photos)
    shop.ask("warm_start = false\nepochs = 15")
    killed_while_learning(shop, 2)
    assert shop.aliases() == {CHAMPION: 1}
    assert shop.retrain() == ExitCode.OK
    return shop


def killed_while_learning(shop: Shop, number: int) -> None:
    command = [*HANGTAG, "retrain", str(shop.config)]
    with subprocess.Popen(command, env=shop.environment, stdout=subprocess.DEVNULL) as process:
        state = shop.cycle(number) / "run" / "weights" / "state.npz"
        until(lambda: state.is_file() or process.poll() is not None, "the first epoch ends", within_s=300)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_weak_champion_is_replaced_whatever_kills_the_cycle(promoted: Shop) -> None:
    outcome = promoted.read(2, "outcome.json")
    assert (outcome["status"], outcome["champion"], outcome["challenger"]) == ("promoted", "shop@1", "shop@2")
    assert promoted.aliases() == {CHAMPION: 2}
    assert sorted(promoted.registry.state("shop").versions) == [1, 2]
    comparison = promoted.read(2, "comparison.json")
    assert comparison["points"] > 0
    assert (promoted.cycle(2) / "report.html").stat().st_size > 1000


def test_no_photo_moved_from_one_split_to_another(tmp_path: Path, session_cache: Path, photos: list[Photo]) -> None:
    shop = Shop(tmp_path, "undivided", session_cache)

    def splits_of_cycle(number: int, chosen: list[Photo]) -> dict[str, str]:
        shop.put([Photo(photo.path, photo.label, "") for photo in chosen])
        shop.retrain()
        with (shop.cycle(number) / "splits.csv").open(newline="") as file:
            return {row["sha256"]: row["split"] for row in csv.DictReader(file)}

    shop.ask("epochs = 1")
    first, second = splits_of_cycle(1, photos[::2]), splits_of_cycle(2, photos)
    assert set(first.values()) == {"train", "val", "test"}
    assert first.items() <= second.items()
    assert len(second) > len(first)


def test_nothing_new_says_so_and_leaves_nothing(promoted: Shop) -> None:
    cycles = sorted(promoted.cycle(1).parent.iterdir())
    assert promoted.retrain() == ExitCode.NOTHING_NEW
    assert sorted(promoted.cycle(1).parent.iterdir()) == cycles


@pytest.fixture(scope="module")
def poisoned(promoted: Shop, photos: list[Photo]) -> Shop:
    chance = np.random.default_rng(5)
    training = [photo for photo in photos if photo.split == "train"]
    chosen = [training[at] for at in chance.permutation(len(training))[: len(training) * 3 // 10]]
    labels = [chosen[at].label for at in chance.permutation(len(chosen))]
    wrong = {photo.path: label for photo, label in zip(chosen, labels, strict=True)}
    promoted.put([Photo(photo.path, wrong.get(photo.path, photo.label), photo.split) for photo in photos])
    promoted.ask("epochs = 4")
    assert promoted.retrain() == ExitCode.GATE_REFUSED
    return promoted


def test_a_poisoned_challenger_is_refused_with_numbers(poisoned: Shop) -> None:
    assert poisoned.aliases() == {CHAMPION: 2, CHALLENGER: 3}
    last = poisoned.registry.history("shop").last()
    assert last.numbers["points_95"] == poisoned.read(3, "comparison.json")["points_95"]
    assert poisoned.registry.state("shop").versions[3].refused


def test_better_on_the_whole_but_worse_on_one_class_is_refused(
    tmp_path: Path, session_cache: Path, photos: list[Photo]
) -> None:
    outlet = Shop(tmp_path, "outlet", session_cache)
    outlet.put(some(photos, lambda photo, place: place < (30 if photo.label == "hat" else 3)))
    outlet.ask('balance = "none"\nepochs = 15')
    assert outlet.retrain() == ExitCode.OK
    hats = [photo.path for photo in photos if photo.label == "hat" and photo.split == "train"][2:]
    spoiled = [Photo(photo.path, "vase" if photo.path in hats else photo.label, photo.split) for photo in photos]
    outlet.put(spoiled)
    outlet.ask('balance = "none"\nwarm_start = false\nepochs = 10')
    assert outlet.retrain() == ExitCode.GATE_REFUSED
    comparison, verdict = outlet.read(2, "comparison.json"), outlet.read(2, "verdict.json")
    assert comparison["points"] > 0
    assert "recall" in [check["name"] for check in verdict["checks"] if not check["passed"]]
    assert outlet.aliases()[CHAMPION] == 1
