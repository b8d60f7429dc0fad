"""Training: accuracy on unseen photos, and minutes of training.

Compares ``hangtag train`` with only a time limit, and the code of Keras's guide, in 16 minutes on two cores. ``python
benchmarks/bench.py --only training --photos shop/train --weights FILE`` runs this module; ``shop`` also has
``validation`` and ``test``. FILE is a MobileNet 0.25 without its top, from which Keras's guide and one run of Hangtag
start.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bulk import PEERS
from material import Material, peer_python, photo_list
from measuring import run

from models.statistics.intervals import proportion_interval

LIMIT = "5m"
SPLITS = ("train", "validation", "test")


def measure(material: Material, weights: Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure the accuracy on the test photos, and the time of each training."""
    python = peer_python("keras", show)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = _split(material.originals, folder / "data")
        train = [sys.executable, "-m", "hangtag", "train", data, "--seed", 0, "--time-limit", LIMIT, "--out", folder]
        commands = {
            "hangtag train": [*train, "--name", "default"],
            "hangtag train, MobileNet 0.25": [*train, "--weights", weights, "--name", "mobilenet"],
            "Keras, transfer guide, MobileNet 0.25, 20 + 10 epochs": [
                *(python, "-P", PEERS / "keras_training.py", data, weights)
            ],
        }
        contestants = {}
        for name, command in commands.items():
            show(name)
            ran = run(command, {"XDG_CACHE_HOME": tempfile.mkdtemp(dir=folder)})
            ours = name.startswith("hangtag")
            test = _tested(folder / str(command[-1])) if ours else json.loads(ran.said.splitlines()[-1])
            contestants[name] = {
                "minutes": round(ran.seconds / 60, 1),
                "processor_minutes": round(ran.processor_s / 60, 1),
                "memory_mb": round(ran.memory_mb),
                "right": test["right"],
                "accuracy_95": [round(bound, 3) for bound in proportion_interval(test["right"], test["of"])],
            }
        counts = {split: len(photo_list(data / split)) for split in SPLITS}
    return {"photos": material.said(), "counts": counts, "limit": LIMIT, "contestants": contestants}


def _tested(run_folder: Path) -> dict[str, int]:
    test = json.loads((run_folder / "evaluation.json").read_text())["test"]
    return {"right": round(test["accuracy"] * test["n"]), "of": test["n"]}


def _split(originals: Path, data: Path) -> Path:
    """The folder of the originals' splits. Without splits, validation and test each get a tenth of the photos."""
    if all((originals.parent / split).is_dir() for split in SPLITS):
        return originals.parent
    for number, name in enumerate(photo_list(originals)):
        split = {0: "validation", 1: "test"}.get(number % 10, "train")
        place = data / split / Path(name).parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, place)
    return data
