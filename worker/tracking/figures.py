"""What the files of a run and of a cycle say, as MLflow has it: parameters are text, metrics are numbers.

The files are read as files: this room knows nothing of what trains. One that is not there says nothing.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from worker.tracking.entry import Figure

__all__ = ["comparison_figures", "epoch_figures", "evaluation_figures", "run_params"]

_NOT_ASKED: Final = {"schema_version", "classes", "preprocess", "made_with", "state", "epochs_done", "best_epoch"}


def run_params(run: Path) -> dict[str, str]:
    """What was asked of a training, of ``args.json``."""
    args = _read_json(run / "args.json")
    asked = {key: value for key, value in args.items() if key not in _NOT_ASKED}
    preprocess = {f"preprocess/{key}": value for key, value in args.get("preprocess", {}).items()}
    classes = {"classes": len(args["classes"])} if "classes" in args else {}
    everything = {**asked, **preprocess, **classes}
    return {key: _text(value) for key, value in everything.items() if value is not None}


def epoch_figures(run: Path) -> tuple[Figure, ...]:
    """A training's curves, of ``results.csv``; numbers that are none (a loss that went to infinity) are left out."""
    path = run / "results.csv"
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Figure(name, float(value), int(row["epoch"]))
        for row in rows
        for name, value in row.items()
        if name != "epoch" and math.isfinite(float(value))
    )


def evaluation_figures(run: Path) -> tuple[Figure, ...]:
    """What a training came to, of ``evaluation.json``; figures of single classes stay in the file."""
    evaluation = _read_json(run / "evaluation.json")
    splits = {split: evaluation.get(split) or {} for split in ("val", "test")}
    best = [Figure(f"final/{split}/{name}", value) for split in splits for name, value in _numbers(splits[split])]
    return (*best, *(Figure(f"final/{name}", value) for name, value in _numbers(evaluation)))


def comparison_figures(cycle: Path) -> tuple[Figure, ...]:
    """How a challenger compares with the champion, of ``comparison.json``."""
    comparison = _read_json(cycle / "comparison.json")
    return tuple(Figure(f"comparison/{name}", value) for name, value in _numbers(comparison))


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Those at the top of a record; an interval is two of them."""
    for name, value in record.items():
        if isinstance(value, list) and name.endswith("_95") and len(value) == 2:  # noqa: PLR2004 - low and high
            yield from ((f"{name}/{end}", float(number)) for end, number in zip(("low", "high"), value, strict=True))
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
