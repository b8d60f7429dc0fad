"""A cycle begins: is there anything new? Then it gets a folder and a number."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import Bundle, open_bundle
from models.errors import BundleError, RegistryError
from models.registry import Registry
from models.whole_file import sync_folder
from trainer.retrain.class_change import check_class_map
from trainer.retrain.collected_notes import collected_notes
from trainer.retrain.config import RetrainConfig, TrainSettings
from trainer.retrain.corrected import renamed
from trainer.retrain.cycle_folder import COLLECTING, CycleFolder, Cycles
from trainer.retrain.lineage import splits_to_extend
from trainer.retrain.outcome import CycleStart
from trainer.retrain.records import Collected
from trainer.retrain.tools import Tools
from trainer.retrain.work import champion_of
from trainer.splits.assigned import read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["Beginning", "begin"]


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
