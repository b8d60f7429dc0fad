"""A retraining cycle, told to MLflow."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.registry_history import CHALLENGER, CHAMPION
from trainer.retrain.config import MlflowSettings
from worker.tracking.figures import comparison_figures
from worker.tracking.publish import bundle_entry
from worker.tracking.tracker import tell

__all__ = ["log_cycle"]

_OF_A_CYCLE: Final = (  # not cycle.json, whose settings may hold a password
    "report.html",
    "collected.json",
    "comparison.json",
    "catalogue.json",
    "verdict.json",
)


def log_cycle(
    settings: MlflowSettings, folder: Path, name: str, version: int, promoted: bool, aliases: Mapping[str, int]
) -> str:
    """Log a cycle as a run with its report and its bundle, and register the bundle. The second time nothing is doubled.

    It comes last in a cycle, and the cycle's outcome does not rest on it: whoever calls it says what went wrong, and
    goes on.

    Args:
        settings: which server, which experiment.
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
    return tell(settings.uri, settings.experiment, entry, {CHAMPION: None, CHALLENGER: None, **aliases})


def _reasons(folder: Path) -> dict[str, str]:
    """What the gate found wrong, as one tag; none where it found nothing."""
    path = folder / "verdict.json"
    if not path.is_file():
        return {}
    failed = [check["sentence"] for check in json.loads(path.read_bytes())["checks"] if not check["passed"]]
    return {"hangtag_reasons": " ".join(failed)[:4000]} if failed else {}
