"""MLflow behind a small interface: a version becomes one run with its bundle, one model version, and aliases.

Nothing is logged twice, even after a kill halfway. The files of a run and of a cycle are read as plain files, since
this room does not import the trainer; a missing one is skipped.
"""

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from models.bundle import MANIFEST_FILE, open_bundle
from models.errors import HangtagError, InputError, MissingExtraError, TrackingError
from models.registry.state import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_EXPERIMENT: Final = "hangtag"
_BUNDLE: Final = "bundle"
_AT_ONCE: Final = 500  # MLflow takes 1,000 numbers in a request
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
_NOT_ASKED: Final = {"schema_version", "classes", "preprocess", "made_with", "state", "epochs_done", "best_epoch"}
_OF_A_RUN: Final = ("args.json", "results.csv", "evaluation.json", "classes.csv", "report.html", "model_card.md")
# Not cycle.json, whose settings may hold a password.
_OF_A_CYCLE: Final = ("report.html", "collected.json", "comparison.json", "catalogue.json", "verdict.json")
_ALWAYS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it reports its use to its makers otherwise, from 3.2 on
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the command's own
}
# Of its own accord MLflow tries a server that is away for minutes.
_UNLESS_SET: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def publish_bundle(
    uri: str,
    bundle: Path,
    name: str,
    run: Path | None,
    version: int,
    aliases: Mapping[str, int | None] | None = None,
    experiment: str = _EXPERIMENT,
) -> str:
    """Log a bundle as a run, and register it.

    Args:
        uri: of the tracking server.
        bundle: its folder.
        name: of the model.
        run: the training behind it, if known: its settings, curves and figures are logged.
        version: in Hangtag's registry.
        aliases: see :func:`point_aliases`. Default: they stay as MLflow has them.
        experiment: where the run is logged; made if it is missing.

    Returns:
        The run's ID in MLflow.

    Raises:
        BundleError: it is not a bundle.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server cannot be reached, or refuses; another call continues from there.
    """
    return _log(uri, experiment, _Entry(bundle, name, run, version), aliases or {})


def log_cycle(
    uri: str, experiment: str, folder: Path, name: str, version: int, promoted: bool, aliases: Mapping[str, int]
) -> str:
    """Log a retraining cycle as a run with its report and its bundle, and register the bundle.

    Works like :func:`publish_bundle`; ``aliases`` are the model's aliases in the registry now.
    """
    entry = _Entry(folder / "bundle", name, folder / "run", version, cycle=folder, promoted=promoted)
    return _log(uri, experiment, entry, {CHAMPION: None, CHALLENGER: None, **aliases})


def point_aliases(uri: str, name: str, aliases: Mapping[str, int | None]) -> None:
    """Point a model's aliases in MLflow at the versions that they have in Hangtag's registry.

    ``aliases`` is alias → Hangtag's version; None removes the alias. So does a version that MLflow does not have: a
    missing alias is better than a wrong one.

    Raises:
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server cannot be reached, or refuses.
    """
    with mlflow_client(uri) as client:
        _point(client, name, aliases)


@contextmanager
def mlflow_client(uri: str) -> "Iterator[MlflowClient]":
    """A client of a tracking server, which is also its model registry.

    ``uri`` may hold a user and a password. While the client is open they are in the environment, where MLflow looks for
    them, so that the URI that MLflow prints and logs has none.

    Raises:
        InputError: there is no URI.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: anything else goes wrong in the block; the message has no password.
    """
    if not uri.strip():
        msg = "Expected the URI of an MLflow server, such as http://mlflow:5000, got nothing."
        raise InputError(msg)
    bare, credentials = _split(uri)
    with _environment({**_ALWAYS, **credentials, **{k: v for k, v in _UNLESS_SET.items() if k not in os.environ}}):
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            msg = f"Logging to MLflow needs its client ({error}); pip install 'hangtag[mlflow]'."
            raise MissingExtraError(msg) from error
        try:
            yield MlflowClient(tracking_uri=bare, registry_uri=bare)
        except HangtagError:
            raise
        except Exception as error:  # noqa: BLE001 - a server names the store of its artifacts: anything may be raised
            said = _without_secrets(" ".join(str(error).split()) or type(error).__name__, uri)
            msg = f"Expected MLflow at {server_name(uri)} to log this, it did not: {said}"
            raise TrackingError(msg) from None  # what is behind it may hold the password


def server_name(uri: str) -> str:
    """The URI without its user, password and options, for messages."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """A server's URI without user and password, and MLflow's variables for these; a database's URI stays."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or not parts.username:
        return uri, {}
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, {
        "MLFLOW_TRACKING_USERNAME": unquote(parts.username),
        "MLFLOW_TRACKING_PASSWORD": unquote(parts.password or ""),
    }


def _without_secrets(text: str, uri: str) -> str:
    parts = urlsplit(uri)
    userinfo = parts.netloc.rpartition("@")[0]
    for secret in (uri, userinfo, parts.password, unquote(parts.password or "")):
        if secret and secret != server_name(uri):
            text = text.replace(secret, server_name(uri) if secret == uri else "***")
    return text


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_Metric = tuple[str, float, int]
"""A metric's name, its finite value, and its epoch; epoch 0 stands for the whole training."""


@dataclass(frozen=True)
class _Entry:
    """A version, with the training and the cycle behind it, if known."""

    bundle: Path
    name: str
    run: Path | None
    version: int
    cycle: Path | None = None
    promoted: bool = False

    def params(self) -> dict[str, str]:
        """The settings of the training."""
        args = _read_json(self.run, "args.json")
        asked = {key: value for key, value in args.items() if key not in _NOT_ASKED}
        asked |= {f"preprocess/{key}": value for key, value in args.get("preprocess", {}).items()}
        if "classes" in args:
            asked["classes"] = len(args["classes"])
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in asked.items() if v is not None}

    def metrics(self) -> Iterator[_Metric]:
        """The training's curves and figures, without those of single classes; and the comparison of both models."""
        curves = self.run / "results.csv" if self.run else None
        if curves and curves.is_file():
            with curves.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    epoch, numbers = int(row.pop("epoch")), {name: float(text) for name, text in row.items()}
                    yield from ((name, value, epoch) for name, value in numbers.items() if math.isfinite(value))
        evaluation = _read_json(self.run, "evaluation.json")
        for split in ("val", "test"):
            yield from _metrics(f"final/{split}", evaluation.get(split) or {})
        yield from _metrics("final", evaluation)
        yield from _metrics("comparison", _read_json(self.cycle, "comparison.json"))

    def tags(self) -> dict[str, str]:
        """The cycle's outcome; reasons are those of the gate."""
        if self.cycle is None:
            return {}
        checks = _read_json(self.cycle, "verdict.json").get("checks", ())
        failed = " ".join(check["sentence"] for check in checks if not check["passed"])[:4000]
        verdict = {"hangtag_cycle": self.cycle.name, "hangtag_verdict": "promoted" if self.promoted else "refused"}
        return {**verdict, "hangtag_reasons": failed} if failed else verdict

    def artifacts(self) -> Iterator[tuple[Path, str | None]]:
        """Files, and the folder of each."""
        yield from ((self.cycle / name, None) for name in _OF_A_CYCLE if self.cycle and (self.cycle / name).is_file())
        yield from ((self.run / name, "run") for name in _OF_A_RUN if self.run and (self.run / name).is_file())


def _metrics(prefix: str, record: Mapping[str, Any]) -> Iterator[_Metric]:
    """The numbers at the top level of a record; an interval is two of them."""
    for name, value in record.items():
        if isinstance(value, list) and name.endswith("_95") and len(value) == 2:  # noqa: PLR2004 - low and high
            yield from (
                (f"{prefix}/{name}/{end}", float(bound), 0) for end, bound in zip(("low", "high"), value, strict=True)
            )
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}/{name}", float(value), 0


def _read_json(folder: Path | None, name: str) -> dict[str, Any]:
    if folder is None or not (folder / name).is_file():
        return {}
    found: dict[str, Any] = json.loads((folder / name).read_bytes())
    return found


def _log(uri: str, experiment: str, entry: _Entry, aliases: Mapping[str, int | None]) -> str:
    # before the server is asked: a damaged bundle is told first. The same bundle is told of once.
    identity = {"hangtag_model": entry.name, "hangtag_digest": open_bundle(entry.bundle).digest}
    with mlflow_client(uri) as client:
        run = _run(client, _experiment_id(client, experiment), entry, identity)
        _register(client, run, entry, identity)
        _point(client, entry.name, aliases)
        return str(run.info.run_id)


def _experiment_id(client: "MlflowClient", name: str) -> str:
    from mlflow import MlflowException

    found = client.get_experiment_by_name(name)
    if not found:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:  # if somebody was quicker, it is there
            if error.error_code != _EXISTS or (found := client.get_experiment_by_name(name)) is None:
                raise
    return str(found.experiment_id)


def _run(client: "MlflowClient", experiment_id: str, entry: _Entry, identity: Mapping[str, str]) -> "Run":
    """The finished run of a version; a run that a killed process began is completed, a missing one is made."""
    tags = {**entry.tags(), **identity, "hangtag_version": str(entry.version)}
    there = client.search_runs([experiment_id], _filter(identity), max_results=1)
    run = there[0] if there else client.create_run(experiment_id, tags=tags, run_name=f"{entry.name} {entry.version}")
    for name, value in tags.items():
        client.set_tag(run.info.run_id, name, value)
    if run.info.status != "FINISHED":
        _fill(client, run.info.run_id, entry)
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _fill(client: "MlflowClient", run_id: str, entry: _Entry) -> None:
    """Log all that a run holds. To MLflow, numbers with the same name, epoch and time are one number."""
    from mlflow.entities import Metric, Param

    at_ms = int((entry.bundle / MANIFEST_FILE).stat().st_mtime * 1000)
    metrics = [Metric(name, value, at_ms, epoch) for name, value, epoch in entry.metrics()]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
    client.log_batch(run_id, params=[Param(name, value) for name, value in entry.params().items()])
    for file, folder in entry.artifacts():
        client.log_artifact(run_id, str(file), folder)
    client.log_artifacts(run_id, str(entry.bundle), _BUNDLE)


def _register(client: "MlflowClient", run: "Run", entry: _Entry, identity: Mapping[str, str]) -> None:
    from mlflow import MlflowException

    try:
        client.create_registered_model(entry.name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    found = _versions(client, _filter(identity), entry.name)
    if not found:
        source, tags = f"{run.info.artifact_uri}/{_BUNDLE}", dict(identity)
        made = client.create_model_version(entry.name, source, run.info.run_id, tags=tags, await_creation_for=0)
        found = [made]
    for name, value in {**entry.tags(), "hangtag_version": str(entry.version)}.items():
        client.set_model_version_tag(entry.name, found[0].version, name, value)


def _point(client: "MlflowClient", name: str, aliases: Mapping[str, int | None]) -> None:
    for alias, number in aliases.items():
        found = [] if number is None else _versions(client, f"tags.hangtag_version = '{number}'", name)
        if found:
            client.set_registered_model_alias(name, alias, found[0].version)
        else:
            client.delete_registered_model_alias(name, alias)


def _versions(client: "MlflowClient", which: str, name: str) -> "Sequence[ModelVersion]":
    found: Sequence[ModelVersion] = client.search_model_versions(f"name = '{name}' and {which}", max_results=1)
    return found


def _filter(identity: Mapping[str, str]) -> str:
    return " and ".join(f"tags.{name} = '{value}'" for name, value in identity.items())
