"""Label a catalogue again after a few changes, with ``--previous`` and in full.

    python benchmarks/nightly.py --photos PHOTOS --model BUNDLE [--rows 100000] [--changed 0.02]

Every row has its own photo: one of PHOTOS with extra bytes after its end, which no decoder reads. Tonight, half of the
changed rows have another photo, the other half are new, and as many of yesterday's rows are gone. Both of tonight's
runs must give the same rows; the run with ``--previous`` must decode only changed photos. Without ``--photos`` and
``--model``, photos are rendered and a small model is trained.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from material import distinct_name, hangtag, make_material, material_parser, readable_photos, write_distinct

WORKERS = 2
PHOTOS = "photos"
FLOAT_TOLERANCE = 1e-5
FLOATS = {"confidence", "confidence_2", "unknown", "top_k"}


@dataclass(frozen=True)
class Night:
    """The rows of both nights; a number stands for a photo.

    Attributes:
        yesterday: photos of yesterday's rows.
        tonight: photos of tonight's rows.
        fresh: number of tonight's rows with a new photo.
    """

    yesterday: list[int]
    tonight: list[int]
    fresh: int


@dataclass(frozen=True)
class Run:
    """A command's result and receipt, and its seconds from start to end."""

    output: Path
    receipt: dict[str, Any]
    seconds: float


def main() -> None:
    """Label yesterday's catalogue, tonight's with --previous and tonight's in full; compare and print."""
    arguments = _arguments()
    night = _night(arguments.rows, arguments.changed)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        scratch = Path(folder)
        photos, model = make_material(arguments.photos, arguments.model, scratch)
        numbers = sorted({*night.yesterday, *night.tonight})
        write_distinct(scratch / PHOTOS, readable_photos(photos), numbers)
        yesterday = _label(_catalogue(scratch, "yesterday", night.yesterday), model)
        nightly = _label(_catalogue(scratch, "nightly", night.tonight), model, yesterday.output)
        full = _label(_catalogue(scratch, "full", night.tonight), model)
        _compare(nightly, full)
        _report(night, yesterday, nightly, full)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.02)
    parser.add_argument(
        "--scratch", type=Path, help="Folder for temporary photos. Default: the system's temporary folder."
    )
    arguments = parser.parse_args()
    if bool(arguments.photos) != bool(arguments.model):
        parser.error("give --photos and --model, or neither")
    if arguments.rows < 100 or not 0.01 <= arguments.changed <= 0.5:
        parser.error("expected --rows of 100 or more, and --changed from 0.01 to 0.5")
    return arguments


def _night(rows: int, share: float) -> Night:
    half = round(rows * share / 2)
    yesterday = list(range(rows))
    tonight = yesterday[:-half]
    for number, row in enumerate(range(0, len(tonight), len(tonight) // half)[:half]):
        tonight[row] = rows + number
    return Night(yesterday, [*tonight, *range(rows + half, rows + 2 * half)], 2 * half)


def _catalogue(scratch: Path, name: str, numbers: list[int]) -> Path:
    file = scratch / f"{name}.csv"
    file.write_text("sku,image\n" + "".join(f"{number:07},{PHOTOS}/{distinct_name(number)}\n" for number in numbers))
    return file


def _label(source: Path, model: Path, previous: Path | None = None) -> Run:
    output = source.with_suffix(".parquet")
    options = ("--workers", WORKERS, "--json", *(("--previous", previous) if previous else ()))
    start = time.monotonic()
    receipt = hangtag("label", source, "--model", model, "--out", output, *options)
    return Run(output, json.loads(receipt), time.monotonic() - start)


def _compare(nightly: Run, full: Run) -> None:
    """Compare each row. Probabilities may differ in the last digits, because batches differ."""
    rows, expected = (pq.read_table(run.output).to_pylist() for run in (nightly, full))
    if len(rows) != len(expected):
        sys.exit(f"the full run has {len(expected):,} rows, the nightly run {len(rows):,}")
    wrong = sum(not _same(one, other) for one, other in zip(rows, expected, strict=True))
    if wrong:
        sys.exit(f"{wrong:,} of {len(rows):,} rows differ from the full run")


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    exact = all(one[name] == other[name] for name in one if name not in FLOATS)
    return exact and all(
        label == expected and abs(share - sure) < FLOAT_TOLERANCE
        for (label, share), (expected, sure) in zip(_shares(one), _shares(other), strict=True)
    )


def _shares(row: dict[str, Any]) -> list[tuple[str, float]]:
    best = [(entry["label"], entry["confidence"]) for entry in row["top_k"] or []]
    return best if row["confidence"] is None else [(row["label"], row["confidence"]), *best]


def _report(night: Night, yesterday: Run, nightly: Run, full: Run) -> None:
    print(f"{len(night.tonight):,} rows, {night.fresh:,} of them with a new photo; {WORKERS} processes")
    print("run         decoded   carried over   seconds")
    for name, run in (("yesterday", yesterday), ("nightly", nightly), ("in full", full)):
        photos = run.receipt["photos"]
        print(f"{name:<9}   {photos['decoded']:>7,}   {photos['carried']:>12,}   {run.seconds:>7.1f}")
    print(
        f"the rows are the same; the nightly run was {full.seconds / nightly.seconds:.1f} times as fast as the full run"
    )
    decoded = nightly.receipt["photos"]["decoded"]
    if decoded != night.fresh:
        sys.exit(f"the nightly run decoded {decoded:,} photos, expected {night.fresh:,}")


if __name__ == "__main__":
    main()
