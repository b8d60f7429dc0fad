"""Begins a cycle: checks for drift if requested, collects the photos, and makes the cycle's folder if they changed."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from models.bundle import open_bundle
from models.errors import InputError
from models.registry.history import CHAMPION
from models.registry.registry import Registry
from models.whole_file import sync_folder
from trainer.data.dataset import Split
from trainer.request import Arch
from trainer.retrain.collect import collected_notes
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import COLLECTING, Collected, CycleFolder, Cycles, CycleStart, now_text
from trainer.retrain.tools import CycleTools
from trainer.splits.assigned import AssignedPhoto, read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView

SPLITS_FILE: Final = "splits.csv"


def champion_of(registry: Registry, name: str) -> int:
    """The champion's version, or 0 without a champion."""
    return registry.history(name).state().aliases.get(CHAMPION, 0)


@dataclass(frozen=True)
class NewCycle:
    """Begins a cycle if there is a reason. Methods call ``note`` with each remark for the user."""

    config: RetrainConfig
    registry: Registry
    cycles: Cycles
    tools: CycleTools

    def undrifted(self, note: Callable[[str], None]) -> str | None:
        """Return why no cycle begins, or None if a job's photos have drifted since the champion's promotion."""
        name, jobs = self.config.name, self.config.drift.jobs
        if not jobs:
            msg = 'Expected folders of jobs for the drift check, found none; set jobs = ["jobs"] under [drift].'
            raise InputError(msg)
        champion = champion_of(self.registry, name)
        if not champion:
            return "drift cannot be measured without a champion"
        history = self.registry.history(name)
        digest = history.state().versions[champion].digest
        reign = takewhile(lambda event: event.after.aliases.get(CHAMPION) == champion, reversed(history.events()))
        since = list(reign)[-1].at
        drifted = self.tools.drifted_jobs(jobs, digest, since, note)
        return None if drifted else f"no drift in the jobs of {name}@{champion} since {since}"

    def begin(self, why: str, note: Callable[[str], None], view: "TrainingView") -> CycleFolder | None:
        """Collect the photos and make a cycle's folder. Returns None if nothing changed.

        The folder gets its final name when it is complete. Settings that would fail only after hours of training are
        checked first.
        """
        config, finished = self.config, self.cycles.finished()
        last, champion = finished[-1] if finished else None, champion_of(self.registry, config.name)
        splits = self._splits_to_extend(champion, finished)
        known = read_splits(splits) if splits else []
        labels = self._labels_of(champion) if champion else ()
        folder = CycleFolder(self.cycles.path / COLLECTING)
        shutil.rmtree(folder.path, ignore_errors=True)  # left by a killed process
        try:
            earlier = last.path if last else None
            collected = self.tools.collect(config, folder.path, earlier, known, self.tools.cache(), view.advance)
            photos = last.read(last.collected, Collected).photos if last else ()
            before = {*labels, *photos, *(photo.label for photo in known)}
            for line in collected_notes(collected, {config.classes.name_of(label) for label in before}):
                note(line)
            if _nothing_new(collected, last, config, known=bool(champion)):
                return None
            if not champion:
                note(self._first_words())
            if champion and config.catalogue:
                self.tools.draw_rows(config.catalogue, folder.rows)
            return self._make(folder, splits, champion, why)
        finally:
            shutil.rmtree(folder.path, ignore_errors=True)

    def _first_words(self) -> str:
        name, train = self.config.name, self.config.train
        arch = train.arch or "the default network"
        start = train.weights or (
            "random weights" if train.arch in {Arch.CNN, Arch.SIMPLE} else "its published weights"
        )
        own = (
            f"hangtag models publish BUNDLE --name {name} --run RUN --promote --registry {quote(self.config.registry)}"
        )
        return (
            f"The registry has no champion of {name}, so a first model is trained: {arch}, from {start}. To "
            f"start with your own model: {own}"
        )

    def _splits_to_extend(self, champion: int, finished: Sequence[CycleFolder]) -> Path | None:
        """The splits of the latest finished cycle, the champion, or the settings: the first that exist, or None.

        The champion comes first if its splits contain the latest cycle's splits.
        """
        name = self.config.name
        own = self.registry.training(name, champion, SPLITS_FILE) if champion else None
        here = next((cycle.splits for cycle in reversed(finished) if cycle.splits.is_file()), None)
        if here is not None and own is not None and _assignments(here) <= _assignments(own):
            return own
        splits = here or own or self.config.splits
        if splits is None and champion:
            msg = (
                f"Expected the training photos of {name}@{champion}, but the registry has no splits.csv for it; "
                'set splits = "runs/train/NAME/splits.csv", or publish the champion with its run: hangtag models '
                "publish BUNDLE --run RUN."
            )
            raise InputError(msg)
        if splits is not None:
            check_unseen(name, champion, own, read_splits(splits))
        return splits

    def _labels_of(self, champion: int) -> tuple[str, ...]:
        """Read the champion's complete bundle, to find damage before hours of training. Returns its labels."""
        name = self.config.name
        bundle = open_bundle(self.registry.path(name, champion))
        for file in bundle.manifest.files:
            bundle.read(file)
        self.config.classes.check(bundle.manifest.labels)
        return bundle.manifest.labels

    def _make(self, folder: CycleFolder, splits: Path | None, champion: int, why: str) -> CycleFolder:
        name, history = self.config.name, self.registry.history(self.config.name)
        here = (int(cycle.path.name) for cycle in self.cycles.all())
        # the history also contains cycles from other machines
        elsewhere = (int(event.cycle) for event in history.events() if event.cycle and event.cycle.isdecimal())
        number = max([0, *here, *elsewhere]) + 1
        if splits:  # a copy, because a champion's files are deleted with its version
            shutil.copyfile(splits, folder.earlier)
        config = self.config.model_dump(mode="json")
        start = CycleStart(
            number=number, name=name, started=now_text(), why=why, config=config, champion_version=champion
        )
        folder.write(folder.start, start)
        place = self.cycles.path / f"{number:06d}"
        folder.path.rename(place)
        sync_folder(place.parent)
        return CycleFolder(place)


def _assignments(splits: Path) -> set[tuple[str, Split]]:
    return {(photo.sha256, photo.split) for photo in read_splits(splits)}


def check_unseen(name: str, champion: int, own: Path | None, photos: Sequence[AssignedPhoto]) -> None:
    """Refuse to test a champion on its own training photos.

    ``own`` are the splits of the champion's training, or None if unknown. ``photos`` are the photos of the splits.
    """
    if own is None:
        return
    learned = {photo.sha256 for photo in read_splits(own) if photo.present and photo.split is not Split.TEST}
    test = [photo for photo in photos if photo.present and photo.split is Split.TEST]
    seen = [photo for photo in test if photo.sha256 in learned]
    if seen:
        msg = (
            f"Expected test photos that are new to {name}@{champion}, but it was trained on {len(seen):,} of "
            f"{len(test):,}, such as {seen[0].path}. Promote a version that was trained with these splits (hangtag "
            "train --splits). To use the champion's own splits instead, set another folder in the settings. If a "
            "cycle is unfinished, also pass --restart."
        )
        raise InputError(msg)


def _nothing_new(collected: Collected, last: CycleFolder | None, config: RetrainConfig, *, known: bool) -> bool:
    if last is not None:
        before, train = last.read(last.collected, Collected), last.read(last.start, CycleStart).config["train"]
        return before.fingerprint == collected.fingerprint and train == config.train.model_dump(mode="json")
    return known and not (collected.new or collected.gone or collected.relabeled)
