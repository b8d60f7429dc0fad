"""Write docs/benchmarks.md and its plots from benchmarks/results.json: ``python benchmarks/page.py``."""

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
RESULTS = _ROOT / "benchmarks" / "results.json"
PAGE = _ROOT / "docs" / "benchmarks.md"
IMAGES = _ROOT / "docs" / "images"
_HEAD = """# Benchmarks

This page compares Hangtag with other programs for the same work. `make bench` measures it (40 minutes on two cores).

- **Turns**: the programs take turns, so changes of the machine's speed affect all programs.
- **Figures**: a cell has the median of the turns, then the lowest and the highest. A ratio is computed for each turn.
  Compare ratios, because seconds depend on the [machine](#machines).
- **Other programs**: `benchmarks/peers/` has each program, its versions and the maker's page that it follows. Each
  program has its own Python environment. PyTorch decodes with Pillow, because torchvision on PyPI needs NVIDIA's GPUs.
"""
_COLUMNS = """\
- **After the start**: Hangtag's time starts after the job is written to disk. Other programs' times exclude imports,
  and the bare loop's time also excludes loading the model.
- **Memory**: the highest sum over all processes. Shared pages count once.
  For `hangtag submit`, it is the sum of Redis and a worker.
- **Same labels**: the share of photos with the same label as from `hangtag label`, with int8 or float32.
- **Bare loop**: a script that decodes like Hangtag, runs the same ONNX file and writes no result.
- **Computes in**: the number formats that OpenVINO chooses on this processor.
"""
_LABEL, _QUEUE = "hangtag label", "hangtag submit, workers waiting"
_GOALS = {
    "bulk": {_LABEL: 0.90, _QUEUE: 0.82},
    "long": {_LABEL: 0.95, _QUEUE: 0.88},
}
"""By part: goals for images a second, divided by the bare loop's images a second."""
_START_GOAL_S = 0.65
_PRECISIONS = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "i8": "int8", "u8": "int8"}
_BETTER = {
    "speed": ("images_per_s", -1),
    "processor time": ("processor_ms_per_photo", 1),
    "memory": ("memory_mb", 1),
}
_BETTER_ALONE = {"cold start": ("cold_ms", 1), "p50": ("p50_ms", 1), "memory": ("memory_mb", 1)}
_OURS = ("hangtag", "bare loop", "ONNX Runtime")


def render(results: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    sections = {
        "bulk": _bulk,
        "long": _long,
        "default": _default,
        "float32": _float32,
        "start": _start,
        "one_photo": _one_photo,
        "training": _training,
        "checking": _checking,
        "growth": _growth,
        "guard": _guard,
    }
    parts = {name: part for name, part in results["parts"].items() if name in sections}
    lines = [line for name in sections if name in parts for line in sections[name](parts[name]) if line]
    return "\n".join([_HEAD, *lines, *_machines(parts)])


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    lines = [
        list(columns),
        ["---"] * len(columns),
        *([cell.format(**row) for cell in columns.values()] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _range(field: str, digits: int = 0) -> str:
    median, low, high = (f"{{{field}[{which}]:,.{digits}f}}" for which in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _measured(part: Mapping[str, Any]) -> str:
    photos = part["photos"]
    turns = f", in {part['turns']} turns" if "turns" in part else ""
    return (
        f"Material: {photos['count']:,} photos of {photos['mean_kb']:.0f} KB ({photos['source']}) and the network "
        f"{photos['network']}{turns}. {_when(part)}\n"
    )


def _when(part: Mapping[str, Any]) -> str:
    machine = part["machine"]
    return f"Measured {machine['measured_at']} ({machine['note']} machine, load {machine['load_before']})."


def _machines(parts: Mapping[str, Any]) -> list[str]:
    measured: dict[str, list[str]] = {}
    for name, part in parts.items():
        measured.setdefault(_machine(part["machine"]), []).append(f"`{name}`")
    return ["## Machines\n", *(f"{', '.join(names)}: {machine}\n" for machine, names in measured.items())]


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']} ({', '.join(machine['instructions'])}), {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}. Python {machine['python']}, {versions}."
    )


def _compared(part: Mapping[str, Any], name: str = "") -> list[str]:
    rows = [
        {"name": _named(one_name, one), "same": f"{one['same_labels']:.1%}" if one["same_labels"] else "–", **one}
        for one_name, one in _fastest_first(part)
    ]
    return [
        _table(
            rows,
            {
                "": "{name}",
                "images/s, whole command": _range("images_per_s"),
                "after the start": _range("images_per_s_after_start"),
                "processor time per photo, ms": _range("processor_ms_per_photo", 2),
                "memory, MB": _range("memory_mb"),
                "same labels": "{same}",
            },
        ),
        _ratio_table(part, _GOALS.get(name, {})),
    ]


def _named(name: str, one: Mapping[str, Any]) -> str:
    chosen = sorted({_PRECISIONS.get(code, code) for code in one.get("precisions", ())})
    return f"{name} (computes in {' and '.join(chosen)})" if chosen else name


def _bulk(part: Mapping[str, Any]) -> list[str]:
    return [
        "## Bulk labelling\n",
        _measured(part),
        "All programs run the same int8 ONNX file.\n",
        _COLUMNS,
        *_compared(part, "bulk"),
        _winners(part, f"{_LABEL}, int8"),
    ]


def _long(part: Mapping[str, Any]) -> list[str]:
    return [
        "## A longer job\n",
        _measured(part),
        *_compared(part, "long"),
    ]


def _default(part: Mapping[str, Any]) -> list[str]:
    return [
        "## The default network\n",
        _measured(part),
        "`hangtag train` trains this network by default. It is larger and more accurate than `cnn` ([Accuracy against "
        "speed](measurements.md#labelling)). All programs run the same int8 ONNX file.\n",
        *_compared(part),
        _winners(part, f"{_LABEL}, int8"),
    ]


def _float32(part: Mapping[str, Any]) -> list[str]:
    return [
        "## Programs with float32\n",
        _measured(part),
        "Keras, PyTorch and Ray Data run as in their documentation. All programs run the same float32 network, except "
        "`hangtag label, int8`, which shows the gain of int8.\n",
        "![Images a second, processor time and memory of each program](images/benchmark-bulk.svg)\n",
        *_compared(part),
        *(_winners(part, f"{_LABEL}, {variant}") for variant in ("float32", "int8")),
    ]


def _start(part: Mapping[str, Any]) -> list[str]:
    seconds = part["contestants"][f"{_LABEL}, int8"]["seconds"]["median"]
    met = "reaches" if seconds <= _START_GOAL_S else "misses"
    return [
        "## The start\n",
        _measured(part),
        f"Each command labels a few photos. `hangtag label` {met} the goal of {_START_GOAL_S} s.\n",
        _table(
            [{"name": name, **one} for name, one in _fastest_first(part)],
            {"": "{name}", "seconds": _range("seconds", 2), "memory, MB": _range("memory_mb")},
        ),
    ]


def _fastest_first(part: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(part["contestants"].items(), key=lambda pair: -pair[1]["images_per_s"]["median"])


def _ratio_table(part: Mapping[str, Any], goals: Mapping[str, float]) -> str:
    cells: dict[str, dict[str, str]] = {}
    for name, ratio in part["ratios"].items():
        ours, other = name.split(" / ")
        goal = goals.get(ours.rpartition(", ")[0]) if other == "bare loop, int8" else None
        met = f", {'reaches' if ratio['median'] >= goal else 'misses'} the goal of {goal:.2f}" if goal else ""
        cells.setdefault(other, {})[ours] = _range("ratio", 2).format(ratio=ratio) + met
    columns = list(dict.fromkeys(ours for of_row in cells.values() for ours in of_row))
    lines = [["times as fast as", *columns], ["---"] * (1 + len(columns))]
    lines += [
        [_named(row, part["contestants"].get(row, {})), *(of_row.get(ours, "–") for ours in columns)]
        for row, of_row in cells.items()
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _winners(part: Mapping[str, Any], name: str, better: Mapping[str, tuple[str, int]] = _BETTER) -> str:
    contestants = part["contestants"]
    others = {other: one for other, one in contestants.items() if not other.startswith(_OURS)}
    if not others:
        return ""
    found: dict[str, list[str]] = {}
    for how, (field, sign) in better.items():
        limit = sign * contestants[name][field]["median"]
        names = [other.split(", ") for other, one in others.items() if sign * one[field]["median"] < limit]
        found.setdefault(" and ".join(f"{words[0]} ({words[-1]})" for words in names), []).append(how)
    return f"{' '.join(_beat(winners, name, how) for winners, how in found.items())}\n"


def _beat(winners: str, name: str, how: list[str]) -> str:
    if not winners:
        return f"No other program beats `{name}` in {' or '.join(how)}."
    *first, last = how
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"{winners} {'beat' if ' and ' in winners else 'beats'} `{name}` in {listed}."


def _one_photo(part: Mapping[str, Any]) -> list[str]:
    return [
        "## One photo at a time\n",
        _measured(part),
        "The network labels one decoded photo after the other, on one thread, as on a phone. A cold "
        "start is a whole process for one photo, with imports and loading. Memory is the process's peak after 300 "
        "photos. Labels are compared with ONNX Runtime's float32 labels.\n",
        _table(
            [{"name": name} | one for name, one in part["contestants"].items()],
            {
                "": "{name}",
                "file, MB": "{size_mb:.2f}",
                "cold start, ms": _range("cold_ms"),
                "p50, ms": _range("p50_ms", 2),
                "p99, ms": _range("p99_ms", 2),
                "memory, MB": _range("memory_mb"),
                "same labels": "{same_labels:.1%}",
            },
        ),
        *(_winners(part, name, _BETTER_ALONE) for name in part["contestants"] if name.startswith(_OURS)),
    ]


def _training(part: Mapping[str, Any]) -> list[str]:
    photos, counts = part["photos"], part["counts"]
    rows = [
        {"name": name, "accuracy": one["right"] / counts["test"], "low": low, "high": high, **one}
        for name, one in part["contestants"].items()
        for low, high in [one["accuracy_95"]]
    ]
    return [
        "## Training\n",
        f"Each program learns from {counts['train']:,} photos ({photos['source'].removeprefix('copies of ')}) and "
        f"{counts['validation']:,} validation photos. {counts['test']:,} test photos are used once, at the end. "
        f"{_when(part)} Each program ran once, with seed 0 and empty caches. `hangtag train` ran with `--time-limit "
        f"{part['limit']}`. This time includes cross-validation, thresholds, label errors and the report. fastai "
        "and AutoGluon are missing, because they need torchvision, whose build on PyPI is for GPUs.\n",
        _table(
            rows,
            {
                "": "{name}",
                "minutes": "{minutes:.1f}",
                "processor minutes": "{processor_minutes:.1f}",
                "memory, MB": "{memory_mb:,}",
                "test accuracy (95%)": "{accuracy:.3f} ({low:.3f} to {high:.3f})",
            },
        ),
    ]


def _checking(part: Mapping[str, Any]) -> list[str]:
    return [
        "## Checking\n",
        _measured(part),
        f"The programs search for {part['edited']:,} edited copies (a little cropped, smaller, lighter, or saved "
        "again). Each program ran once, with an empty cache and its default checks. imagededup only compares "
        "hashes.\n",
        _table(
            [{"name": name, "of": part["with_a_twin"]} | one for name, one in part["contestants"].items()],
            {
                "": "{name}",
                "seconds": "{seconds:,.0f}",
                "processor s": "{processor_s:,.0f}",
                "memory, MB": "{memory_mb:,.0f}",
                "copies whose original is found": "{found:,} of {of:,}",
                "wrong pairs": "{wrong_pairs:,}",
            },
        ),
    ]


def _growth(part: Mapping[str, Any]) -> list[str]:
    on_disk = part["on_disk"]
    memory = {f"MB: {name}": f"{{memory_mb[{name}]:,}}" for name in on_disk[0]["memory_mb"]}
    cost = {one["rows"]: one["processor_microseconds_per_row"] for one in on_disk}
    first = min((rows for rows in cost if rows >= 10_000), default=0)
    flat = ", ".join(f"{cost[rows] / cost[first] - 1:+.1%} at {rows:,} rows" for rows in cost if rows > first > 0)
    further = ", ".join(
        f"{(cost[many] * many - cost[few] * few) / (many - few):,.0f} µs from {few:,} to {many:,} rows"
        for few, many in pairwise(cost)
    )
    return [
        "## Growth\n",
        _measured(part),
        f"These catalogues repeat {part['distinct_photos']} photos. Each photo is decoded only once, so decoding and "
        "the network hardly affect the figures. `hangtag submit` ran once for each number of rows. The "
        "worker had one slot for each core, and its model was loaded.\n",
        f"- **Processor time a row, compared with {first:,} rows**: {flat or 'not measured'} (goal: within 5%), "
        "including the program's start.\n"
        f"- **Processor time of each additional row**: {further or 'not measured'}.\n",
        "![Microseconds a row and memory by rows](images/benchmark-growth.svg)\n",
        _table(
            on_disk,
            {
                "rows": "{rows:,}",
                "µs a row, from submission to receipt": "{microseconds_per_row:,.1f}",
                "processor µs a row, all processes and Redis": "{processor_microseconds_per_row:,.1f}",
                **memory,
                "Redis: peak bytes above idle": "{redis_bytes:,}",
                "commands a chunk": "{redis_commands_per_chunk:,.1f}",
                "files a row": "{files_per_row:.5f}",
                "bytes a row": "{bytes_per_row:,.0f}",
            },
        ),
        "With the folder of jobs in S3, jobs sent these requests:\n",
        _table(
            part["in_s3"],
            {
                "rows": "{rows:,}",
                "chunks": "{chunks:,}",
                "requests a row": "{requests_per_row:.4f}",
                "requests a chunk": "{requests_per_chunk:.2f}",
            },
        ),
    ]


def _guard(part: Mapping[str, Any]) -> list[str]:
    return [
        "## The guard\n",
        _measured(part),
        "`make bench-quick` measures these six ratios again. The command fails if the median of a ratio is 15% lower "
        "than in this table, and every turn is below the median in this table. The ratio *label, after its start* "
        "compares Hangtag with a bare loop. *One photo, cold* compares it with a process that only imports packages. "
        "The other ratios compare it with a plain script of Pillow and ONNX Runtime. Above 1, Hangtag is better.\n",
        _table(
            [{"name": name, "ratio": ratio} for name, ratio in part["ratios"].items()],
            {"ratio": "{name}", "median": _range("ratio", 3)},
        ),
    ]


def main() -> None:
    """Write the page and its plots."""
    from plots import draw

    results = json.loads(RESULTS.read_text())
    PAGE.write_text(render(results))
    draw(results, IMAGES)


if __name__ == "__main__":
    main()
