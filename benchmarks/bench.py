"""Compare Hangtag with other programs, measure large catalogues, and write results.json and docs/benchmarks.md.

    python benchmarks/bench.py [--only bulk,growth] [--photos FOLDER] [--count 5000] [--turns 5] [--weights FILE]
                               [--note TEXT]
    python benchmarks/bench.py --quick

``--photos`` has class folders of JPEGs. Without ``--photos``, photos are rendered. ``--count`` copies of the photos are
labelled. ``--only`` measures these parts again; the other parts stay in results.json. The part training runs only if
``--only`` names it: it takes 16 minutes and needs ``--weights``, the file of a MobileNet 0.25 without its top.
``--quick`` measures six ratios, writes no file, and exits with status 1 if a ratio fell by 15% compared with
results.json. Photos, networks and the environments of other programs stay in ``.bench/``.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bulk
import checking
import growth
import guard
import one_photo
import training
from material import CNN, DEFAULT, Material, shop_material
from measuring import lost, machine
from page import IMAGES, PAGE, RESULTS, render
from plots import draw

PHOTOS = 5000
TURNS = 5
LONGER = 4
"""The part ``long`` has this many times the photos of the part ``bulk``."""
FEW = 64
"""Number of photos of the part ``start``."""
FLOAT32_TURNS = 3
"""Three programs of the part ``float32`` take half a minute a turn."""
PARTS = ("bulk", "long", "default", "float32", "start", "one_photo", "guard", "growth", "checking")


def main() -> None:
    """Measure the chosen parts."""
    arguments = _arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode speeds up later starts
    began = time.monotonic()

    def show(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    if arguments.quick:
        sys.exit(_quick(show))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"schema_version": 1, "parts": {}}
    for part in arguments.only:
        show(f"{part}:")
        noted = machine(arguments.note)
        results["parts"][part] = {"machine": noted, **_measure(part, arguments, show)}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(render(results))
        draw(results, IMAGES)
        show(f"written: {RESULTS.name}, {PAGE.name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"{', '.join(PARTS)} (default), training")
    parser.add_argument("--photos", type=Path, help="class folders of JPEGs. Default: rendered photos")
    parser.add_argument("--count", type=int, default=PHOTOS, help="number of photos to label")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--weights", type=Path, help="MobileNet 0.25 for the part training")
    parser.add_argument("--note", default="quiet", help="other load on the machine")
    parser.add_argument("--quick", action="store_true", help="compare six ratios with results.json")
    arguments = parser.parse_args()
    if "training" in arguments.only and not arguments.weights:
        parser.error("the part training needs --weights")
    return arguments


def _parts(text: str) -> list[str]:
    asked = text.split(",")
    unknown = sorted(set(asked) - {*PARTS, "training"})
    if unknown:
        msg = f"expected some of {', '.join(PARTS)}, training; got {', '.join(unknown)}"
        raise argparse.ArgumentTypeError(msg)
    return asked


def _measure(part: str, arguments: argparse.Namespace, show: Callable[[str], None]) -> dict[str, Any]:
    def shop(count: int = arguments.count) -> Material:
        return shop_material(arguments.photos, count, DEFAULT if part == "default" else CNN, show)

    counts = {"long": LONGER * arguments.count, "start": FEW}
    turns = min(arguments.turns, FLOAT32_TURNS) if part == "float32" else arguments.turns
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "one_photo": lambda: one_photo.measure(shop(), arguments.turns, show),
        "training": lambda: training.measure(shop(), arguments.weights, show),
        "checking": lambda: checking.measure(shop(), show),
        "growth": lambda: growth.measure(guard.guard_material(show), show),
        "guard": lambda: guard.measure(show),
    }
    if part in bulk.PARTS:
        return bulk.measure(part, shop(counts.get(part, arguments.count)), turns, show)
    return parts[part]()


def _quick(show: Callable[[str], None]) -> int:
    if not RESULTS.exists():
        sys.exit(f"Expected {RESULTS.name} to compare with; `make bench` writes it.")
    committed = json.loads(RESULTS.read_text())["parts"]["guard"]
    found = guard.measure(show)["ratios"]
    for when, on in (("committed", committed["machine"]), ("now", machine("any"))):
        print(f"{when}: {on['processor']}, {on['cores']} cores")
    print(f"{'ratio':32}{'committed':>12}{'now':>8}{'from':>8}{'to':>8}")
    for name, then in committed["ratios"].items():
        now = found[name]
        print(f"{name:32}{then['median']:>12.3g}{now['median']:>8.3g}{now['low']:>8.3g}{now['high']:>8.3g}")
    losses = lost(committed["ratios"], found)
    for loss in losses:
        print(f"lost: {loss}", file=sys.stderr)
    if losses and committed["machine"]["processor"] != machine("any")["processor"]:
        print(
            "The committed ratios are from another processor, which may change them. Measure the previous commit on "
            "this machine with make bench-quick, too.",
            file=sys.stderr,
        )
    return 1 if losses else 0


if __name__ == "__main__":
    main()
