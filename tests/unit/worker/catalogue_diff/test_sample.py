from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from worker.catalogue_diff import _reservoir, draw_sample
from worker.request import JobOptions


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A list of ten thousand photos that are not there: several batches."""
    file = tmp_path / "names.csv"
    file.write_text("sku,photo\n" + "".join(f"{row},{row}.jpg\n" for row in range(1, 10_001)))
    return file


def test_drawn_rows_are_in_order_and_drawn_once(names: Path, tmp_path: Path) -> None:
    first, again = (draw_sample(str(names), tmp_path / name, 100, JobOptions()) for name in "ab")
    assert first.table == again.table
    rows = first.table.column("row").to_pylist()
    assert rows == sorted(set(rows))
    assert len(rows) == 100
    assert first.table.column("image").to_pylist() == [f"{row}.jpg" for row in rows]


def test_every_row_is_as_likely_as_any_other() -> None:
    columns, counts = [pa.array(map(str, range(start, start + 500))) for start in range(0, 10_000, 500)], np.zeros(10)
    for seed in range(5):
        drawn, rows_in_source = _reservoir(columns, 2000, np.random.default_rng(seed), None)
        assert rows_in_source == 10_000
        assert all(cell == str(row) for row, cell in drawn)
        counts += np.histogram([row for row, _ in drawn], 10, (0, 10_000))[0]
    assert counts.sum() == 10_000
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000)), counts
