"""Compare two versions of Hangtag: every cell of results and lists, and receipts without their times.

    python benchmarks/same_labels.py BEFORE AFTER --model BUNDLE --photos FOLDER [--photos FOLDER]
        [--tree BUNDLE] [--question NAME=BUNDLE --question NAME=BUNDLE] [--keep FOLDER]

``BEFORE`` and ``AFTER`` are checkouts; this Python runs both. Every file of the folders is a row. The cases are each
variant, votes, ``--previous`` and a retry; also a tree of labels and several questions, if they are given. ``--keep``
names a folder for results, so that another ``AFTER`` reuses the results of ``BEFORE``. Exit status 1 if anything
differs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

_TIMES: Final = ("finished_at", "run", "images_per_s", "work", "job", "output", "review_file", "groups_file")
_WORK: Final = ("downloaded", "unchanged", "bytes", "decoded", "repeated", "carried")
_LATE: Final = 40


@dataclass(frozen=True)
class Case:
    """One result: its catalogue, its suffix, and the options of ``hangtag label``."""

    name: str
    source: Path
    options: tuple[str, ...]
    ending: str = ".parquet"


def main() -> int:
    """Print a line for each case: number of rows, failed rows, and differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, action="append")
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--question", action="append", default=[])
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        differ = [_compare(asked.before, asked.after, case, folder) for case in _cases(asked, folder.resolve())]
    return 1 if any(differ) else 0


def _cases(asked: argparse.Namespace, folder: Path) -> Iterator[Case]:
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(str(file.resolve()) for place in asked.photos for file in place.rglob("*") if file.is_file())
    late = [str(folder / "late" / f"{number}.jpg") for number in range(_LATE)]
    everything = _rows(folder / "all.jsonl", [*files, *files[::50]])
    some = _rows(folder / "some.jsonl", [*files[::-3], *files[1:200:5]])
    missing = _rows(folder / "missing.jsonl", [*files[::4], *late])
    model = ("--model", str(asked.model.resolve()))
    for variant in sorted(json.loads((asked.model / "manifest.json").read_text(encoding="utf-8"))["variants"]):
        yield Case(variant, everything, (*model, "--variant", variant))
    yield Case("votes", everything, (*model, "--group-column", "sku", "--excel-safe"), ".csv")
    yield Case("previous", some, (*model, "--previous", "{}/int8.parquet"))
    yield Case("retry", missing, model, ".jsonl")
    if asked.tree:
        yield Case("tree", some, ("--model", str(asked.tree.resolve()), "--group-column", "sku"))
    if asked.question:
        named = (word for question in asked.question for word in ("--model", question))
        yield Case("questions", some, (*named, "--group-column", "sku"))


def _rows(source: Path, files: list[str]) -> Path:
    rows = [{"image": file, "sku": f"S{number // 3}", "name": f"={number}"} for number, file in enumerate(files)]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return source


def _compare(before: Path, after: Path, case: Case, folder: Path) -> bool:
    old, new = (
        _facts(_labelled(tree.resolve(), case, folder / name)) for tree, name in ((before, "before"), (after, "after"))
    )
    receipt = old["receipt.json"]
    differ = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    print(f"{case.name}: {receipt['rows']:,} rows, {receipt['by_status']}; differing: {', '.join(differ) or 'none'}")
    for name in differ:
        _show(old.get(name), new.get(name))
    return bool(differ)


def _show(old: object, new: object) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = list(old.items()), list(new.items())
    if isinstance(old, list) and isinstance(new, list):
        for one, other in [pair for pair in zip(old, new, strict=False) if pair[0] != pair[1]][:3]:
            print(f"  {one}\n  now {other}")


def _labelled(tree: Path, case: Case, folder: Path) -> Path:
    output = folder / f"{case.name}{case.ending}"
    if folder.name == "before" and output.exists():
        return output
    folder.mkdir(exist_ok=True)
    late = folder.parent / "late"
    shutil.rmtree(late, ignore_errors=True)
    _run(tree, case, output, "--restart")
    if case.name == "retry":
        late.mkdir()
        for number, line in enumerate(case.source.read_text(encoding="utf-8").splitlines()[:_LATE]):
            (late / f"{number}.jpg").symlink_to(json.loads(line)["image"])
        _run(tree, case, output, "--retry-failed")
    return output


def _run(tree: Path, case: Case, output: Path, *more: str) -> None:
    options = [option.format(output.parent) for option in case.options]
    command = [sys.executable, "-P", "-m", "hangtag", "label", str(case.source), *options, "--out", str(output), *more]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    subprocess.run([*command, "--workers", "1"], check=True, env=environment, stdout=subprocess.DEVNULL)


def _facts(output: Path) -> dict[str, Any]:
    job = output.with_name(f"{output.name}.job")
    result = pq.read_table(output).to_pylist() if output.suffix == ".parquet" else output.read_text("utf-8").split("\n")
    facts: dict[str, Any] = {"result": result, "receipt.json": _receipt(json.loads((job / "receipt.json").read_text()))}
    for place in [job, *sorted((job / "questions").glob("*"))]:
        for file in sorted((*place.glob("review.csv"), *place.glob("by_group.*"))):
            rows = file.read_text("utf-8").split("\n") if file.suffix == ".csv" else pq.read_table(file).to_pylist()
            facts[str(file.relative_to(job))] = rows
    return facts


def _receipt(receipt: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in receipt.items() if key not in _TIMES}
    kept["photos"] = {key: receipt["photos"][key] for key in _WORK}
    if "questions" in receipt:
        kept["questions"] = {name: _receipt(one) for name, one in receipt["questions"].items()}
    return kept


if __name__ == "__main__":
    sys.exit(main())
