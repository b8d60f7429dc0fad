"""A cycle begins: is there anything new? Then it gets a folder and a number."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import Bundle, open_bundle
from models.errors import BundleError, InputError, RegistryError
from models.registry.history import CHAMPION
from models.registry.registry import Registry
from models.whole_file import sync_folder
from trainer.data.dataset import Split
from trainer.retrain.collect import collected_notes, renamed
from trainer.retrain.compare_answers import check_class_map
from trainer.retrain.config import RetrainConfig, TrainSettings
from trainer.retrain.cycle_folder import COLLECTING, CycleFolder, Cycles, CycleStart
from trainer.retrain.records import Collected
from trainer.retrain.tools import Tools
from trainer.splits.assigned import AssignedPhoto, read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView


__all__ = ["SPLITS_FILE", "Beginning", "begin", "champion_of", "check_unseen", "splits_to_extend", "undrifted"]


SPLITS_FILE = "splits.csv"


def splits_to_extend(
    config: RetrainConfig, registry: Registry, champion: int, finished: Sequence[CycleFolder]
) -> Path | None:
    """The splits whose photos stay where they are; none for a first model that was given none.

    They are those of the latest finished cycle here, unless the champion's own hold all of these and more: another
    machine has gone on meanwhile. Without a cycle they are the champion's own, and at last those of the settings.

    Raises:
        InputError: there is a champion, and nobody knows what it has learned from; or it has learned from test photos.
    """
    own = registry.training(config.name, champion, SPLITS_FILE) if champion else None
    cycle = next((one.splits for one in reversed(finished) if one.splits.is_file()), None)
    if cycle is not None and own is not None and _goes_on_from(read_splits(own), read_splits(cycle)):
        return own
    found = cycle or own or config.splits
    if found is None and champion:
        msg = (
            f"Expected to know which photos {config.name}@{champion} has learned from, the registry holds no "
            f'splits.csv of it; give it as splits = "runs/train/NAME/splits.csv" in the settings, or publish its run '
            f"with it: hangtag models publish BUNDLE --run RUN."
        )
        raise InputError(msg)
    if found is not None:
        check_unseen(config.name, champion, own, read_splits(found))
    return found


def check_unseen(name: str, champion: int, own: Path | None, photos: Sequence[AssignedPhoto]) -> None:
    """Refuse to test a champion with photos that it has learned from: it would know the answers.

    Args:
        name: of the model.
        champion: its version.
        own: the splits that the champion was trained with; none where nobody knows them.
        photos: with the splits that both are to be tested with.

    Raises:
        InputError: the champion has learned from some of the test photos.
    """
    if own is None:
        return
    learned = {photo.sha256 for photo in read_splits(own) if photo.present and photo.split is not Split.TEST}
    test = [photo for photo in photos if photo.present and photo.split is Split.TEST]
    seen = [photo for photo in test if photo.sha256 in learned]
    if seen:
        msg = (
            f"Expected test photos that {name}@{champion} has not learned from, it has learned from {len(seen):,} of "
            f"{len(test):,}, such as {seen[0].path}: it was trained with other splits. Promote a version of these "
            f"splits, train it anew with hangtag train --splits, or go on with its own: set another folder in the "
            f"settings, and --restart if a cycle is unfinished."
        )
        raise InputError(msg)


def _goes_on_from(own: Sequence[AssignedPhoto], cycle: Sequence[AssignedPhoto]) -> bool:
    """Whether a champion's splits hold all photos of a cycle's, in the same splits."""
    splits = {(photo.sha256, photo.split) for photo in own}
    return all((photo.sha256, photo.split) in splits for photo in cycle)


@dataclass(frozen=True)
class Beginning:
    """What is asked of a cycle that is to begin.

    Attributes:
        config: the settings.
        registry: where its model is.
        cycles: where cycles lie.
        tools: what it works with.
        why: it begins.
        now: the time in UTC.
        note: told what a person should know of what was collected, a line each.
    """

    config: RetrainConfig
    registry: Registry
    cycles: Cycles
    tools: Tools
    why: str
    now: Callable[[], str]
    note: Callable[[str], None] = lambda line: None


def begin(asked: Beginning, view: "TrainingView") -> CycleFolder | None:
    """Collect, and make a cycle of it; none where there is nothing new to learn from.

    The folder comes into its place by one rename, with all that a cycle begins with. It keeps to its settings from then
    on, so those that would be found wrong after hours of training are tried before.

    Raises:
        InputError: photos, corrections, the splits to extend or the catalogue cannot be read, or ``[classes]`` names
            what nobody knows.
        JobError: the catalogue is elsewhere and does not come.
        RegistryError: the champion was deleted meanwhile.
        BundleError: it is damaged.
    """
    config, cycles = asked.config, asked.cycles
    finished, champion = cycles.finished(), champion_of(asked.registry, config.name)
    splits = splits_to_extend(config, asked.registry, champion, finished)
    known = read_splits(splits) if splits else []
    labels = _whole_champion(asked.registry, config.name, champion).manifest.labels if champion else ()
    if champion:
        check_class_map(config.classes, labels)
    folder = CycleFolder(cycles.path / COLLECTING)
    made = [place for place in (cycles.path, *cycles.path.parents) if not place.exists()]
    shutil.rmtree(folder.path, ignore_errors=True)  # of a process that was killed
    folder.path.mkdir(parents=True)
    last = finished[-1] if finished else None
    try:
        if splits:
            _keep(splits, folder, config)
        collected = asked.tools.collect(
            config, folder.path, last.path if last else None, known, lambda done, n: view.advance("Reading", done, n)
        )
        earlier = last.read(last.collected, Collected).photos if last else ()
        had = {renamed(label, config.classes) for label in (*labels, *earlier, *(photo.label for photo in known))}
        for line in collected_notes(collected, had):
            asked.note(line)
        if _nothing_new(collected, last, config, known=bool(champion)):
            return None
        if champion and config.catalogue:
            asked.tools.draw_rows(config.catalogue, folder.rows)
        return _make(asked, folder, champion)
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
        _remove_empty(made)


def _whole_champion(registry: Registry, name: str, champion: int) -> Bundle:
    """A damaged champion is told now, and not when it is to be compared with, hours later."""
    bundle = open_bundle(registry.path(name, champion))
    try:
        for file in bundle.manifest.files:
            bundle.read(file)
    except BundleError as error:
        msg = (
            f"Expected the champion {name}@{champion} to be whole, it is damaged: {error} Or go on without it: "
            f"hangtag models rollback {name}, or promote another version."
        )
        raise BundleError(msg) from error
    return bundle


def _remove_empty(made: Sequence[Path]) -> None:
    """Of a first cycle that never was, such as with a slip in ``data``, no folder is left."""
    for place in made:
        if any(place.iterdir()):
            return
        place.rmdir()


def _nothing_new(collected: Collected, last: CycleFolder | None, config: RetrainConfig, *, known: bool) -> bool:
    """Whether the same would be learned from the same."""
    if last is not None:
        before = last.read(last.collected, Collected)
        asked = TrainSettings().model_dump(mode="json") | last.read(last.start, CycleStart).config["train"]
        return before.fingerprint == collected.fingerprint and asked == config.train.model_dump(mode="json")
    return known and not (collected.new or collected.gone or collected.relabeled)


def _keep(splits: Path, folder: CycleFolder, config: RetrainConfig) -> None:
    """Now, since those of a champion go with it when it is replaced and deleted."""
    try:
        shutil.copyfile(splits, folder.earlier)
    except FileNotFoundError as error:
        raise _moved(config) from error


def _moved(config: RetrainConfig) -> RegistryError:
    msg = (
        f"Expected the champion of {config.name} to stay in the registry while photos are read, it was replaced and "
        "deleted meanwhile; run hangtag retrain again."
    )
    return RegistryError(msg)


def _make(asked: Beginning, folder: CycleFolder, champion: int) -> CycleFolder:
    config, history = asked.config, asked.registry.history(asked.config.name)
    number = max(asked.cycles.last_number(), *(_number(event.cycle) for event in history.events()), 0) + 1
    state = history.state()
    if champion and champion not in state.versions:
        raise _moved(config)
    start = CycleStart(
        number=number,
        name=config.name,
        started=asked.now(),
        why=asked.why,
        config=config.model_dump(mode="json"),
        champion_version=champion,
        champion_digest=state.versions[champion].digest if champion else None,
        first=not state.last_version,
    )
    folder.write(folder.start, start)
    place = asked.cycles.path / f"{number:06d}"
    folder.path.rename(place)
    sync_folder(place.parent)
    return CycleFolder(place)


def _number(cycle: str | None) -> int:
    """Of a cycle that the registry's history tells of, whichever machine it ran on."""
    return int(cycle) if cycle is not None and cycle.isdecimal() else 0


def undrifted(config: RetrainConfig, registry: Registry, tools: Tools, note: Callable[[str], None]) -> str | None:
    """Why there is no reason to retrain; none where a job has drifted since the champion became that.

    Args:
        config: says where jobs are.
        registry: says who is champion.
        tools: look for drift.
        note: told of receipts that cannot be read, and are passed over.

    Raises:
        InputError: the settings do not say where jobs are, or there is no such folder.
    """
    if not config.drift.jobs:
        msg = 'Expected folders of jobs to look for drift in, got none; set jobs = ["jobs"] under [drift].'
        raise InputError(msg)
    champion = champion_of(registry, config.name)
    if not champion:
        return "there is no champion yet whose jobs could have drifted"
    history = registry.history(config.name)
    digest = history.state().versions[champion].digest
    reign = takewhile(lambda event: event.after.aliases.get(CHAMPION) == champion, reversed(history.events()))
    since = list(reign)[-1].at
    if tools.drifted_jobs(config.drift.jobs, digest, since, note):
        return None
    return f"no job of {config.name}@{champion} has drifted since {since}"


def champion_of(registry: Registry, name: str) -> int:
    """The champion's version now; 0 where there is none."""
    return registry.history(name).state().aliases.get(CHAMPION, 0)
