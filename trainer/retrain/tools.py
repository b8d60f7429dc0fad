"""What a cycle works with: functions that are passed in, so that a test can pass others. TensorFlow loads late."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.load_tensorflow import load_tensorflow
from exporter.options import ExportOptions
from models.errors import InputError
from models.process import default_cache
from models.statistics.intervals import proportion_interval
from trainer.retrain.collect import collect
from trainer.retrain.compare import compare
from trainer.retrain.config import CatalogueSettings, ClassMap, GateSettings, RetrainConfig
from trainer.retrain.cycle_folder import Outcome
from trainer.retrain.gate import judge
from trainer.retrain.records import CatalogueDiff, Collected, Comparison, Verdict
from trainer.retrain.report import write_report
from trainer.splits.assigned import AssignedPhoto
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.sample import SampleOptions, draw_sample
from worker.drift import drifted_jobs
from worker.tracking import log_cycle

if TYPE_CHECKING:
    from trainer.request import TrainRequest
    from trainer.train import TrainingView

__all__ = ["Tools"]

Advance = Callable[[str, int, int], None]
"""Told of a piece of work, how much is done, and of how much."""


def _train(request: "TrainRequest", view: "TrainingView") -> None:
    load_tensorflow()
    from trainer.train import train

    train(request, view)


def _resume(run: Path, cache: Path, view: "TrainingView") -> None:
    load_tensorflow()
    from trainer.run import open_run
    from trainer.train import resume

    resume(open_run(run), cache, view)


def _misfit(weights: Path, request: "TrainRequest") -> str | None:
    load_tensorflow()
    from trainer.networks.build import build_network

    try:
        build_network(request.arch, request.preprocess.size, 2, weights=weights, alpha=request.alpha)
    except InputError as error:
        return str(error)
    return None


def _export(run: Path, place: Path, options: ExportOptions, advance: Advance) -> None:
    load_tensorflow()
    from exporter.export import export_run

    export_run(run, place, options, advance)


def _draw_rows(settings: CatalogueSettings, folder: Path) -> None:
    draw_sample(settings.source, folder, settings.rows, _sample_options(settings, {}))


def _compare_catalogue(
    settings: CatalogueSettings,
    champion: Path,
    challenger: Path,
    folder: Path,
    renamed: Mapping[str, str],
    advance: Advance,
) -> CatalogueDiff:
    options = _sample_options(settings, renamed)
    figures = diff_catalogue(champion, challenger, settings.source, folder, settings.rows, options, advance)
    share = proportion_interval(figures.changed, figures.rows)
    return CatalogueDiff(**dict(figures), changed_share_95=share)


def _sample_options(settings: CatalogueSettings, renamed: Mapping[str, str]) -> SampleOptions:
    return SampleOptions(
        settings.image_column, settings.image_root, settings.encoding, settings.allow_hosts, dict(renamed)
    )


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
        draw_rows: draws the rows of a catalogue that are to be compared, into a folder.
        catalogue_diff: champion and challenger on these rows; the folder keeps what is needed to go on after a kill.
            The champion's labels are renamed before they are compared.
        write_report: draws the page.
        log_cycle: tells a tracking server.
        drifted_jobs: says which jobs of a champion have drifted since a time.
        cache: where pixels are kept.
    """

    collect: Callable[
        [RetrainConfig, Path, Path | None, Sequence[AssignedPhoto], Callable[[int, int], None]], Collected
    ] = collect
    train: "Callable[[TrainRequest, TrainingView], None]" = _train
    resume: "Callable[[Path, Path, TrainingView], None]" = _resume
    misfit: "Callable[[Path, TrainRequest], str | None]" = _misfit
    export: Callable[[Path, Path, ExportOptions, Advance], None] = _export
    compare: Callable[[Path, Path, Path | None, tuple[str | None, str], ClassMap, Path, Advance], Comparison] = compare
    judge: Callable[[GateSettings, Comparison, CatalogueDiff | None], Verdict] = judge
    draw_rows: Callable[[CatalogueSettings, Path], None] = _draw_rows
    catalogue_diff: Callable[[CatalogueSettings, Path, Path, Path, Mapping[str, str], Advance], CatalogueDiff] = (
        _compare_catalogue
    )
    write_report: Callable[[Path, Outcome], object] = write_report
    log_cycle: Callable[[str, str, Path, str, int, bool, Mapping[str, int]], str] = log_cycle
    drifted_jobs: Callable[[Sequence[str], str, str, Callable[[str], None]], Sequence[object]] = drifted_jobs
    cache: Callable[[], Path] = default_cache
