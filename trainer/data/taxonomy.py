"""A tree of labels that a person wrote into a file of ``label,parent``, and the tree of a dataset's classes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from catalogue.readers import read_delimited
from models.errors import DataError, InputError
from models.photo import NONE
from models.taxonomy import PATH_MARK, Taxonomy
from trainer.data.dataset import Dataset


def read_parents(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``label`` and ``parent``: label → its parent, empty where it has none."""
    parents: dict[str, str] = {}
    for label, parent in _rows(path):
        known = parents.setdefault(label, parent)
        if known != parent:
            both = " and ".join(repr(one) if one else "nothing" for one in (known, parent))
            msg = f"Expected one parent of each label in {path}, {label!r} is under {both}; give them different names."
            raise DataError(msg)
    return parents


def _rows(path: Path) -> Iterator[tuple[str, str]]:
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


def taxonomy_of(dataset: Dataset, asked: Mapping[str, str] | None) -> Taxonomy | None:
    """The tree of a dataset's classes: the one of ``--taxonomy`` (``asked``), or that of its labels; None without."""
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
