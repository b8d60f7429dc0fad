"""A tree of labels as a person writes it: rows of ``label,parent``, or labels like ``shoes > boots``."""

from collections.abc import Mapping
from pathlib import Path

from models.errors import DataError, InputError
from models.taxonomy import PATH_MARK, Taxonomy
from trainer.data.dataset import NONE, Dataset
from worker.sources.readers import read_delimited

__all__ = ["read_parents", "taxonomy_of"]


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``: label → its parent, empty where it has none.

    Other columns are left alone, and a row may come again.

    Raises:
        InputError: it cannot be read, or lacks a column.
        DataError: a cell is empty that may not be, or a label has two parents.
    """
    if not path.is_file():
        msg = f"Expected a CSV with the columns label and parent at {path}, found none; check --taxonomy."
        raise InputError(msg)
    reader = read_delimited(path)
    missing = {"label", "parent"} - {*reader.schema.names}
    if missing:
        found = ", ".join(reader.schema.names)
        msg = f"Expected the columns label and parent in {path}, found {found}; name them so."
        raise InputError(msg)
    cells = (row for batch in reader.batches for row in batch.select(["label", "parent"]).to_pylist())
    found_parents: dict[str, str] = {}
    for number, row in enumerate(cells, start=1):
        label, parent = row["label"].strip(), row["parent"].strip()
        if not label:
            msg = f"Expected a label in row {number} of {path}, the cell is empty."
            raise DataError(msg)
        if NONE in {label, parent}:
            msg = f"Expected labels of products in row {number} of {path}, got {NONE}, the label of no product."
            raise DataError(msg)
        known = found_parents.setdefault(label, parent)
        if known != parent:
            said = " and ".join(f"{one!r}" if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent of each label in {path}, {label!r} is under {said}; give them different names."
            raise DataError(msg)
    return found_parents


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
            f"Expected one tree, the labels of {dataset.source} have parents themselves "
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
