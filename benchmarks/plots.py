"""The plots of docs/benchmarks.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COLOURS = {"hangtag": "#2563a8", "bare": "#8a8f98"}
_OTHERS = "#c8641b"


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """The plots, as SVG on white."""
    import matplotlib as mpl

    mpl.use("agg")
    style = {"svg.hashsalt": "hangtag", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
    mpl.rcParams.update({**style, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True})
    for part, one in (("bulk", _draw_bulk), ("growth", _draw_growth)):
        if part in results["parts"]:
            figure = one(results["parts"])
            figure.savefig(folder / f"benchmark-{part}.svg", facecolor="white", metadata={"Date": None})


def _draw_bulk(parts: Mapping[str, Any]) -> Any:  # noqa: ANN401
    from matplotlib import pyplot as plt

    contestants = {**parts.get("float32", parts["bulk"])["contestants"], **parts["bulk"]["contestants"]}
    slowest_first = sorted(contestants.items(), key=lambda pair: pair[1]["images_per_s"]["median"])
    names, found = zip(*slowest_first, strict=True)
    colours = [_COLOURS.get(name.split()[0], _OTHERS) for name in names]
    titles = ("images a second, whole command", "processor time a photo, ms", "memory of all processes, MB")
    figure, panels = plt.subplots(1, 3, figsize=(13, 0.36 * len(names) + 1.2), sharey=True, layout="constrained")
    for axes, field, title in zip(panels, ("images_per_s", "processor_ms_per_photo", "memory_mb"), titles, strict=True):
        low, median, high = ([(one[field] or {}).get(which, 0) for one in found] for which in ("low", "median", "high"))
        axes.barh(names, median, color=colours)
        axes.hlines(range(len(names)), low, high, color="#333", linewidth=1.5)
        said = [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in median]
        ends = axes.barh(names, high, alpha=0)
        axes.bar_label(ends, [text if value else "–" for text, value in zip(said, median, strict=True)], padding=4)
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.2)
        axes.grid(visible=False, axis="y")
    return figure


def _draw_growth(parts: Mapping[str, Any]) -> Any:  # noqa: ANN401
    from matplotlib import pyplot as plt

    on_disk = parts["growth"]["on_disk"]
    rows = [one["rows"] for one in on_disk]
    figure, (time, memory) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    time.plot(rows, [one["microseconds_per_row"] for one in on_disk], marker="o", label="from submitting to receipt")
    processor = [one["processor_microseconds_per_row"] for one in on_disk]
    time.plot(rows, processor, marker="o", label="processor time, all processes")
    time.set(title="microseconds a row", yscale="log")
    marks = (100, 200, 500, 1000, 2000)
    time.set_yticks(marks, [f"{mark:,}" for mark in marks])
    for name in on_disk[0]["memory_mb"]:
        memory.plot(rows, [one["memory_mb"][name] for one in on_disk], marker="o", label=name)
    memory.set(title="memory of a process at most, MB", ylim=(0, None))
    for axes in (time, memory):
        axes.set(xscale="log", xlabel="rows of the catalogue")
        axes.set_xticks(rows, [f"{count:,}" for count in rows])
        axes.minorticks_off()
        axes.legend(frameon=False)
    return figure
