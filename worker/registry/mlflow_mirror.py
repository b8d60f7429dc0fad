"""What ``hangtag models`` tells MLflow besides. The registry is the truth: its troubles are said, and undo nothing."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from models.errors import InputError, MissingExtraError, TrackingError
from models.registry import Registry
from models.registry_history import CHALLENGER, CHAMPION
from worker.registry.console import warn
from worker.tracking.publish import publish_bundle
from worker.tracking.tracker import point_aliases

__all__ = ["check_mlflow", "mirror_aliases", "mirror_version"]

T = TypeVar("T")


def check_mlflow(uri: str | None) -> None:
    """Refuse what cannot be told, before anything is changed.

    Raises:
        InputError: the URI is empty.
        MissingExtraError: MLflow's client is not installed.
    """
    if uri is None:
        return
    if not uri.strip():
        msg = "Expected the URI of an MLflow server after --mlflow, such as http://mlflow:5000, got nothing."
        raise InputError(msg)
    if find_spec("mlflow") is None:
        msg = "Telling MLflow needs its client; pip install 'hangtag[mlflow]'."
        raise MissingExtraError(msg)


def mirror_version(uri: str, shelf: Registry, name: str, version: int, bundle: Path, run: Path | None) -> str | None:
    """Log a version, and register it with the aliases that it has here; the run's ID, or none where that failed."""
    return _told(uri, lambda: publish_bundle(uri, bundle, name, run, version, _aliases(shelf, name)))


def mirror_aliases(uri: str, shelf: Registry, name: str) -> None:
    """Let the aliases in MLflow mean what they mean here."""
    _told(uri, lambda: point_aliases(uri, name, _aliases(shelf, name)))


def _aliases(shelf: Registry, name: str) -> dict[str, int | None]:
    return {CHAMPION: None, CHALLENGER: None, **shelf.state(name).aliases}


def _told(uri: str, tell: Callable[[], T]) -> T | None:
    try:
        return tell()
    except TrackingError as error:
        warn(f"{error} The registry has it all the same; the same command again tells MLflow.")
        return None
