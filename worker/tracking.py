"""A version in MLflow: one run with its bundle, one model version, and the aliases that Hangtag's registry has."""

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from models.bundle import MANIFEST_FILE, open_bundle
from models.errors import HangtagError, InputError, MissingExtraError, TrackingError
from models.registry.history import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion


__all__ = [
    "EXPERIMENT",
    "Entry",
    "Figure",
    "bundle_entry",
    "comparison_figures",
    "epoch_figures",
    "evaluation_figures",
    "log_cycle",
    "mlflow_client",
    "point_aliases",
    "publish_bundle",
    "run_params",
    "server_name",
    "tell",
]


_ALWAYS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it reports its use to its makers otherwise, from 3.2 on
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the command's own
}
# Of its own accord MLflow tries a server that is away for minutes, and it is only told besides.
_UNLESS_SET: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextmanager
def mlflow_client(uri: str) -> "Iterator[MlflowClient]":
    """A client of a tracking server, which holds its registry, too.

    The environment is changed for as long as it is open: MLflow takes its settings from there, and a user and a
    password, too, so that the URI which it is given, prints and logs has none.

    Args:
        uri: such as ``http://mlflow:5000``; it may hold a user and a password.

    Raises:
        InputError: there is no URI.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: whatever else goes wrong while it is open; the message has no password.
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
            msg = f"Expected MLflow at {server_name(uri)} to take what it is told, it did not: {said}"
            raise TrackingError(msg) from None  # what is behind it may hold the password


def server_name(uri: str) -> str:
    """The URI without its user, password and options, for messages."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """A server's URI without user and password, and where MLflow looks for these; a database's stays as it is."""
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


@dataclass(frozen=True)
class Figure:
    """A number.

    Attributes:
        name: with MLflow's ``/`` between what belongs together.
        value: finite.
        epoch: that it is of; 0 where it is of the whole training.
    """

    name: str
    value: float
    epoch: int = 0


@dataclass(frozen=True)
class Entry:
    """A version, and all that is known of how it came about.

    Attributes:
        name: of the model.
        version: in Hangtag's registry; MLflow counts its own.
        digest: of the bundle. It is what an entry is known by: the same bundle is told of once.
        bundle: its folder.
        at_ms: when it was measured, in milliseconds since 1970; the same whenever it is told again.
        params: what it was trained with.
        figures: what was measured.
        tags: what else is to be found by.
        files: file → folder among the run's artifacts, ``""`` for the top; each of them is there.
    """

    name: str
    version: int
    digest: str
    bundle: Path
    at_ms: int
    params: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)


EXPERIMENT: Final = "hangtag"
_BUNDLE: Final = "bundle"
_AT_ONCE: Final = 500  # MLflow takes 1,000 numbers in a request
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"


def tell(uri: str, experiment: str, entry: Entry, aliases: Mapping[str, int | None]) -> str:
    """Tell a tracking server of a version. What it has been told already, in whole or in part, is not doubled.

    Args:
        uri: of the server.
        experiment: that the run is logged to; made where it is not there.
        entry: the version, and what is known of it.
        aliases: see :func:`point_aliases`.

    Returns:
        The run's ID.

    Raises:
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server is away, or refuses; telling it again goes on from there.
    """
    with mlflow_client(uri) as client:
        run = _run(client, _experiment_id(client, experiment), entry)
        _register(client, run, entry)
        _point(client, entry.name, aliases)
        run_id: str = run.info.run_id
        return run_id


def point_aliases(uri: str, name: str, aliases: Mapping[str, int | None]) -> None:
    """Let a model's aliases mean the versions in MLflow that they mean in Hangtag's registry.

    Args:
        uri: of the server.
        name: of the model.
        aliases: alias → Hangtag's version; none takes it away. So does one that MLflow has not been told of: an alias
            that means another version than here is worse than none.

    Raises:
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server is away, or refuses.
    """
    with mlflow_client(uri) as client:
        _point(client, name, aliases)


def _experiment_id(client: "MlflowClient", name: str) -> str:
    from mlflow import MlflowException

    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != _EXISTS or (found := client.get_experiment_by_name(name)) is None:
            raise
        return str(found.experiment_id)  # somebody was quicker


def _run(client: "MlflowClient", experiment_id: str, entry: Entry) -> "Run":
    """The run of a version, finished: one that is there, or was begun by a process that was killed, or a new one."""
    tags = {**entry.tags, **_identity(entry), "hangtag_version": str(entry.version)}
    there = client.search_runs([experiment_id], _is_of(entry), max_results=1)
    run = there[0] if there else client.create_run(experiment_id, tags=tags, run_name=f"{entry.name} {entry.version}")
    for name, value in tags.items():
        client.set_tag(run.info.run_id, name, value)
    if run.info.status != "FINISHED":
        _fill(client, run.info.run_id, entry)
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _fill(client: "MlflowClient", run_id: str, entry: Entry) -> None:
    """All that a run holds. Numbers with the same name, epoch and time are the same number to MLflow."""
    from mlflow.entities import Metric, Param

    metrics = [Metric(figure.name, figure.value, entry.at_ms, figure.epoch) for figure in entry.figures]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
    client.log_batch(run_id, params=[Param(name, value) for name, value in entry.params.items()])
    for file, folder in entry.files.items():
        client.log_artifact(run_id, str(file), folder or None)
    client.log_artifacts(run_id, str(entry.bundle), _BUNDLE)


def _register(client: "MlflowClient", run: "Run", entry: Entry) -> None:
    from mlflow import MlflowException

    try:
        client.create_registered_model(entry.name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    found = _versions(client, _is_of(entry), entry.name)
    version = found[0] if found else _new_version(client, run, entry)
    for name, value in {**entry.tags, "hangtag_version": str(entry.version)}.items():
        client.set_model_version_tag(entry.name, version.version, name, value)


def _new_version(client: "MlflowClient", run: "Run", entry: Entry) -> "ModelVersion":
    return client.create_model_version(
        entry.name,
        f"{run.info.artifact_uri}/{_BUNDLE}",
        run.info.run_id,
        tags=_identity(entry),
        await_creation_for=0,
    )


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


def _identity(entry: Entry) -> dict[str, str]:
    return {"hangtag_model": entry.name, "hangtag_digest": entry.digest}


def _is_of(entry: Entry) -> str:
    return " and ".join(f"tags.{name} = '{value}'" for name, value in _identity(entry).items())


_NOT_ASKED: Final = {"schema_version", "classes", "preprocess", "made_with", "state", "epochs_done", "best_epoch"}


def run_params(run: Path) -> dict[str, str]:
    """What was asked of a training, of ``args.json``."""
    args = _read_json(run / "args.json")
    asked = {key: value for key, value in args.items() if key not in _NOT_ASKED}
    preprocess = {f"preprocess/{key}": value for key, value in args.get("preprocess", {}).items()}
    classes = {"classes": len(args["classes"])} if "classes" in args else {}
    everything = {**asked, **preprocess, **classes}
    return {key: _text(value) for key, value in everything.items() if value is not None}


def epoch_figures(run: Path) -> tuple[Figure, ...]:
    """A training's curves, of ``results.csv``; numbers that are none (a loss that went to infinity) are left out."""
    path = run / "results.csv"
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Figure(name, float(value), int(row["epoch"]))
        for row in rows
        for name, value in row.items()
        if name != "epoch" and math.isfinite(float(value))
    )


def evaluation_figures(run: Path) -> tuple[Figure, ...]:
    """What a training came to, of ``evaluation.json``; figures of single classes stay in the file."""
    evaluation = _read_json(run / "evaluation.json")
    splits = {split: evaluation.get(split) or {} for split in ("val", "test")}
    best = [Figure(f"final/{split}/{name}", value) for split in splits for name, value in _numbers(splits[split])]
    return (*best, *(Figure(f"final/{name}", value) for name, value in _numbers(evaluation)))


def comparison_figures(cycle: Path) -> tuple[Figure, ...]:
    """How a challenger compares with the champion, of ``comparison.json``."""
    comparison = _read_json(cycle / "comparison.json")
    return tuple(Figure(f"comparison/{name}", value) for name, value in _numbers(comparison))


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Those at the top of a record; an interval is two of them."""
    for name, value in record.items():
        if isinstance(value, list) and name.endswith("_95") and len(value) == 2:  # noqa: PLR2004 - low and high
            yield from ((f"{name}/{end}", float(number)) for end, number in zip(("low", "high"), value, strict=True))
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


_OF_A_RUN: Final = ("args.json", "results.csv", "evaluation.json", "report.html", "model_card.md")


def publish_bundle(
    uri: str,
    bundle: Path,
    name: str,
    run: Path | None,
    version: int,
    aliases: Mapping[str, int | None] | None = None,
    experiment: str = EXPERIMENT,
) -> str:
    """Log a bundle as a run, and register it. The second time nothing is doubled.

    Args:
        uri: of the tracking server.
        bundle: its folder.
        name: of the model.
        run: the training behind it, where somebody has it: its settings, curves and figures are logged.
        version: that it has in Hangtag's registry.
        aliases: that the model has there, all of them; none where they are to stay as MLflow has them.
        experiment: that the run is logged to.

    Returns:
        The run's ID in MLflow.

    Raises:
        BundleError: it is none.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server is away, or refuses. The bundle stays published in Hangtag's registry.
    """
    return tell(uri, experiment, bundle_entry(bundle, name, run, version), aliases or {})


def bundle_entry(bundle: Path, name: str, run: Path | None, version: int) -> Entry:
    """What is known of a bundle, and of the training behind it.

    Raises:
        BundleError: it is none.
    """
    opened = open_bundle(bundle)
    return Entry(
        name,
        version,
        opened.digest,
        bundle,
        at_ms=int((bundle / MANIFEST_FILE).stat().st_mtime * 1000),
        params=run_params(run) if run else {},
        figures=(*epoch_figures(run), *evaluation_figures(run)) if run else (),
        files={run / file: "run" for file in _OF_A_RUN if (run / file).is_file()} if run else {},
    )


_OF_A_CYCLE: Final = (  # not cycle.json, whose settings may hold a password
    "report.html",
    "collected.json",
    "comparison.json",
    "catalogue.json",
    "verdict.json",
)


def log_cycle(
    uri: str,
    experiment: str,
    folder: Path,
    name: str,
    version: int,
    promoted: bool,
    aliases: Mapping[str, int],
) -> str:
    """Log a cycle as a run with its report and its bundle, and register the bundle. The second time nothing is doubled.

    It comes last in a cycle, and the cycle's outcome does not rest on it: whoever calls it says what went wrong, and
    goes on.

    Args:
        uri: of the server.
        experiment: that the run is logged to.
        folder: of the cycle.
        name: of the model.
        version: of the challenger in Hangtag's registry.
        promoted: what came of the cycle; else the challenger was refused.
        aliases: of the model in the registry now.

    Returns:
        The run's ID in MLflow.

    Raises:
        BundleError: the cycle's bundle is damaged.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server is away, or refuses; calling it again goes on from there.
    """
    known = bundle_entry(folder / "bundle", name, folder / "run", version)
    entry = replace(
        known,
        figures=(*known.figures, *comparison_figures(folder)),
        tags={
            "hangtag_cycle": folder.name,
            "hangtag_verdict": "promoted" if promoted else "refused",
            **_reasons(folder),
        },
        files={**{folder / file: "" for file in _OF_A_CYCLE if (folder / file).is_file()}, **known.files},
    )
    return tell(uri, experiment, entry, {CHAMPION: None, CHALLENGER: None, **aliases})


def _reasons(folder: Path) -> dict[str, str]:
    """What the gate found wrong, as one tag; none where it found nothing."""
    path = folder / "verdict.json"
    if not path.is_file():
        return {}
    failed = [check["sentence"] for check in json.loads(path.read_bytes())["checks"] if not check["passed"]]
    return {"hangtag_reasons": " ".join(failed)[:4000]} if failed else {}
