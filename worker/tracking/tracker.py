"""A version in MLflow: one run with its bundle, one model version, and the aliases that Hangtag's registry has."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from worker.tracking.entry import Entry
from worker.tracking.mlflow_client import mlflow_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["EXPERIMENT", "point_aliases", "tell"]

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
