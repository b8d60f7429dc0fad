"""What a run leaves that a retraining of its bundle starts from."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from models.bundle import read_manifest
from models.errors import InputError

__all__ = ["training_files"]

_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
)
"""Name in the registry → place in the run's folder."""


def training_files(run: Path, bundle: Path) -> dict[str, Path]:
    """The files of a run that are kept beside its bundle.

    Args:
        run: the folder of the run that the bundle was exported of.
        bundle: its folder.

    Raises:
        InputError: the run lacks one, or is of other classes, another architecture or other preprocessing.
        BundleError: there is no bundle.
    """
    found = {name: run / place for name, place in _FILES.items()}
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        msg = f"Expected the run that {bundle} was exported of at {run}, found no {missing[0]}."
        raise InputError(msg)
    manifest = read_manifest(bundle).manifest
    try:
        args = json.loads(found["args.json"].read_text(encoding="utf-8"))
        of_run = (args["arch"], args["classes"], args["preprocess"]["size"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"Expected a run's args.json at {found['args.json']}, could not read it ({error!r}); see docs/formats.md."
        raise InputError(msg) from error
    of_bundle = (manifest.arch, list(manifest.labels), manifest.preprocess.size)
    if of_run != of_bundle:
        msg = (
            f"Expected the run that {bundle} was exported of, {run} has another architecture, other classes or another "
            "image size."
        )
        raise InputError(msg)
    return found
