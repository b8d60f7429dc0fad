"""Reads labelled photos from a table of products: chooses the columns and rows."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.catalogue import Catalogue, open_catalogue
from catalogue.readers import CLASS_NAMES, JSON_FIELD
from catalogue.urls import cell_texts, is_bytes
from catalogue.writers import unescape_formula
from models.errors import DataError, InputError
from models.photo import NONE
from models.taxonomy import PATH_MARK
from models.text import brief, label_text, number_of, one_line
from trainer.request import TableOptions

LABEL: Final = "label"
_IMAGE: Final = "image"
_GROUP: Final = "group"
_SPLIT: Final = "split"
_MOST_CLASSES: Final = 1000
"""The largest number of labels in a label column. A column with more values may have prices, names or SKUs."""
_LONGEST: Final = 1000
_SHORT: Final = 100
_NAMED: Final = 5
_MOST_WORDS: Final = 20
"""A column of splits (train, val, test) has at most this many different words."""


@dataclass(frozen=True)
class TableRow:
    """The cells of a row with a label. Cells of missing columns are empty. The first row has the ``number`` 1.

    :func:`models.text.label_text` cleans ``split``, ``group`` and ``sha256``.
    """

    number: int
    image: str
    label: str
    split: str = ""
    group: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class TableRead:
    """The columns and rows that were read. Hangtag chooses columns and ``image_root`` that were not set.

    ``rows_chosen``: number of rows that meet all conditions. ``rows_without_label``: number of chosen rows without a
    label.
    """

    image_column: str
    label_column: str
    group_column: str | None
    where: tuple[str, ...]
    image_root: str
    encoding: str | None
    allow_hosts: tuple[str, ...]
    rows: int
    rows_chosen: int
    rows_without_label: int
    image_suffix: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one per line."""
        notes = []
        if (self.image_column, self.label_column, self.group_column or _GROUP) != (_IMAGE, LABEL, _GROUP):
            products = f", products in {self.group_column!r}" if self.group_column else ""
            notes.append(f"labels are in {self.label_column!r}, photos in {self.image_column!r}{products}")
        if self.where:
            notes.append(f"{self.rows_chosen:,} of {number_of(self.rows, 'row')} match {' and '.join(self.where)}")
        if self.rows_without_label:
            have = number_of(self.rows_without_label, "row has", "rows have")
            notes.append(f"{have} no label and {('is' if self.rows_without_label == 1 else 'are')} left out")
        return tuple(one_line(note, _LONGEST) for note in (*notes, *self.remarks))


def read_table(
    path: Path, options: TableOptions, names_split: Callable[[str], object] = bool
) -> tuple[list[TableRow], TableRead]:
    """Read the rows that have a label and meet all conditions.

    Columns named ``split``, ``group`` or ``sha256`` (also in capitals) need no option, unless an option uses them
    otherwise. ``names_split`` parses a cell as a split, or returns None.
    """
    catalogue = open_catalogue(
        path,
        options.image_column,
        options.image_root,
        options.encoding,
        options.allow_hosts or None,
        image_suffix=options.image_suffix,
    )
    columns = _columns(catalogue, options)
    conditions = [_condition(catalogue, text) for text in options.where or ()]
    used = {*columns.values(), *(column for column, _ in conditions)}
    for name in used:
        _check_plain(catalogue, name)
    if _SPLIT not in columns:
        others = [name for name in catalogue.schema.names if name not in {*used, catalogue.image_column}]
        catalogue = replace(catalogue, batches=_with_splits_noted(catalogue, others, names_split))
    kept, chosen, rows = _chosen_rows(catalogue, columns, conditions)
    if not kept:
        msg = (
            f"Expected labels in the column {columns[LABEL]!r} of {catalogue.source}, found "
            f"{number_of(chosen, 'row')} without a label; choose another --label-column."
        )
        raise DataError(msg)
    if options.label_column is not None:
        _check_labels(catalogue, columns[LABEL], kept)
    return kept, TableRead(
        image_column=catalogue.image_column,
        label_column=columns[LABEL],
        group_column=columns.get(_GROUP),
        where=tuple(options.where or ()),
        image_root=catalogue.image_root,
        encoding=options.encoding,
        allow_hosts=tuple(options.allow_hosts or ()),
        rows=rows,
        rows_chosen=chosen,
        rows_without_label=chosen - len(kept),
        image_suffix=options.image_suffix,
        remarks=tuple(catalogue.remarks),
    )


def _columns(catalogue: Catalogue, options: TableOptions) -> dict[str, str]:
    by_name = {name.lower(): name for name in reversed(catalogue.schema.names)}
    by_name |= {name: name for name in catalogue.schema.names}  # a column "split" is preferred to "Split"
    label, group = (
        name if name is None else catalogue.find_column(name, option)
        for name, option in ((options.label_column, "--label-column"), (options.group_column, "--group-column"))
    )
    label = label or by_name.get(LABEL)
    if label is None:
        names = one_line(", ".join(catalogue.schema.names), _LONGEST)
        msg = f"Which column of {catalogue.source} contains the label? Pass --label-column with one of: {names}."
        raise InputError(msg)
    if label in {catalogue.image_column, group}:
        msg = f"Expected a separate column for the labels, got {label!r}, the column of photos or products."
        raise InputError(msg)
    free = {*catalogue.schema.names} - {catalogue.image_column, label, group}
    own = {name: by_name[name] for name in (_SPLIT, _GROUP, "sha256") if by_name.get(name) in free}
    return {LABEL: label, **own, **({} if group is None else {_GROUP: group})}


def _with_splits_noted(
    catalogue: Catalogue, columns: Iterable[str], names_split: Callable[[str], object]
) -> Iterator[pa.RecordBatch]:
    """Yield all batches, and add a remark for each column that looks like splits."""
    split_words: dict[str, dict[object, str]] = {
        name: {} for name in columns if _is_text(catalogue.schema.field(name).type)
    }
    for batch in catalogue.batches:
        for name in list(split_words):
            texts = [text for text in pc.unique(batch.column(name)).to_pylist() if text and text.strip()]
            splits = {names_split(text): text for text in texts[:_MOST_WORDS]}
            split_words[name] |= splits
            if None in splits or len(texts) > _MOST_WORDS:
                del split_words[name]
        yield batch
    catalogue.remarks.extend(
        f"the column {name!r} is ignored, although it looks like splits ({', '.join(words.values())}); to use "
        f"it, rename it to {_SPLIT}"
        for name, words in split_words.items()
        if len(words) > 1
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind in {pa.string(), pa.large_string()}


def _condition(catalogue: Catalogue, text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        msg = f"Expected --where as COLUMN=VALUE, such as category=dress, got {text!r}."
        raise InputError(msg)
    return catalogue.find_column(column, "--where"), label_text(value)


def _check_plain(catalogue: Catalogue, name: str) -> None:
    field = catalogue.schema.field(name)
    if field.metadata == JSON_FIELD or pa.types.is_nested(field.type) or is_bytes(field.type):
        holds = "lists, or values of several types" if field.metadata == JSON_FIELD else field.type
        msg = (
            f"Expected text or numbers in the column {name!r} of {catalogue.source}, found {holds}; correct the column."
        )
        raise DataError(msg)


def _chosen_rows(
    catalogue: Catalogue, columns: Mapping[str, str], conditions: Sequence[tuple[str, str]]
) -> tuple[list[TableRow], int, int]:
    kept: list[TableRow] = []
    chosen, number, names = 0, 0, {*columns.values(), *(column for column, _ in conditions)}
    is_text = catalogue.source.lower().endswith((".csv", ".tsv"))
    as_meant = unescape_formula if is_text else str  # Hangtag and other programs write an apostrophe before a formula
    for number, (image, row) in enumerate(_rows(catalogue, names), start=1):
        if all(label_text(row[column]) == value for column, value in conditions):
            chosen += 1
            if row[columns[LABEL]].strip():
                meant = {name: as_meant(row[column]) for name, column in columns.items()}
                cells = {name: label_text(cell) for name, cell in meant.items()}
                kept.append(TableRow(number, image, **{**cells, LABEL: meant[LABEL]}))
    if not chosen:
        condition = " and ".join(f"{column}={value}" for column, value in conditions)
        msg = f"Expected rows with {condition} in {catalogue.source}, found 0 among {number:,}; check --where."
        raise DataError(msg)
    return kept, chosen, number


def _rows(catalogue: Catalogue, names: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for batch in catalogue.batches:
        images = catalogue.photo_cells(batch, "surrogateescape")
        texts = {name: _texts(batch.column(name), catalogue.schema.field(name)) for name in names}
        for place, image in enumerate(images):
            yield (image or "").strip(), {name: cells[place] for name, cells in texts.items()}


def _texts(column: pa.Array, field: pa.Field) -> list[str]:
    if names := (field.metadata or {}).get(CLASS_NAMES):
        by_number = {str(number): name for number, name in enumerate(json.loads(names))}
        return [by_number.get(text or "", "") for text in cell_texts(column)]  # number -1: no class
    empty = {"nan"} if pa.types.is_floating(column.type) else frozenset[str]()
    return ["" if text is None or text in empty else text for text in cell_texts(column)]


def _check_labels(catalogue: Catalogue, column: str, rows: Sequence[TableRow]) -> None:
    labels = dict.fromkeys(row.label for row in rows)
    if len(labels) > _MOST_CLASSES:
        named = ", ".join(one_line(label, _SHORT) for label in list(labels)[:_NAMED])
        msg = (
            f"Expected at most {_MOST_CLASSES:,} labels in the column {column!r} of {catalogue.source}, found "
            f"{len(labels):,} in {number_of(len(rows), 'row')}, such as {named}; choose another --label-column, "
            "or use class folders."
        )
        raise DataError(msg)


def with_leaves(rows: Iterable[TableRow], source: Path) -> tuple[list[TableRow], dict[str, str], tuple[str, ...]]:
    """Shorten labels like ``shoes > boots`` to the last name. Also returns each label's parent, and notes for the user.

    If a name has two parents, no label is shortened, and there is no tree. A tree leaves out ancestors that all classes
    share.
    """
    rows = list(rows)
    parents: dict[str, str] = {}
    leaves: dict[str, str] = {}
    for row in rows:
        way = [name.strip() for name in row.label.split(PATH_MARK)]
        if len(way) > 1 and not all(way):
            where = f"each {PATH_MARK!r} in row {row.number} of {source}"
            msg = f"Expected a name on both sides of {where}, got {brief(row.label)!r}."
            raise DataError(msg)
        for parent, label in pairwise(way):
            if parents.setdefault(label, parent) != parent:
                both = f"{brief(label)!r} is under {brief(parents[label])!r} and {brief(parent)!r}"
                return (
                    rows,
                    {},
                    (f"there is no tree, and labels such as {brief(row.label)!r} are not shortened: {both}",),
                )
        leaves[row.label] = way[-1]
    classes = {*leaves.values()} - {NONE}
    shared = set.intersection(*({*_above(parents, label)} for label in classes)) - classes if classes else set()
    notes = tuple(f"all classes are under {brief(name)!r}, which is left out of the tree" for name in sorted(shared))
    tree = {label: up for label, up in parents.items() if up not in shared}
    return [replace(row, label=leaves[row.label]) for row in rows], tree, notes


def _above(parents: Mapping[str, str], label: str) -> list[str]:
    above: list[str] = []
    while (parent := parents.get(above[-1] if above else label)) is not None and parent not in above:
        above.append(parent)
    return above
