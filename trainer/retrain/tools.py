"""What a cycle works with, passed in so that each piece can be another in a test. The real ones load when used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.cache import default_cache
from trainer.retrain.config import CatalogueSettings, ClassMap, GateSettings, MlflowSettings, RetrainConfig
from trainer.retrain.outcome import Outcome
from trainer.retrain.records import CatalogueDiff, Collected, Comparison, Verdict

if TYPE_CHECKING:
    from exporter.export import ExportView
    from exporter.options import ExportOptions
    from trainer.request import TrainRequest
    from trainer.splits.assigned import AssignedPhoto
    from trainer.train import TrainingView

__all__ = ["Advance", "Tools"]

Advance = Callable[[str, int, int], None]
"""Told of a piece of work, how much is done, and of how much."""


class Collect(Protocol):
    """See :func:`trainer.retrain.collect.collect`."""

    def __call__(
        self,
        config: RetrainConfig,
        folder: Path,
        earlier: Path | None,
        known: "Sequence[AssignedPhoto]",
        on_photo: Callable[[int, int], None],
        /,
    ) -> Collected:
        """Write ``dataset.csv`` and ``collected.json``."""


class Compare(Protocol):
    """See :func:`trainer.retrain.compare.compare`."""

    def __call__(
        self,
        run: Path,
        challenger: Path,
        champion: Path | None,
        names: tuple[str | None, str],
        classes: ClassMap,
        cache: Path,
        advance: Advance,
        /,
    ) -> Comparison:
        """Both on the same frozen test split."""


class DiffCatalogue(Protocol):
    """See :func:`trainer.retrain.catalogue.catalogue_diff`."""

    def __call__(
        self,
        settings: CatalogueSettings,
        champion: Path,
        challenger: Path,
        folder: Path,
        renamed: Mapping[str, str],
        advance: Advance,
        /,
    ) -> CatalogueDiff:
        """Both on a sample of real rows."""


def _collect(
    config: RetrainConfig,
    folder: Path,
    earlier: Path | None,
    known: "Sequence[AssignedPhoto]",
    on_photo: Callable[[int, int], None],
    /,
) -> Collected:
    from trainer.retrain.collect import collect

    return collect(config, folder, earlier, known, on_photo)


def _train(request: "TrainRequest", view: "TrainingView", /) -> None:
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from trainer.train import train

    train(request, view)


def _resume(run: Path, cache: Path, view: "TrainingView", /) -> None:
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from trainer.run import open_run
    from trainer.train import resume

    resume(open_run(run), cache, view)


def _misfit(weights: Path, request: "TrainRequest", /) -> str | None:
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from models.errors import InputError
    from trainer.networks.build import build_network

    try:
        build_network(request.arch, request.preprocess.size, 2, weights=weights, alpha=request.alpha)
    except InputError as error:
        return str(error)
    return None


def _export(run: Path, place: Path, options: "ExportOptions", view: "ExportView", /) -> None:
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from exporter.export import export_run

    export_run(run, place, options, view)


def _compare(
    run: Path,
    challenger: Path,
    champion: Path | None,
    names: tuple[str | None, str],
    classes: ClassMap,
    cache: Path,
    advance: Advance,
    /,
) -> Comparison:
    from trainer.retrain.compare import compare

    return compare(run, challenger, champion, names, classes, cache, advance)


def _judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None, /) -> Verdict:
    from trainer.retrain.gate import judge

    return judge(settings, comparison, catalogue)


def _draw_rows(settings: CatalogueSettings, folder: Path, /) -> None:
    from trainer.retrain.catalogue import draw_rows

    draw_rows(settings, folder)


def _catalogue_diff(
    settings: CatalogueSettings,
    champion: Path,
    challenger: Path,
    folder: Path,
    renamed: Mapping[str, str],
    advance: Advance,
    /,
) -> CatalogueDiff:
    from trainer.retrain.catalogue import catalogue_diff

    return catalogue_diff(settings, champion, challenger, folder, renamed, advance)


def _write_report(folder: Path, outcome: Outcome, /) -> object:
    from trainer.retrain.report.report import write_report

    return write_report(folder, outcome)


def _log_cycle(settings: MlflowSettings, folder: Path, name: str, version: int, champion: bool, /) -> str:
    from trainer.retrain.mlflow_log import log_cycle

    return log_cycle(settings, folder, name, version, champion)


def _drifted_jobs(places: Sequence[str], digest: str, since: str, note: Callable[[str], None], /) -> Sequence[object]:
    from worker.drift_look import drifted_jobs

    return drifted_jobs(places, digest, since, note)


@dataclass(frozen=True)
class Tools:
    """All that a cycle has done for it.

    Attributes:
        collect: finds photos, labels and corrections.
        train: a challenger, from its first epoch.
        resume: goes on with it.
        misfit: why weights do not fit a network; none where they do.
        export: makes a bundle of a run, or raises.
        compare: champion and challenger on the frozen test split.
        judge: is the gate.
        draw_rows: draws the rows of a catalogue that are to be compared.
        catalogue_diff: champion and challenger on real rows.
        write_report: draws the page.
        log_cycle: tells a tracking server.
        drifted_jobs: says which jobs of a champion have drifted since a time.
        cache: where pixels and looks are kept.
    """

    collect: Collect = _collect
    train: "Callable[[TrainRequest, TrainingView], None]" = _train
    resume: "Callable[[Path, Path, TrainingView], None]" = _resume
    misfit: "Callable[[Path, TrainRequest], str | None]" = _misfit
    export: "Callable[[Path, Path, ExportOptions, ExportView], None]" = _export
    compare: Compare = _compare
    judge: Callable[[GateSettings, Comparison, CatalogueDiff | None], Verdict] = _judge
    draw_rows: Callable[[CatalogueSettings, Path], None] = _draw_rows
    catalogue_diff: DiffCatalogue = _catalogue_diff
    write_report: Callable[[Path, Outcome], object] = _write_report
    log_cycle: Callable[[MlflowSettings, Path, str, int, bool], str] = _log_cycle
    drifted_jobs: Callable[[Sequence[str], str, str, Callable[[str], None]], Sequence[object]] = _drifted_jobs
    cache: Callable[[], Path] = default_cache
