"""Does the work of a retraining cycle, and logs the cycle to MLflow."""

import csv
import json
import math
import os
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from exporter.options import ExportOptions, load_tensorflow
from models.errors import MissingExtraError, TrackingError
from models.process import default_cache
from models.registry.history import Event, What
from models.registry.registry import Registry
from models.statistics.intervals import proportion_interval
from trainer.retrain.collect import collect
from trainer.retrain.compare import compare
from trainer.retrain.config import CatalogueSettings, RetrainConfig
from trainer.retrain.cycle_folder import CatalogueDiff, Comparison, CycleFolder, CycleStart, Outcome
from trainer.retrain.gate import judge
from trainer.retrain.report import write_report
from worker.catalogue_diff import diff_catalogue, draw_sample
from worker.request import JobOptions
from worker.results.drift import drifted_jobs

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from trainer.request import TrainRequest
    from trainer.train import TrainingView

_FILES: Final = {  # without cycle.json, whose settings may contain a password
    None: ("report.html", "collected.json", "comparison.json", "catalogue.json", "verdict.json"),
    "run": ("args.json", "results.csv", "evaluation.json", "classes.csv", "report.html"),
}
_MOST_NUMBERS: Final = 500  # MLflow accepts 1,000 numbers per request
_LONGEST_TAG: Final = 4000
_UNLESS_SET: Final = {  # by default, MLflow retries an unreachable server for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def log_cycle(uri: str, experiment: str, cycle: CycleFolder, outcome: Outcome) -> str:
    """Log a cycle once, and return the ID of the MLflow run. An unfinished run of a killed process is replaced.

    Raises TrackingError, without a password in the message, if the server is unreachable or refuses.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # otherwise MLflow sends usage data to its makers
    os.environ |= {name: value for name, value in _UNLESS_SET.items() if name not in os.environ}
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        msg = f"Logging to MLflow needs its client ({error}); pip install 'hangtag[mlflow]'."
        raise MissingExtraError(msg) from error
    try:
        return _log(MlflowClient(tracking_uri=uri), experiment, cycle, outcome)
    except Exception as error:  # noqa: BLE001 - a client of any file store may raise anything
        msg = f"Expected to log to MLflow at {uri}, got: {' '.join(str(error).split()) or type(error).__name__}"
        place = urlsplit(uri).netloc
        # the original error may contain the password
        raise TrackingError(msg.replace(place, place.rpartition("@")[2])) from None


def _log(client: "MlflowClient", experiment: str, cycle: CycleFolder, outcome: Outcome) -> str:
    from mlflow.entities import Metric, Param

    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known else client.create_experiment(experiment)
    name = f"{outcome.name} {outcome.version}"
    for run in client.search_runs([place], f"tags.hangtag_version = '{name}'"):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    tags = {"hangtag_version": name, "hangtag_cycle": cycle.path.name, "hangtag_status": outcome.status.value}
    tags["hangtag_reasons"] = " ".join(outcome.reasons)[:_LONGEST_TAG]
    run_id = str(client.create_run(place, tags=tags, run_name=name).info.run_id)
    args = {key: value for key, value in _read(cycle, "run/args.json").items() if isinstance(value, str | int | float)}
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in args.items()])
    numbers = [Metric(key, value, 0, epoch) for key, value, epoch in _numbers(cycle)]
    for start in range(0, len(numbers), _MOST_NUMBERS):
        client.log_batch(run_id, metrics=numbers[start : start + _MOST_NUMBERS])
    for folder, files in _FILES.items():
        for file in (cycle.path / (folder or "") / file for file in files):
            if file.is_file():
                client.log_artifact(run_id, str(file), folder)
    client.log_artifacts(run_id, str(cycle.bundle), "bundle")
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _read(cycle: CycleFolder, name: str) -> dict[str, Any]:
    file = cycle.path / name
    record: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    return record


def _numbers(cycle: CycleFolder) -> Iterator[tuple[str, float, int]]:
    if (cycle.run / "results.csv").is_file():
        with (cycle.run / "results.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                epoch = int(row.pop("epoch"))
                yield from ((name, float(text), epoch) for name, text in row.items() if math.isfinite(float(text)))
    evaluation = _read(cycle, "run/evaluation.json")
    records = {"final/val": evaluation.get("val"), "final/test": evaluation.get("test"), "final": evaluation}
    for prefix, record in {**records, "comparison": _read(cycle, "comparison.json")}.items():
        for name, value in (record or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield f"{prefix}/{name}", float(value), 0


_Advance = Callable[[str, int, int], None]


class CycleTools:
    """The functions that do a cycle's work. Tests can replace them."""

    collect = staticmethod(collect)
    compare = staticmethod(compare)
    judge = staticmethod(judge)
    write_report = staticmethod(write_report)
    log_cycle = staticmethod(log_cycle)
    drifted_jobs = staticmethod(drifted_jobs)
    cache = staticmethod(default_cache)

    @staticmethod
    def train(request: "TrainRequest", run: Path, cache: Path, view: "TrainingView") -> None:
        """Begin the training of a challenger."""
        load_tensorflow()
        from trainer.train import train

        train(request, run, cache, view)

    @staticmethod
    def resume(run: Path, cache: Path, view: "TrainingView") -> None:
        """Continue a stopped training."""
        load_tensorflow()
        from trainer.run import open_run
        from trainer.train import resume

        resume(open_run(run), cache, view)

    @staticmethod
    def export(run: Path, place: Path, options: ExportOptions, advance: _Advance) -> None:
        """Export a run to a bundle."""
        load_tensorflow()
        from exporter.export import export_run

        export_run(run, place, options, advance)

    @staticmethod
    def draw_rows(settings: CatalogueSettings, folder: Path) -> None:
        """Write a random sample of a catalogue's rows into a folder."""
        draw_sample(settings.source, folder, settings.rows, _job_options(settings))

    @staticmethod
    def catalogue_diff(
        settings: CatalogueSettings,
        champion: Path,
        challenger: Path,
        folder: Path,
        renamed: Mapping[str, str],
        advance: _Advance,
        answered: Container[str],
    ) -> CatalogueDiff:
        """Compare two bundles on the catalogue rows in ``folder``, by current class names. Continues after a crash."""
        figures = diff_catalogue(
            champion,
            challenger,
            settings.source,
            folder,
            settings.rows,
            _job_options(settings),
            renamed,
            advance,
            answered,
        )
        share = proportion_interval(figures.changed, figures.rows)
        return CatalogueDiff(**dict(figures), changed_share_95=share)


def _job_options(settings: CatalogueSettings) -> JobOptions:
    return JobOptions(
        image_column=settings.image_column,
        image_root=settings.image_root,
        image_suffix=settings.image_suffix,
        encoding=settings.encoding,
        allow_hosts=list(settings.allow_hosts) or None,
        headers=list(settings.headers) or None,
    )


@dataclass(frozen=True)
class RunningCycle:
    """A running cycle, with the settings with which it started.

    Attributes:
        note: called with each remark for the user.
    """

    folder: CycleFolder
    start: CycleStart
    config: RetrainConfig
    registry: Registry
    tools: CycleTools
    note: Callable[[str], None]

    @property
    def cycle_id(self) -> str:
        """The cycle's name in the registry's history."""
        return self.folder.path.name

    @property
    def version(self) -> int:
        """The challenger's version in the registry."""
        return int(json.loads(self.folder.published.read_bytes())["version"])

    @property
    def comparison(self) -> Comparison:
        """The comparison of champion and challenger."""
        return self.folder.read(self.folder.comparison, Comparison)

    @property
    def compared_with(self) -> int:
        """The version of the champion in the comparison, or 0 without a champion."""
        champion = self.comparison.champion
        return int(champion.rpartition("@")[2]) if champion else 0

    def decision(self) -> Event | None:
        """The last decision on the challenger, by this cycle or a person, from the history.

        Ignores a manual promotion that was rolled back.
        """
        version, rolled_back = self.version, False
        for event in reversed(self.registry.history(self.start.name).events()):
            rolled_back |= event.what is What.ROLLED_BACK
            own = event.cycle == self.cycle_id
            refused = event.what is What.REFUSED and own
            promoted = event.what is What.PROMOTED and (own or not rolled_back)
            if event.version == version and (refused or promoted):
                return event
        return None
