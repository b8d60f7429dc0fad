"""Compare the speed with photos at URLs and on this machine's disk, and test misbehaving hosts.

    python benchmarks/downloads.py rate [--photos PHOTOS --model BUNDLE] [--rows 8000] [--runs 5] [--ill deaf slow …]
    python benchmarks/downloads.py everything [--photos PHOTOS --model BUNDLE]

``rate`` uses photos on 20 hosts. One host (5% of the rows) is deaf (accepts no connection), silent (accepts, never
answers), slow (2 s an answer), flaky (first a 500, then the photo), or healthy. One process labels on one core. The
process of the hosts runs on another core, and is mostly idle. Each run measures, in turns, local files with the same
bytes and each kind of host. Every row has another photo. The first run is not counted.

``rate`` prints images a second, and their ratios to the local files of the same run. ``phase`` divides the rows on
healthy hosts (or local files) by the receipt's seconds of labelling, including the last wait for the ill host.
``fetching`` divides the same rows by the seconds from the first request to the last photo of a healthy host. Each row
is checked: rows of deaf and silent hosts must have failed, other rows must have the local file's SHA-256 and no error.

``everything`` labels a row for each fault of a host, and checks the result.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from material import make_material, photo_list
from nasty_hosts import nasty_hosts
from photo_hosts import PhotoHosts, photo_hosts
from photo_server import Figures, Health, photo_bytes

HOSTS = 20
NEVER = (Health.DEAF, Health.SILENT)
FAULTS = {"download", "timeout"}
CERTAIN = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t for 95%, by the number of runs."""


@dataclass(frozen=True)
class Measure:
    """One measured command.

    Attributes:
        phase: images a second of the labelling phase.
        fetching: images a second until the last healthy photo was sent; equals ``phase`` for local files.
        seconds: duration of the labelling phase.
        busy: share of a core that the hosts' process used while it served requests.
        errors: rows by kind of error.
    """

    phase: float
    fetching: float
    seconds: float
    busy: float
    errors: dict[str, int]


def main() -> None:
    """Run ``rate`` or ``everything``."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        everything = arguments.what == "everything"
        photos, model = make_material(arguments.photos, arguments.model, folder, drawn=200 if everything else 1000)
        if everything:
            sys.exit(_everything(Path(photo_list(photos)[0]).read_bytes(), model, folder))
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            sys.exit("Expected two cores, one for labelling and one for the hosts, found one.")
        with photo_hosts(photos, HOSTS, cores[1]) as hosts:
            os.sched_setaffinity(0, {cores[0]})  # the labelling process inherits this core
            _Rate(photos, model, folder, hosts, arguments.rows).run(arguments.ill, arguments.runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "everything"])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--runs", type=int, choices=sorted(CERTAIN), default=5)
    parser.add_argument("--ill", type=Health, choices=list(Health), nargs="+", default=list(Health))
    arguments = parser.parse_args()
    if bool(arguments.photos) != bool(arguments.model):
        parser.error("give --photos and --model, or neither")
    return arguments


class _Rate:
    def __init__(self, photos: Path, model: Path, folder: Path, hosts: PhotoHosts, rows: int) -> None:
        self._model = model
        self._folder = folder
        self._hosts = hosts
        self._rows = rows
        bytes_of = [Path(name).read_bytes() for name in photo_list(photos)]
        (folder / "local").mkdir()
        for row in range(rows):
            (folder / "local" / f"{row}.jpg").write_bytes(photo_bytes(bytes_of, row))
        local = _write(folder / "local.csv", [str(folder / "local" / f"{row}.jpg") for row in range(rows)])
        urls = {ill: [hosts.url(row, ill) for row in range(rows)] for ill in Health}
        self._sources = {None: local} | {ill: _write(folder / f"{ill}.csv", cells) for ill, cells in urls.items()}

    def run(self, ills: list[Health], runs: int) -> None:
        """Take turns and print the table; exit with an error if a row has a wrong result."""
        found: dict[Health | None, list[Measure]] = defaultdict(list)
        ratios: dict[Health, list[tuple[float, float]]] = defaultdict(list)
        print(f"{self._rows:,} rows, {HOSTS} hosts, {runs} runs, in turns; images a second")
        print("run   host 20   phase   fetching   phase ratio   fetching ratio   seconds   hosts' core   errors")
        for number in range(runs + 1):
            sides: list[Health | None] = [None, *ills]
            turned = sides[number % len(sides) :] + sides[: number % len(sides)]
            measures = {ill: self._label(ill) for ill in turned}
            self._check(measures)
            if not number:
                continue
            for ill in sides:
                found[ill].append(measures[ill])
                ratio = measures[ill].phase / measures[None].phase, measures[ill].fetching / measures[None].fetching
                if ill:
                    ratios[ill].append(ratio)
                _print_run(number, ill, measures[ill], ratio)
        for ill in ills:
            _print_ratios(ill, ratios[ill])

    def _label(self, ill: Health | None) -> Measure:
        hosts = [place for places in self._hosts.places.values() for place in places] if ill else []
        output = self._output(ill)
        self._hosts.take_figures()
        receipt = _label(self._sources[ill], self._model, output, hosts)
        figures = self._hosts.take_figures()
        seconds = receipt["run"]["seconds"]
        healthy = sum(ill is None or self._hosts.is_healthy(row, ill) for row in range(self._rows))
        rate, errors = healthy / seconds, {kind: count["count"] for kind, count in receipt["errors"].items()}
        if ill is None:
            return Measure(rate, rate, seconds, 0.0, errors)
        return Measure(rate, _fetching(figures), seconds, figures.busy_s / (figures.last - figures.first), errors)

    def _output(self, ill: Health | None) -> Path:
        return self._folder / f"{ill or 'local'}.parquet"

    def _check(self, measures: dict[Health | None, Measure]) -> None:
        local = pq.read_table(self._output(None)).to_pylist()
        for ill in filter(None, measures):
            for row, (here, there) in enumerate(zip(local, pq.read_table(self._output(ill)).to_pylist(), strict=True)):
                lost = ill in NEVER and not self._hosts.is_healthy(row, ill)
                good = there["error"] in FAULTS if lost else there["sha256"] == here["sha256"]
                if not good or (not lost and there["error"] != here["error"]):
                    sys.exit(
                        f"row {row} of {ill}, {there['image']}, ended as {there['error']}: {there['error_message']}"
                    )


def _fetching(figures: Figures) -> float:
    return figures.healthy / (figures.last - figures.first)


def _print_run(number: int, ill: Health | None, measure: Measure, ratio: tuple[float, float]) -> None:
    errors = ", ".join(f"{count:,} {kind}" for kind, count in measure.errors.items())
    print(
        f"{number:>3}   {ill or 'local':<7}   {measure.phase:>5,.0f}   {measure.fetching:>8,.0f}   {ratio[0]:>11.3f}   "
        f"{ratio[1]:>14.3f}   {measure.seconds:>7.1f}   {measure.busy:>11.0%}   {errors or 'none'}",
        flush=True,
    )


def _print_ratios(ill: Health, ratios: list[tuple[float, float]]) -> None:
    for what, one in zip(("phase", "fetching"), zip(*ratios, strict=True), strict=True):
        half = CERTAIN[len(one)] * statistics.stdev(one) / len(one) ** 0.5
        mean = statistics.mean(one)
        print(f"{ill}, {what}: ratio {mean:.3f}, 95% interval {mean - half:.3f} to {mean + half:.3f}")


def _write(file: Path, cells: list[str]) -> Path:
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("row", "image"), *enumerate(cells)])
    return file


def _label(source: Path, model: Path, output: Path, hosts: list[str]) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "hangtag", "label", str(source), "--model", str(model), "--out", str(output)]
    allowed = [word for host in hosts for word in ("--allow-host", host)]
    done = subprocess.run(
        [*command, "--workers", "1", "--restart", "--json", *allowed], stdout=subprocess.PIPE, check=True
    )
    receipt: dict[str, dict[str, float]] = json.loads(done.stdout)
    return receipt


def _everything(photo: bytes, model: Path, folder: Path) -> int:
    with nasty_hosts(photo) as (places, cases):
        source = _write(folder / "cases.csv", [case.url for case in cases])
        output = folder / "cases.parquet"
        _label(source, model, output, places)
    wrong = 0
    rows = pq.read_table(output, columns=["error", "error_message"]).to_pylist()
    for case, row in zip(cases, rows, strict=True):
        good = row["error"] in case.ends
        wrong += not good
        ends = " or ".join(sorted(kind or "labeled" for kind in case.ends))
        print(f"{'ok   ' if good else 'WRONG'} {case.what}: {row['error'] or 'labeled'} (expected {ends})")
        if row["error"]:
            print(f"        {row['error_message']}")
    kinds = Counter(row["error"] or "labeled" for row in rows)
    print(f"{len(rows)} rows, {wrong} wrong: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}")
    return wrong


if __name__ == "__main__":
    main()
