"""docs/benchmarks.md and its plots, made of benchmarks/results.json and of nothing else.

``python benchmarks/page.py`` writes them again. All sentences about who is quicker are computed.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["IMAGES", "PAGE", "RESULTS", "draw", "render"]

_ROOT = Path(__file__).parents[1]
RESULTS = _ROOT / "benchmarks" / "results.json"
PAGE = _ROOT / "docs" / "benchmarks.md"
IMAGES = _ROOT / "docs" / "images"
_HEAD = """# Benchmarks

Hangtag beside what people would use instead. `make bench` measures it all and writes this page from
`benchmarks/results.json`; nothing here is written by hand.

Contestants take turns in one run, so that a machine whose speed drifts slows all of them; the first turn warms caches
and does not count. A figure is the median of the turns, with the lowest and the highest behind it; a ratio is the
median of each turn's own. Compare ratios, not seconds: these belong to the machine that is named. The other programs
are in [benchmarks/peers/](../benchmarks/peers/), with why they are tuned as they are, and their versions; each is
installed into an environment of its own.
"""
_BULK_GOALS = (
    ("hangtag label", "bare loop", 0.97),
    ("hangtag submit, workers waiting", "bare loop", 0.93),
    ("hangtag label", "Keras predict", 3.0),
    ("hangtag label", "Ray Data map_batches", 5.0),
)
_OURS, _LIMIT, _OTHERS = "#2563a8", "#8a8f98", "#c8641b"


def render(results: dict[str, Any]) -> str:
    """The page, as Markdown."""
    sections = {"bulk": _bulk, "growth": _growth, "scale_out": _scale_out, "guard": _guard}
    parts = results["parts"]
    return "\n".join([_HEAD, *(sections[name](parts[name]) for name in sections if name in parts)])


def _machine(part: dict[str, Any]) -> str:
    machine = part["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    instructions = f" ({', '.join(machine['instructions'])})" if machine["instructions"] else ""
    return (
        f"Measured {machine['measured_at']} on {machine['processor']}{instructions}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}; the machine: {machine['note']} "
        f"(load before: {machine['load_before']}). Python {machine['python']}, {versions}.\n"
    )


def _photos(part: dict[str, Any]) -> str:
    photos = part["photos"]
    turns = f", {part['turns']} turns" if "turns" in part else ""
    return (
        f"{photos['count']:,} photos ({photos['source']}; {photos['mean_kb']:.0f} KB each, the first "
        f"{photos['pixels_of_the_first']}), {photos['network']}{turns}. "
    )


def _spread(figures: dict[str, float] | None, digits: int = 0) -> str:
    if figures is None:
        return "–"
    median, low, high = (f"{figures[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _bulk(part: dict[str, Any]) -> str:
    contestants = part["contestants"]
    rows = [
        [
            f"**{name}**" if name.startswith("hangtag") else name,
            _spread(one["images_per_s"]),
            _spread(one["images_per_s_after_start"]),
            _spread(one["processor_ms_per_photo"], 2),
            _spread(one["memory_mb"]),
            "–" if one["same_labels"] is None else f"{one['same_labels']:.1%}",
        ]
        for name, one in _fastest_first(contestants)
    ]
    head = ("", "images/s, whole command", "after its start", "processor ms a photo", "memory, MB", "same labels")
    return "\n".join(
        [
            "## Bulk labelling\n",
            f"{_photos(part)}The bundle's default variant is {part['default_variant']}. Memory is the most that all "
            "of a contestant's processes had together, shared pages counted once. Same labels: as `hangtag label` "
            "gives with float32. A bare loop decodes as Hangtag does, runs the same ONNX file and writes nothing: the "
            "limit. `after its start` leaves out imports and loading, as each contestant counts it itself.\n",
            _machine(part),
            "![Images a second, processor time and memory of each contestant](images/benchmark-bulk.svg)\n",
            _table(head, rows),
            _winners(part),
            _table(("ratio of images/s, whole commands", "median (lowest to highest)", "goal"), _bulk_ratios(part)),
        ]
    )


def _fastest_first(contestants: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(contestants.items(), key=lambda pair: -pair[1]["images_per_s"]["median"])


def _bulk_ratios(part: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, figures in part["ratios"].items():
        ours, other = name.split(" / ")
        goal = next(
            (
                goal
                for first, second, goal in _BULK_GOALS
                if ours == f"{first}, {part['default_variant']}" and other.startswith(second)
            ),
            None,
        )
        reached = "" if goal is None else f"{goal:g}: {'met' if figures['median'] >= goal else 'not met'}"
        rows.append([name, _spread(figures, 2), reached])
    return rows


def _winners(part: dict[str, Any]) -> str:
    """A sentence for each peer that is quicker than ``hangtag label`` by default, or needs less."""
    contestants = part["contestants"]
    ours = contestants[f"hangtag label, {part['default_variant']}"]
    said = []
    for what, better, key in (
        ("quicker", -1, "images_per_s"),
        ("quicker after its start", -1, "images_per_s_after_start"),
        ("thriftier with the processor", 1, "processor_ms_per_photo"),
        ("thriftier with memory", 1, "memory_mb"),
    ):
        winners = [
            name
            for name, one in contestants.items()
            if not name.startswith(("hangtag", "bare loop"))
            and better * one[key]["median"] < better * ours[key]["median"]
        ]
        said.append(f"{what}: {', '.join(winners) or 'none of them'}")
    return (
        f"Against `hangtag label` as it comes ({part['default_variant']}), of the other programs: {'; '.join(said)}.\n"
    )


def _growth(part: dict[str, Any]) -> str:
    on_disk = part["on_disk"]
    head = ("rows", *(f"{one['rows']:,}" for one in on_disk))
    figures = (
        ("µs a row, from submitting to the receipt", "microseconds_per_row", "{:,.1f}"),
        ("processor µs a row, all processes and Redis", "processor_microseconds_per_row", "{:,.1f}"),
        ("Redis: bytes at most, beyond an idle worker's", "redis_bytes", "{:,.0f}"),
        ("Redis: commands a chunk", "redis_commands_per_chunk", "{:,.1f}"),
        ("files a row, in the end", "files_per_row", "{:.5f}"),
        ("bytes a row of these", "bytes_per_row", "{:,.0f}"),
    )
    rows = [[what, *(said.format(one[key]) for one in on_disk)] for what, key, said in figures]
    memory = [[f"memory at most, MB: {name}", *(f"{one['memory_mb'][name]:,}" for one in on_disk)]
              for name in on_disk[0]["memory_mb"]]  # fmt: skip
    in_s3 = [
        [
            f"{one['rows']:,}",
            f"{one['chunks']:,}",
            f"{one['requests_per_row']:.4f}",
            f"{one['requests_per_chunk']:.2f}",
            ", ".join(f"{name} {count:.2f}" for name, count in one["by_method_per_chunk"].items()),
        ]
        for one in part["in_s3"]
    ]
    return "\n".join(
        [
            "## Growth\n",
            f"{part['distinct_photos']} photos again and again ({part['photos']['source']}), each of which is decoded "
            "once: what is left is what Hangtag does for every row but decoding and the network. `hangtag submit` to a "
            "worker with a slot a core that has the model; a run each.\n",
            _machine(part),
            _flat(on_disk),
            "![Microseconds a row and memory by rows](images/benchmark-growth.svg)\n",
            _table(head, [*rows, *memory]),
            "The folder of jobs in S3 (a server on the same machine; requests count there, time does not):\n",
            _table(("rows", "chunks", "requests a row", "requests a chunk", "of these a chunk"), in_s3),
        ]
    )


def _flat(on_disk: list[dict[str, Any]]) -> str:
    """How far the processor time of a row is from that at 10,000 rows."""
    far = {one["rows"]: one["processor_microseconds_per_row"] for one in on_disk if one["rows"] >= 10_000}
    first, *rest = far.items()
    said = ", ".join(f"{rows:,} rows {cost / first[1] - 1:+.1%}" for rows, cost in rest)
    return f"Processor time a row against that at {first[0]:,} rows: {said} (goal: within 5%).\n" if rest else ""


def _scale_out(part: dict[str, Any]) -> str:
    measured = [[name, _spread(figures)] for name, figures in part["images_per_s"].items()]
    simulated = [
        [
            f"{one['processes']:,}",
            f"{one['chunks']:,}",
            f"{one['chunks_per_s']:,.0f}",
            f"{one['most_by_the_window']:,}",
            f"{one['redis_commands_per_chunk']:.1f}",
            f"{one['redis_ms_per_chunk']:.3f}, {one['redis_share']:.0%}",
            f"{one['send_ms_per_chunk']:.3f}, {one['longest_pass_s']:.2f}",
            f"{one['simulators_share']:.0%}",
        ]
        for one in part["simulated"]
    ]
    model = part["model"]
    first = min(model["processes_until_full"].items(), key=lambda pair: pair[1])
    shares = [
        [name, *(f"{share:.1%}" for share in of.values()), f"{model['processes_until_full'].get(name, 0):,}"]
        for name, of in model["shares"].items()
    ]
    return "\n".join(
        [
            "## Scale-out\n",
            f"{_photos(part)}Labelling processes of `hangtag label`, float32, images a second after its start:\n",
            _machine(part),
            _table(("processes", "images/s"), measured),
            "Simulated processes label in no time, and do all else through Hangtag's own code, against a real Redis "
            "and a folder on disk. On these cores they share the processor with Redis and with each other, so chunks a "
            "second are a lower limit; what a chunk costs is not. A pass of the reconciler, once a second, queues at "
            "most 16 chunks a process.\n",
            _table(
                (
                    "simulated processes",
                    "chunks",
                    "chunks/s",
                    "most by the window",
                    "Redis: commands a chunk",
                    "Redis: ms a chunk, share of a core",
                    "reconciler: ms a chunk, longest pass in s",
                    "the simulated processes' share of the cores",
                ),
                simulated,
            ),
            f"The model: a process labels {model['chunks_per_s_of_a_process']:.2g} chunks of {model['chunk_rows']} "
            "rows a second, as measured above, and each chunk takes its share of what all of them use. 100% is all "
            f"there is. **The first bottleneck: {first[0]}, full with {first[1]:,} processes.**\n",
            _table(
                ("taken by", *(f"{int(n):,} processes" for n in next(iter(model["shares"].values()))), "full at"),
                shares,
            ),
        ]
    )


def _guard(part: dict[str, Any]) -> str:
    rows = [[name, _spread(figures, 3)] for name, figures in part["ratios"].items()]
    return "\n".join(
        [
            "## The guard\n",
            f"{_photos(part)}`make bench-quick` measures these six again, and fails where one has lost 15% with all "
            "of its turns below the median here. The known rows and the first, third and fourth ratio are against a "
            "plain script with Pillow and ONNX Runtime, the others against a bare loop and against bare imports; above "
            "1, Hangtag is better.\n",
            _machine(part),
            _table(("ratio", "median (lowest to highest)"), rows),
        ]
    )


def draw(results: dict[str, Any], folder: Path) -> None:
    """The plots, as SVG on white."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "hangtag", "svg.fonttype": "none", "font.size": 10})
    if "bulk" in results["parts"]:
        _draw_bulk(results["parts"]["bulk"], folder / "benchmark-bulk.svg")
    if "growth" in results["parts"]:
        _draw_growth(results["parts"]["growth"]["on_disk"], folder / "benchmark-growth.svg")


def _draw_bulk(part: dict[str, Any], file: Path) -> None:
    from matplotlib import pyplot as plt

    named = list(reversed(_fastest_first(part["contestants"])))
    names = [name for name, _ in named]
    figure, panels = plt.subplots(1, 3, figsize=(13, 0.36 * len(named) + 1.2), sharey=True, layout="constrained")
    for axes, key, title in zip(
        panels,
        ("images_per_s", "processor_ms_per_photo", "memory_mb"),
        ("images a second, whole command", "processor time a photo, ms", "memory of all processes, MB"),
        strict=True,
    ):
        medians = [one[key]["median"] for _, one in named]
        below = [one[key]["median"] - one[key]["low"] for _, one in named]
        above = [one[key]["high"] - one[key]["median"] for _, one in named]
        colours = [_colour(name) for name in names]
        axes.barh(names, medians, xerr=[below, above], color=colours, error_kw={"ecolor": "#333", "capsize": 2})
        for place, (median, one) in enumerate(zip(medians, named, strict=True)):
            axes.annotate(f"{median:,.3g}" if median < 100 else f"{median:,.0f}", (one[1][key]["high"], place),
                          xytext=(5, 0), textcoords="offset points", va="center")  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.set_xlim(0, 1.2 * max(one[key]["high"] for _, one in named))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
    figure.savefig(file, facecolor="white", metadata={"Date": None})


def _draw_growth(on_disk: list[dict[str, Any]], file: Path) -> None:
    from matplotlib import pyplot as plt

    rows = [one["rows"] for one in on_disk]
    figure, (time, memory) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for key, label in (
        ("microseconds_per_row", "from submitting to the receipt"),
        ("processor_microseconds_per_row", "processor time, all processes"),
    ):
        time.plot(rows, [one[key] for one in on_disk], marker="o", label=label)
    time.set(title="microseconds a row", yscale="log")
    for name in on_disk[0]["memory_mb"]:
        memory.plot(rows, [one["memory_mb"][name] for one in on_disk], marker="o", label=name)
    memory.set(title="memory of a process at most, MB", ylim=(0, None))
    for axes in (time, memory):
        axes.set_xscale("log")
        axes.set_xticks(rows, [f"{count:,}" for count in rows])
        axes.minorticks_off()
        axes.set_xlabel("rows of the catalogue")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.savefig(file, facecolor="white", metadata={"Date": None})


def _colour(name: str) -> str:
    if name.startswith("hangtag"):
        return _OURS
    return _LIMIT if name.startswith("bare loop") else _OTHERS


def main() -> None:
    """Write the page and its plots."""
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(render(results))
    draw(results, IMAGES)


if __name__ == "__main__":
    main()
