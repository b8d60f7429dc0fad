"""A tree of labels as a person writes it: rows of ``label,parent``, or labels like ``shoes > boots``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from catalogue.readers import read_delimited
from models.errors import DataError, InputError
from models.photo import NONE
from models.taxonomy import PATH_MARK, Taxonomy
from trainer.data.dataset import Dataset

_SHORTEST: Final = 4
"""Letters of names that a slip is looked for in; shorter ones, as ``men`` and ``hen``, are alike by chance."""


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``: label → its parent, empty where it has none.

    Other columns are left alone, and a row may come again.

    Raises:
        InputError: it cannot be read, or lacks a column.
        DataError: a cell is empty that may not be, a label has two parents, or a parent without a row of its own seems
            to be a slip of the pen, where all others have one or seem to be slips, too.
    """
    found: dict[str, str] = {}
    for label, parent in _rows(path):
        known = found.setdefault(label, parent)
        if known != parent:
            said = " and ".join(f"{one!r}" if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent of each label in {path}, {label!r} is under {said}; give them different names."
            raise DataError(msg)
    _refuse_slip(found, path)
    return found


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
        if not label:
            msg = f"Expected a label in row {number} of {path}, the cell is empty."
            raise DataError(msg)
        if NONE in {label, parent}:
            msg = f"Expected labels of products in row {number} of {path}, got {NONE}, the label of no product."
            raise DataError(msg)
        yield label, parent


def _refuse_slip(parents: Mapping[str, str], path: Path) -> None:
    """Refuse a parent that is nearly another one and has no row, where all others have one.

    Not if another letter stands in the place of one: ``caps`` and ``cups`` are both words. :func:`lookalike_notes`
    names it.
    """
    undeclared = {*filter(None, parents.values())} - parents.keys()
    slips = [found for found in _lookalikes(parents) if found[0] in undeclared and found[2] in parents]
    if undeclared - {slip for slip, _, _ in slips}:
        return  # not every parent has a row
    for slip, child, meant in slips:
        if len(slip) != len(meant) or sorted(slip.casefold()) == sorted(meant.casefold()):
            msg = (
                f"Expected a row in {path} for each parent, {slip!r}, the parent of {child!r} only, has none and is "
                f"almost {meant!r}; write {meant!r}, or add the row {f'{slip},'!r} if it is a label of its own."
            )
            raise DataError(msg)


def lookalike_notes(dataset: Dataset, asked: Mapping[str, str] | None) -> tuple[str, ...]:
    """A sentence for each node that may be a slip of the pen; one with a row of its own in a file is meant."""
    return tuple(
        f"{slip!r} is above {child!r} only, and nearly {meant!r}; if it should be that one, mend the tree"
        + (f", else add the row {f'{slip},'!r}" if asked else "")
        for slip, child, meant in _lookalikes(asked or dataset.parents)
        if slip not in (asked or ())
    )


def _lookalikes(parents: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each node above one label only that is nearly another one above labels: it, its label, the other."""
    nodes = dict.fromkeys(filter(None, parents.values()))
    for node in nodes:
        below = [label for label, parent in parents.items() if parent == node]
        near = next((other for other in nodes if other != node and _are_alike(node, other)), None)
        if len(below) == 1 and near is not None:
            yield node, below[0], near


def _are_alike(one: str, other: str) -> bool:
    """Whether one letter added, left out or changed, or two that change places, make one name of the other.

    Capitals count as small letters, and numbers are meant.
    """
    one, other = one.casefold(), other.casefold()
    numbers = ["".join(filter(str.isdigit, name)) for name in (one, other)]
    if min(len(one), len(other)) < _SHORTEST or numbers[0] != numbers[1]:
        return one == other
    for at in range(max(len(one), len(other))):
        less, less_of_other = (name[:at] + name[at + 1 :] for name in (one, other))
        swapped = one[:at] + one[at : at + 2][::-1] + one[at + 2 :]
        if less in (less_of_other, other) or less_of_other == one or swapped == other:
            return True
    return False


def taxonomy_of(dataset: Dataset, asked: Mapping[str, str] | None) -> Taxonomy | None:
    """The tree of a dataset's classes: the one that is ``asked`` for, or that of its labels; None without one.

    Raises:
        DataError: both are there, a class is not in the tree, or it is no tree of these classes.
    """
    if asked is None:
        return Taxonomy(dataset.classes, dataset.parents) if dataset.parents else None
    if dataset.parents:
        label = next(iter(dataset.parents))
        msg = (
            f"Expected one tree, but the labels of {dataset.source} contain parents, too "
            f"({dataset.parents[label]}{PATH_MARK}{label}); leave out --taxonomy."
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
    alone = [label for label in asked if label not in {*parents, *parents.values(), *dataset.classes}]
    if alone:
        msg = f"Expected a class of the photos at each leaf of the tree, found none called {alone[0]!r}; leave it out."
        raise DataError(msg)
    if not parents:
        msg = "Expected a parent in some row of the tree, found none; leave out --taxonomy."
        raise DataError(msg)
    return Taxonomy(dataset.classes, parents)
