"""What a cycle works with, passed in so that each piece can be another in a test. The real ones load when used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from models.process import default_cache
from trainer.retrain.config import CatalogueSettings, ClassMap, GateSettings, RetrainConfig
from trainer.retrain.cycle_folder import Outcome
from trainer.retrain.records import CatalogueDiff, Collected, Comparison, Verdict


def _late(module: str, name: str) -> Any:  # noqa: ANN401 - type checkers see what is loaded
    """A function whose module loads when it is called."""

    def call(*arguments: Any) -> Any:  # noqa: ANN401 - the same
        return getattr(import_module(module), name)(*arguments)

    return call


if TYPE_CHECKING:
    from exporter.options import ExportOptions
    from trainer.request import TrainRequest
    from trainer.retrain.collect import collect
    from trainer.retrain.compare import catalogue_diff, compare, draw_rows
    from trainer.retrain.gate import judge
    from trainer.retrain.report.report import write_report
    from trainer.splits.assigned import AssignedPhoto
    from trainer.train import TrainingView
    from worker.drift import drifted_jobs
    from worker.tracking import log_cycle
else:
    catalogue_diff = _late("trainer.retrain.compare", "catalogue_diff")
    collect = _late("trainer.retrain.collect", "collect")
    compare = _late("trainer.retrain.compare", "compare")
    draw_rows = _late("trainer.retrain.compare", "draw_rows")
    drifted_jobs = _late("worker.drift", "drifted_jobs")
    judge = _late("trainer.retrain.gate", "judge")
    log_cycle = _late("worker.tracking", "log_cycle")
    write_report = _late("trainer.retrain.report.report", "write_report")

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
    """See :func:`trainer.retrain.compare.catalogue_diff`."""

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


def _export(run: Path, place: Path, options: "ExportOptions", advance: Advance, /) -> None:
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from exporter.export import export_run

    export_run(run, place, options, advance)


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

    collect: Collect = collect
    train: "Callable[[TrainRequest, TrainingView], None]" = _train
    resume: "Callable[[Path, Path, TrainingView], None]" = _resume
    misfit: "Callable[[Path, TrainRequest], str | None]" = _misfit
    export: "Callable[[Path, Path, ExportOptions, Advance], None]" = _export
    compare: Compare = compare
    judge: Callable[[GateSettings, Comparison, CatalogueDiff | None], Verdict] = judge
    draw_rows: Callable[[CatalogueSettings, Path], None] = draw_rows
    catalogue_diff: DiffCatalogue = catalogue_diff
    write_report: Callable[[Path, Outcome], object] = write_report
    log_cycle: Callable[[str, str, Path, str, int, bool, Mapping[str, int]], str] = log_cycle
    drifted_jobs: Callable[[Sequence[str], str, str, Callable[[str], None]], Sequence[object]] = drifted_jobs
    cache: Callable[[], Path] = default_cache
