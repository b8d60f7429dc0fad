"""Use a registry from another process: ``python registry_process.py WORK PLACE ...``; prints JSON."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.bundle import read_manifest
from models.reference import resolve_model
from models.registry.history import CHALLENGER
from models.registry.registry import Registry, open_registry
from models.storage.storage import FolderStorage

MODEL = "shop"


@dataclass
class _Steps:
    left: int

    def step(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


@dataclass(frozen=True)
class _DyingStorage(FolderStorage):
    """A disk whose process is killed before its n-th write."""

    steps: _Steps = field(compare=False)

    def commit(self, key: str, data: bytes) -> bool:
        self.steps.step()
        return super().commit(key, data)

    def replace(self, key: str, data: bytes) -> None:
        self.steps.step()
        super().replace(key, data)

    def clear(self, folder: str) -> None:
        """Remove half of the folder, then die."""
        for file in sorted(path for path in (self.root / folder).rglob("*") if path.is_file()):
            self.steps.step()
            file.unlink()
        self.steps.step()
        super().clear(folder)

    def child(self, folder: str) -> "_DyingStorage":
        return _DyingStorage(self.root / folder, self.steps)


def read_until_told(place: str, least: str) -> object:
    """Look the champion up until ``PLACE.stop`` exists; write ``PLACE.enough-PID`` after ``least`` look-ups.

    Each answer must be complete.
    """
    reads, seen = 0, []
    while not Path(f"{place}.stop").exists():
        found = resolve_model(f"{MODEL}@champion", place)
        version = int(found.name.partition("@")[2])
        assert read_manifest(found.path).manifest.version.endswith(f"{version:06d}Z")
        reads += 1
        if seen[-1:] != [version]:
            seen.append(version)
        if reads == 1:
            print("reading", flush=True)
        if reads == int(least):
            Path(f"{place}.enough-{os.getpid()}").touch()
    return {"reads": reads, "seen": len(seen)}


def publish(place: str, *bundles: str) -> object:
    print("ready", flush=True)
    sys.stdin.readline()
    registry = open_registry(place)
    return [registry.publish(MODEL, Path(bundle), "at once").version for bundle in bundles]


def die_publishing(place: str, step: str, bundle: str) -> object:
    """Publish a challenger and promote it, killed before the n-th write; print only if no n-th write comes."""
    registry = Registry(FolderStorage(Path(place)) if step == "none" else _DyingStorage(Path(place), _Steps(int(step))))
    training = {"splits.csv": Path(bundle, "labels.txt"), "args.json": Path(bundle, "manifest.json")}
    version = registry.publish(MODEL, Path(bundle), "a try", training=training, alias=CHALLENGER).version
    registry.promote(MODEL, version, "a try")
    return version


def die_deleting(place: str, step: str, version: str) -> object:
    registry = Registry(_DyingStorage(Path(place), _Steps(int(step))))
    return registry.delete(MODEL, int(version), "a try") is not None


def die_in_turn() -> object:
    """Run each line of stdin in a forked process, and print its exit.

    The parent has imported all modules: imports would take longer than the work.
    """
    for line in sys.stdin:
        work, *words = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                WORK[work](*words)
                code = 0
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


WORK: dict[str, Callable[..., object]] = {
    "read": read_until_told,
    "publish": publish,
    "die_in_turn": die_in_turn,
    "die_publishing": die_publishing,
    "die_deleting": die_deleting,
}

if __name__ == "__main__":
    print(json.dumps(WORK[sys.argv[1]](*sys.argv[2:])), flush=True)
