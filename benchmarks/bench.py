"""Hangtag beside what people would use instead, and its own growth: writes results.json and docs/benchmarks.md.

    python benchmarks/bench.py [--only bulk,growth] [--photos FOLDER] [--count 5000] [--turns 5] [--rows 1000 10000]
                               [--before CHECKOUT] [--weights FILE] [--note TEXT]
    python benchmarks/bench.py --quick

``--photos`` has class folders of JPEGs; without it a catalogue is drawn. ``--count`` copies of the photos are labelled.
``--only`` replaces these parts of results.json and keeps the others; each part names its machine. ``--before`` is a
checkout of an earlier version that the part bulk measures, too. ``--weights`` is the file of a MobileNet 0.25 without
its top: the part training and the default network of the part bulk start from it. ``--quick`` measures six ratios,
writes no file, and exits with status 1 if a ratio lost 15% against results.json. ``.bench/`` keeps photos, networks and
the peers' environments.
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
import scale_out
import training
from material import Material, shop_material, with_default_network
from measuring import lost, machine
from page import IMAGES, PAGE, RESULTS, render
from plots import draw

PHOTOS = 5000
TURNS = 5
LONGER = 4
"""The part long labels this many times as many photos as the other parts."""
PARTS = ("bulk", "long", "one_photo", "guard", "growth", "scale_out", "checking", "training")


def main() -> None:
    """Measure the chosen parts."""
    arguments = _arguments()
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # installed packages have bytecode; a checkout gets it as it warms up
    began = time.monotonic()

    def show(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    if arguments.quick:
        sys.exit(_quick(show))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"schema_version": 1, "parts": {}}
    for part in arguments.only:
        show(f"{part}:")
        noted = machine(arguments.note)
        results["parts"][part] = {"machine": noted, **_measure(part, arguments, results["parts"], show)}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(render(results))
        draw(results, IMAGES)
        show(f"written: {RESULTS.name}, {PAGE.name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--photos", type=Path, help="class folders of JPEGs; drawn where none are given")
    parser.add_argument("--count", type=int, default=PHOTOS, help="how many photos are labelled")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--rows", type=int, nargs="+", default=growth.ROWS, help="of the part growth")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--weights", type=Path, help="of the parts training and bulk")
    parser.add_argument("--note", default="quiet", help="what else the machine did")
    parser.add_argument("--quick", action="store_true", help="compare six ratios with results.json")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    asked = text.split(",")
    unknown = sorted(set(asked) - set(PARTS))
    if unknown:
        msg = f"expected parts of {', '.join(PARTS)}, got {', '.join(unknown)}"
        raise argparse.ArgumentTypeError(msg)
    return asked


def _measure(
    part: str, arguments: argparse.Namespace, measured: dict[str, Any], show: Callable[[str], None]
) -> dict[str, Any]:
    def shop(times: int = 1) -> Material:
        return shop_material(arguments.photos, times * arguments.count, show)

    if part == "scale_out" and "growth" not in measured:
        sys.exit("Expected the part growth in results.json, from which requests come; measure it first.")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "bulk": lambda: _bulk(shop(), arguments, show),
        "long": lambda: bulk.measure_long(shop(LONGER), arguments.turns, show),
        "one_photo": lambda: one_photo.measure(shop(), arguments.turns, show),
        "training": lambda: training.measure(shop(), arguments.weights, show),
        "checking": lambda: checking.measure(shop(), show),
        "scale_out": lambda: scale_out.measure(shop(), guard.guard_material(show), measured["growth"], show),
        "growth": lambda: growth.measure(guard.guard_material(show), show, arguments.rows),
        "guard": lambda: guard.measure(show),
    }
    return parts[part]()


def _bulk(material: Material, arguments: argparse.Namespace, show: Callable[[str], None]) -> dict[str, Any]:
    default = with_default_network(material, arguments.weights, show) if arguments.weights else None
    return bulk.measure(material, arguments.turns, arguments.before, default, show)


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
            "Another processor than the committed one: a ratio may differ by that alone. Measure the commit before on "
            "this machine (make bench-quick there), and compare.",
            file=sys.stderr,
        )
    return 1 if losses else 0


if __name__ == "__main__":
    main()
