"""Publishes a bundle as a version: claims a number, copies the files, and records it in the history.

Each step can be repeated: publishing the same bundle again continues where a killed process stopped.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.bundle import Bundle, keep_bundle
from models.registry.state import State
from models.storage.storage import Storage
from models.text import numbered, without_file_links

TRAINING: Final = "training"
REPORT_FILES: Final = ("report.html", "confusion_matrix.png", "classes.csv")
"""What a run has for people to look at; kept beside a version's bundle where the run is named."""
_CLAIMS: Final = "claims"


def claim_number(storage: Storage, state: State, digest: str) -> int:
    """The number of a bundle's version: its own, the one under which its publishing was begun, or the next.

    ``storage`` is the model's folder; ``state`` may be older than the claims in it.
    """
    known = {number: what.digest for number, what in state.versions.items()}
    while True:
        claims = numbered(storage.names(_CLAIMS), ".json")
        last = max([state.last_version, *claims])
        for number in range(last, 0, -1):
            if number not in known and number not in state.deleted:
                known[number] = _claimed(storage, number)
            if known.get(number) == digest:
                return number
        if storage.commit(_key(last + 1), json.dumps({"digest": digest}).encode()):
            return last + 1


def _claimed(storage: Storage, number: int) -> str:
    try:
        return str(json.loads(storage.read(_key(number)))["digest"])
    except FileNotFoundError:
        return ""


def _key(number: int) -> str:
    return f"{_CLAIMS}/{number:06d}.json"


def copy_version(storage: Storage, version: int, bundle: Bundle, training: Mapping[str, Path]) -> None:
    """Write a version's files. Existing files stay; of the bundle, damaged ones are replaced. Raises BundleError."""
    keep_bundle(storage.child(str(version)), bundle)
    for file, path in training.items():
        data = path.read_bytes()
        storage.commit(f"{TRAINING}/{version}/{file}", without_file_links(data) if file == "report.html" else data)


def report_files(run: Path) -> dict[str, Path]:
    """Those of a run's files that people look at, by the names under which they are kept."""
    return {name: run / name for name in REPORT_FILES if (run / name).is_file()}


def remove_deleted(storage: Storage, state: State) -> None:
    """Remove files that a killed process left of versions that the history says are deleted."""
    for folder in (storage, storage.child(TRAINING)):
        for name in set(folder.folders()).intersection(map(str, state.deleted)):
            folder.clear(name)
