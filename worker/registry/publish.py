"""Verifies a bundle on this machine, and publishes it in a registry."""

import json
from pathlib import Path
from shlex import quote
from typing import Final

from models.bundle import read_manifest
from models.errors import BundleError, InputError
from models.registry.registry import Published, Registry, report_files
from models.verify import verify_with_spinner

_TRAINING_FILES: Final = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
"""Name in the registry → place in the run's folder."""


def publish_verified(registry: Registry, bundle: Path, name: str, run: Path | None, why: str) -> Published:
    """Verify a bundle and publish it; ``run``: its training, for a retraining."""
    training = _training_files(run, bundle) if run else {}
    verification = verify_with_spinner(bundle)
    if not verification.sound:
        fault = verification.faults[0]
        verify = f"hangtag verify {quote(str(bundle))}"
        msg = f"{bundle} is refused, {fault.subject}: {fault.detail}; {verify} shows all faults."
        raise BundleError(msg)
    manifest = read_manifest(bundle).manifest
    variant = manifest.variants[manifest.default_variant]
    numbers = {"accuracy": variant.accuracy, "precision": variant.precision}
    return registry.publish(name, bundle, why, numbers=numbers, training=training)


def _training_files(run: Path, bundle: Path) -> dict[str, Path]:
    files = {name: run / place for name, place in _TRAINING_FILES.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        msg = f"Expected the run behind {bundle} at {run}, found no {missing[0]}."
        raise InputError(msg)
    manifest = read_manifest(bundle).manifest
    try:
        args = json.loads(files["args.json"].read_text(encoding="utf-8"))
        trained = (args["arch"], args["classes"], args["image_size"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"Expected a run's args.json at {files['args.json']}, could not read it ({error!r})."
        raise InputError(msg) from error
    if trained != (manifest.arch, list(manifest.labels), manifest.preprocess.size):
        msg = f"Expected the run behind {bundle}, but {run} has another architecture, other classes or another size."
        raise InputError(msg)
    return files | report_files(run)
