"""What becomes of a model, told to a tracking server as well; the registry changes whether it hears of it or not."""

from importlib.util import find_spec
from pathlib import Path

from models.errors import HangtagError, InputError, MissingExtraError
from models.registry import Registry
from models.registry_history import CHALLENGER, CHAMPION
from models.terminal import Console

__all__ = ["check_tracking", "track_aliases", "track_version"]


def check_tracking(uri: str | None) -> None:
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


def track_version(uri: str, shelf: Registry, name: str, version: int, bundle: Path, run: Path | None) -> None:
    """Tell a server of a version that is published, and of the model's aliases.

    Args:
        uri: of the server. One that is away, or refuses, is said on stderr: the registry has changed by then.
        shelf: the registry.
        name: of the model.
        version: its number.
        bundle: its folder.
        run: that it was exported of; none where it is not known.
    """
    from worker.tracking import publish_bundle  # Hangtag does without MLflow otherwise

    try:
        publish_bundle(uri, bundle, name, run, version, _aliases(shelf, name))
    except HangtagError as error:
        _say_untold(error, "Give the same command again")


def track_aliases(uri: str, shelf: Registry, name: str, removed: str | None = None) -> None:
    """Let a model's aliases on a server mean what they mean in the registry.

    Args:
        uri: see :func:`track_version`.
        shelf: the registry.
        name: of the model.
        removed: an alias that may still be there, and not here.
    """
    from worker.tracking import point_aliases

    try:
        point_aliases(uri, name, {**({removed: None} if removed else {}), **_aliases(shelf, name)})
    except HangtagError as error:
        _say_untold(error, f"Repeat it with hangtag models promote {name}@{CHAMPION} --why repeated --mlflow URI")


def _aliases(shelf: Registry, name: str) -> dict[str, int | None]:
    """Those that the model has, and those of a cycle that it has not."""
    return {CHAMPION: None, CHALLENGER: None, **shelf.state(name).aliases}


def _say_untold(error: HangtagError, advice: str) -> None:
    text = f"The registry has changed, MLflow was not told of it. {error} {advice} when that is mended."
    Console(stderr=True).print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
