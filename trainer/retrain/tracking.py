"""Logs a cycle to MLflow as one run: its parameters, figures and files. The registry holds everything without it."""

import csv
import json
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from models.errors import MissingExtraError, TrackingError
from trainer.retrain.cycle_folder import CycleFolder, Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FILES: Final = {  # cycle.json is left out: its settings may hold a password
    None: ("report.html", "collected.json", "comparison.json", "catalogue.json", "verdict.json"),
    "run": ("args.json", "results.csv", "evaluation.json", "classes.csv", "report.html"),
}
_MOST_NUMBERS: Final = 500  # MLflow takes 1,000 in a request
_LONGEST_TAG: Final = 4000
_UNLESS_SET: Final = {  # by itself, MLflow tries a server that is away for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def log_cycle(uri: str, experiment: str, cycle: CycleFolder, outcome: Outcome) -> str:
    """Log a cycle, unless it was logged before, and return the run's ID; a run that a killed process began is replaced.

    TrackingError: the server cannot be reached, or refuses; the message has no password.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it reports its use to its makers otherwise
    os.environ |= {name: value for name, value in _UNLESS_SET.items() if name not in os.environ}
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        msg = f"Logging to MLflow needs its client ({error}); pip install 'hangtag[mlflow]'."
        raise MissingExtraError(msg) from error
    try:
        return _log(MlflowClient(tracking_uri=uri), experiment, cycle, outcome)
    except Exception as error:  # noqa: BLE001 - a server names the store of its files: anything may be raised
        msg = f"Expected MLflow at {uri} to log the cycle, got: {' '.join(str(error).split()) or type(error).__name__}"
        place = urlsplit(uri).netloc
        raise TrackingError(msg.replace(place, place.rpartition("@")[2])) from None  # its cause may hold the password


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
