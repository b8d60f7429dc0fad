"""What was learned from and measured on: photos by class and split, and what was set aside."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from models.text import number_of
from pages.text import isolated, share, visible
from trainer.data.dataset import Exclusion, Split
from trainer.report.material import ReportMaterial
from trainer.report.page.table import table
from worker.page.sections import more, section

__all__ = ["LONGEST_LABEL", "data_section"]

LONGEST_LABEL: Final = 60
_MOST_CLASSES: Final = 30
_EXAMPLES: Final = 3
_LONGEST_MESSAGE: Final = 160


def data_section(material: ReportMaterial) -> str:
    """Classes as bars, what was set aside and why, and what a person should know."""
    photos = sum(sum(counts.values()) for counts in material.prepared_counts.values())
    title = f'Data <span class="faint">· {number_of(photos, "photo", "photos")}</span>'
    parts = _key(material) + _classes(material) + _notes(material.notes) + _set_aside(material.excluded, photos)
    return section(title, parts, "long", "data")


def _key(material: ReportMaterial) -> str:
    sizes = {split: sum(counts.values()) for split, counts in material.prepared_counts.items()}
    shown = "".join(
        f'<span><i class="{split}"></i>{split.word} {sizes[split]:,}</span>' for split in Split if sizes.get(split)
    )
    return f'<p class="key">{shown}</p>'


def _classes(material: ReportMaterial) -> str:
    """The classes in their order; of many, those with the fewest photos to learn from, which need more."""
    names, counts = list(material.args.classes), material.prepared_counts
    sizes = {name: sum(split.get(name, 0) for split in counts.values()) for name in names}
    few = len(names) <= _MOST_CLASSES
    learned = counts.get(Split.TRAIN, {})
    shown = names if few else sorted(names, key=lambda name: learned.get(name, 0))[:_MOST_CLASSES]
    most = max((sizes[name] for name in shown), default=0) or 1
    rows = "".join(_class_row(material, name, most) for name in shown)
    splits = "".join(f'<th class="n">{split.word}</th>' for split in Split if split in counts)
    note = "" if few else '<p class="faint">The classes with the fewest photos to learn from.</p>'
    rest = more(len(names) - len(shown), "class", "classes", "splits.csv")
    return note + table("sizes", f'<th>class</th><th class="line"></th>{splits}', rows) + rest


def _class_row(material: ReportMaterial, name: str, most: int) -> str:
    counts = {
        split: material.prepared_counts[split].get(name, 0) for split in Split if split in material.prepared_counts
    }
    bars = "".join(
        f'<span class="{split}" style="width: {100 * count / most:.2f}%"></span>' for split, count in counts.items()
    )
    cells = "".join(f'<td class="n{"" if count else " badge"}">{count:,}</td>' for count in counts.values())
    label = isolated(name, LONGEST_LABEL)
    return f'<tr><td>{label}</td><td class="line"><div class="splits">{bars}</div></td>{cells}</tr>'


def _notes(notes: Sequence[str]) -> str:
    lines = "".join(f"<li>{isolated(note)}</li>" for note in notes)
    return f"<h3>Worth knowing</h3><ul>{lines}</ul>" if lines else ""


def _set_aside(excluded: Sequence[Exclusion], used: int) -> str:
    if not excluded:
        return '<p class="faint more">No file was set aside.</p>'
    kinds: defaultdict[str, list[Exclusion]] = defaultdict(list)
    for exclusion in excluded:
        kinds[exclusion.reason].append(exclusion)
    order = Counter({reason: len(files) for reason, files in kinds.items()}).most_common()
    rows = "".join(
        f'<tr><td>{visible(reason.replace("_", " "))}</td><td class="n">{count:,}</td>'
        f"<td>{_examples(kinds[reason])}</td></tr>"
        for reason, count in order
    )
    files = number_of(len(excluded), "file", "files")
    title = f'Set aside <span class="faint">· {files}, {share(len(excluded), len(excluded) + used)}</span>'
    head = '<th>why</th><th class="n">files</th><th>such as</th>'
    return f"<h3>{title}</h3>{table('aside', head, rows)}" + more(
        sum(max(0, len(files) - _EXAMPLES) for files in kinds.values()), "file", "files", "excluded.csv"
    )


def _examples(files: Sequence[Exclusion]) -> str:
    """A few names, each with what was said of it when it is pointed at."""
    return ", ".join(
        f'<code title="{visible(f"{one.path}: {one.message}", _LONGEST_MESSAGE)}">'
        f"{isolated(one.path.name, LONGEST_LABEL)}</code>"
        for one in files[:_EXAMPLES]
    )
