"""The columns that labelling adds, and whether a catalogue has room for them."""

from collections.abc import Collection
from typing import Final

import pyarrow as pa

from catalogue.catalogue import Catalogue, open_catalogue
from catalogue.readers import JSON_FIELD
from catalogue.writers import writable
from models.errors import InputError
from worker.job.parts import RESULT_SCHEMA, TREE_FIELDS
from worker.request import JobOptions, JobRequest

WORST: Final = "status"
"""The result's column, of a job with named models, that says the worst status of each row."""
PRODUCT_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("photos", pa.int64()),
        ("readable", pa.int64()),
        ("agreement", pa.float32()),
        ("model", pa.string()),
    ]
)
"""The columns of ``by_group.parquet`` after the product's name."""
CORRECT_LABEL: Final = "correct_label"
"""The column of ``review.csv`` that a person types into."""
THUMBNAIL: Final = "thumbnail"
"""The column of ``review.csv`` that says where the photo is, whatever its cell in the catalogue is relative to."""
REVIEW_FIRST: Final = ("row", CORRECT_LABEL, "label", "confidence", "reason", "top_k", THUMBNAIL)
REVIEW_LAST: Final = ("sha256", "model")
"""The columns of ``review.csv`` before and after the catalogue's."""
_OTHER_PREFIX: Final = "pass another --prefix, as in --prefix hangtag_."


def result_schema(*, tree: bool) -> pa.Schema:
    """The columns that labelling adds, by a model with a tree of labels or without."""
    return pa.schema([*RESULT_SCHEMA, *TREE_FIELDS]) if tree else RESULT_SCHEMA


def requested_catalogue(
    request: JobRequest,
    suffix: str,
    trees: Collection[str] = (),
    rows: Catalogue | None = None,
    *,
    confined: bool = False,
) -> Catalogue:
    """The catalogue of a request, if a result with the ending ``suffix`` can hold it; ``rows`` replace the source.

    ``trees``: names of the questions whose models have a tree of labels, and so add more columns.
    """
    options = request.options
    catalogue = rows or open_catalogue(
        request.source,
        options.image_column,
        options.image_root,
        options.encoding,
        options.allow_hosts,
        confined=confined,
    )
    catalogue.check_column(options.group_column, "--group-column")
    for name in request.models:
        own = options.of_question(name)
        _check_free(catalogue, own.prefix, result_schema(tree=name in trees).names)
        _check_product_column(catalogue.schema, own)
        _check_review_columns(catalogue.image_column, own)
    if "" not in request.models:
        _check_free(catalogue, options.prefix, [WORST])
    return writable(catalogue, suffix)


def _check_free(catalogue: Catalogue, prefix: str, added: Collection[str]) -> None:
    taken = [prefix + name for name in added if prefix + name in catalogue.schema.names]
    if taken:
        msg = f"The catalogue already has {', '.join(taken)}, which labelling adds; {_OTHER_PREFIX}"
        raise InputError(msg)


def _check_product_column(schema: pa.Schema, options: JobOptions) -> None:
    column = options.group_column
    if column is None:
        return
    field = schema.field(column)
    kind = without_dictionary(field.type)
    usable = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    if field.metadata == JSON_FIELD or not any(fits(kind) for fits in usable):
        cells = "some hold numbers or lists" if field.metadata == JSON_FIELD else f"they hold {field.type}"
        msg = (
            f"Expected text, or whole numbers, in every cell of the --group-column {column}, {cells}; write them all "
            "as text, or name another column."
        )
        raise InputError(msg)
    if column in {options.prefix + name for name in PRODUCT_SCHEMA.names}:
        msg = f"The --group-column {column} has the name of a column of by_group.parquet; {_OTHER_PREFIX}"
        raise InputError(msg)


def without_dictionary(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, dictionary-encoded or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_review_columns(image_column: str, options: JobOptions) -> None:
    ours = {options.prefix + name for name in (*REVIEW_FIRST, *REVIEW_LAST) if name != THUMBNAIL}
    taken = ours & {image_column, options.group_column}
    if taken:
        names = ", ".join(map(str, taken))
        msg = f"The catalogue's column {names} has the name of a column of review.csv; {_OTHER_PREFIX}"
        raise InputError(msg)
