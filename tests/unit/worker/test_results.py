from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import ReviewReason
from models.errors import ImageError, ImageFault, InputError
from worker.results import (
    PART_SCHEMA,
    RESULT_SCHEMA,
    RowResult,
    Status,
    check_no_clash,
    failed_row,
    results_of,
    results_table,
)

FLOAT = st.floats(0.0, 1.0, width=32)
TEXT = st.none() | st.text()
RESULTS = st.builds(
    RowResult,
    label=TEXT,
    confidence=st.none() | FLOAT,
    status=st.sampled_from(Status),
    error=st.none() | st.sampled_from([fault.value for fault in ImageFault]),
    error_message=TEXT,
    top_k=st.none() | st.lists(st.tuples(st.text(), FLOAT), max_size=4).map(tuple),
    sha256=TEXT,
    model=st.text(),
    reason=st.none() | st.sampled_from(ReviewReason),
)


@given(st.text())
def test_the_message_of_a_failed_row_can_be_written_and_shown(text: str) -> None:
    """Paths, cells and hosts may put terminal escapes into it, and halves of characters, which no file can hold."""
    for message in (text, f"Expected a photo at \x1b[2J{text}\ud800\x9b\n"):
        row = failed_row(ImageError(message), None, "shop/1")
        assert (row.error_message or "").isprintable()
        results_table([row])


def test_a_message_that_quotes_an_enormous_cell_is_cut() -> None:
    assert len(failed_row(ImageError("a" * 10_000_000), None, "shop/1").error_message or "") == 2000


@given(st.lists(RESULTS, max_size=6))
def test_results_are_read_from_a_table_as_they_were(rows: list[RowResult]) -> None:
    table = results_table(rows)
    assert table.schema == PART_SCHEMA
    assert results_of(table) == rows
    older = table.select(RESULT_SCHEMA.names)
    assert results_of(older) == [replace(row, reason=None) for row in rows]


def test_a_column_of_ours_in_the_catalogue_is_refused_naming_prefix() -> None:
    with pytest.raises(InputError, match=r"label, which .* --prefix"):
        check_no_clash(["image", "label"], "")


def test_a_prefix_makes_room() -> None:
    check_no_clash(["image", *RESULT_SCHEMA.names], "hangtag_")
    with pytest.raises(InputError, match="hangtag_label"):
        check_no_clash(["image", "hangtag_label"], "hangtag_")
