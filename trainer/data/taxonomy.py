"""A tree of labels that a person wrote into a file of ``label,parent``, and the tree of a dataset's classes."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from catalogue.readers import read_delimited
from models.errors import DataError, InputError
from models.photo import NONE
from models.taxonomy import PATH_MARK, Taxonomy
from trainer.data.dataset import Dataset

_ALIKE: Final = 0.79
"""As :func:`difflib.get_close_matches` counts: ``shose`` and ``shoes`` are alike, ``cups`` and ``caps`` are not."""


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``: label → its parent, empty where it has none.

    Other columns are left alone, and a row may come again.

    Raises:
        InputError: it cannot be read, or lacks a column.
        DataError: a label is empty or ``_none``, or has two parents.
    """
    parents: dict[str, str] = {}
    for label, parent in _rows(path):
        known = parents.setdefault(label, parent)
        if known != parent:
            both = " and ".join(repr(one) if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent of each label in {path}, {label!r} is under {both}; give them different names."
            raise DataError(msg)
    return parents


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Each row's label and parent."""
    if not path.is_file():
        msg = f"Expected a CSV with the columns label and parent at {path}, found none; check --taxonomy."
        raise InputError(msg)
    reader = read_delimited(path)
    if not {"label", "parent"} <= {*reader.schema.names}:
        names = ", ".join(reader.schema.names)
        msg = f"Expected the columns label and parent in {path}, found {names}; name them so."
        raise InputError(msg)
    cells = (row for batch in reader.batches for row in batch.select(["label", "parent"]).to_pylist())
    for number, row in enumerate(cells, start=1):
        label, parent = row["label"].strip(), row["parent"].strip()
        if not label or NONE in {label, parent}:
            msg = f"Expected labels of products in row {number} of {path}, got {label!r} under {parent!r}."
            raise DataError(msg)
        yield label, parent


def lookalike_notes(dataset: Dataset, asked: Mapping[str, str] | None) -> tuple[str, ...]:
    """A sentence for each parent that may be a typing error: with one label, no row of its own, and a near namesake."""
    parents = asked or dataset.parents
    nodes = list(dict.fromkeys(filter(None, parents.values())))
    notes = []
    for node in nodes:
        below = [label for label, parent in parents.items() if parent == node]
        near = get_close_matches(node, [other for other in nodes if other != node], 1, _ALIKE)
        if near and len(below) == 1 and node not in (asked or ()):
            row = f", else add the row {f'{node},'!r}" if asked else ""
            notes.append(f"{node!r} is above {below[0]!r} only, and nearly {near[0]!r}: if it means that, mend it{row}")
    return tuple(notes)


def taxonomy_of(dataset: Dataset, asked: Mapping[str, str] | None) -> Taxonomy | None:
    """The tree of a dataset's classes: the one of ``--taxonomy`` (``asked``), or that of its labels; None without one.

    Raises:
        DataError: both are there, a class is not in the tree, or it is no tree of these classes.
    """
    if asked is None:
        return Taxonomy(dataset.classes, dataset.parents) if dataset.parents else None
    if dataset.parents:
        label, parent = next(iter(dataset.parents.items()))
        msg = (
            f"Expected one tree, but the labels of {dataset.source} contain parents, too ({parent}{PATH_MARK}{label}); "
            "leave out --taxonomy."
        )
        raise DataError(msg)
    absent = [label for label in dataset.classes if label not in {*asked, *asked.values()}]
    if absent:
        msg = (
            f"Expected every class in the tree, {', '.join(map(repr, absent[:10]))} "
            f"{'is' if len(absent) == 1 else 'are'} not in it; add a row for each, with an empty parent where it has "
            "none."
        )
        raise DataError(msg)
    parents = {label: parent for label, parent in asked.items() if parent}
    if not parents:
        msg = "Expected a parent in some row of the tree, found none; leave out --taxonomy."
        raise DataError(msg)
    return Taxonomy(dataset.classes, parents)
