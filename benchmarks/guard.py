"""Six ratios that a change must not make worse: ``make bench-quick`` compares them with the committed results.

Each ratio compares Hangtag with a program that hardly changes: a plain script with Pillow and ONNX Runtime, bare
imports, or a bare loop. The bare loop uses Hangtag's code for decoding and network, so its ratio does not show a
slowdown of this code. The network is small, so Hangtag's other code takes much of the time. Above 1, Hangtag is better.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from bulk import PEERS, bare_loop, label, queue
from cold_start import command_lines
from material import Material, cnn, shop_material
from measuring import cores, ratios, run, turns

TURNS = 3
PHOTOS = 5000
KNOWN, ROWS = 500, 20_000


def measure(show: Callable[[str], None], count: int = TURNS) -> dict[str, Any]:
    """Measure the six ratios, in three minutes (four at the first call)."""
    material = guard_material(show)
    bare, classify = command_lines(material.bundle, material.names[0])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        catalogue = _catalogue(folder / "known.csv", material)
        found = turns(
            {
                "script": partial(_script, material, folder),
                "bare loop": partial(bare_loop, material, "float32", folder),
                "label": partial(label, material, "float32", folder),
                "queue": partial(queue, material, "float32", folder),
                "known rows": partial(_label_known, material, catalogue, folder),
                "imports": lambda: run(bare),
                "classify": lambda: run(classify),
            },
            count,
            show,
        )
    script = found["script"]
    seconds = {name: [getattr(one, "ran", one).seconds for one in runs] for name, runs in found.items()}
    return {
        "photos": material.said(),
        "turns": count,
        "ratios": {
            "label, whole command": ratios(seconds["script"], seconds["label"]),
            "label, after its start": ratios(
                *([one.labelling_s for one in found[name]] for name in ("bare loop", "label"))
            ),
            "label, processor time": ratios(
                [one.processor_s for one in script], [one.ran.processor_s for one in found["label"]]
            ),
            "queue, whole command": ratios(seconds["script"], seconds["queue"]),
            f"{ROWS:,} rows of known photos": ratios(seconds["script"], seconds["known rows"]),
            "one photo, cold": ratios(seconds["imports"], seconds["classify"]),
        },
    }


def guard_material(show: Callable[[str], None]) -> Material:
    """Render photos and train a small network."""
    return shop_material(None, PHOTOS, cnn(64, 1, "--no-int8"), show)


def _catalogue(file: Path, material: Material) -> Path:
    names = islice(cycle(material.names[:KNOWN]), ROWS)
    file.write_text("".join(["image\n", *(f"{os.path.relpath(name, material.photos)}\n" for name in names)]))
    return file


def _script(material: Material, folder: Path) -> Any:  # noqa: ANN401
    command = [sys.executable, "-P", PEERS / "process_pool.py", "onnxruntime", material.onnx["float32"]]
    labels, output = material.bundle / "labels.txt", folder / "script.csv"
    return run([*command, labels, material.photos, output, material.network.size, cores()])


def _label_known(material: Material, catalogue: Path, folder: Path) -> Any:  # noqa: ANN401
    output = Path(tempfile.mkdtemp(dir=folder)) / "labels.parquet"
    command = [sys.executable, "-m", "hangtag", "label", catalogue, "--image-root", material.photos]
    return run([*command, "--model", material.bundle, "--out", output, "--workers", cores(), "--json"])
