"""Champion and challenger are weighed against each other, and the gate says what it makes of it."""

from typing import TYPE_CHECKING

from trainer.retrain.frozen_photos import gone_photos
from trainer.retrain.lineage import SPLITS_FILE, check_unseen
from trainer.retrain.records import CatalogueDiff, Comparison
from trainer.retrain.work import Step, Work, champion_of
from trainer.splits.assigned import read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["CATALOGUE", "COMPARE", "GATE", "compared_with", "forget"]


def _compare(work: Work, view: "TrainingView") -> None:
    name, champion = work.start.name, champion_of(work.registry, work.start.name)
    own = work.registry.training(name, champion, SPLITS_FILE) if champion else None
    photos = read_splits(work.folder.splits)
    check_unseen(name, champion, own, photos)
    comparison = work.tools.compare(
        work.folder.run,
        work.folder.bundle,
        work.registry.path(name, champion) if champion else None,
        (f"{name}@{champion}" if champion else None, f"{name}@challenger"),
        work.config.classes,
        work.tools.cache(),
        view.advance,
    )
    gone = len(gone_photos(read_splits(own), photos, work.config.classes.drop)) if own else 0
    work.folder.write(work.folder.comparison, comparison.model_copy(update={"unread": comparison.unread + gone}))


COMPARE = Step("compare", lambda work: work.folder.comparison.is_file(), _compare)


def _catalogue_done(work: Work) -> bool:
    return work.config.catalogue is None or not compared_with(work) or work.folder.catalogue.is_file()


def _catalogue(work: Work, view: "TrainingView") -> None:
    assert work.config.catalogue is not None  # noqa: S101 - the step is done where there is none
    diff = work.tools.catalogue_diff(
        work.config.catalogue,
        work.registry.path(work.start.name, compared_with(work)),
        work.folder.bundle,
        work.folder.rows,
        work.config.classes.rename,
        view.advance,
    )
    work.folder.write(work.folder.catalogue, diff)


CATALOGUE = Step("catalogue", _catalogue_done, _catalogue)


def _gate(work: Work, view: "TrainingView") -> None:
    view.advance("Judging", 0, 1)
    folder = work.folder
    diff = folder.read(folder.catalogue, CatalogueDiff) if folder.catalogue.is_file() else None
    folder.write(folder.verdict, work.tools.judge(work.config.gate, folder.read(folder.comparison, Comparison), diff))


GATE = Step("gate", lambda work: work.folder.verdict.is_file(), _gate)


def compared_with(work: Work) -> int:
    """The champion that the comparison is with; 0 for none."""
    said = work.folder.read(work.folder.comparison, Comparison).champion
    return int(said.rpartition("@")[2]) if said else 0


def forget(work: Work) -> None:
    """Take the weighing back, the last of it first, so that what is there always fits together.

    The catalogue's rows stay, and so does what the challenger says of them.
    """
    for file in (work.folder.verdict, work.folder.catalogue, work.folder.comparison):
        file.unlink(missing_ok=True)
